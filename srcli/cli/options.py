"""Options that several commands share, and help that shows options in groups."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from srcli.cli.console import is_replaceable
from srcli.cli.values import PATH
from srcli.errors import UsageError

Kinds = Mapping[str, click.ParamType[Any] | Callable[[str], Any]]

SHARED = """
  -m, --model NAME|FILE... -> models
      Name, weights file or FILE.py:CLASS@FILE; repeatable. [default: g-idrn]
  --value-range [1|255]
      Value of white, 1 or 255, inside a network of others. [default: tried out]
  -s, --scale [2|3|4|8]... -> scales
      Scale factor; repeatable. [default: 4, or that of a weights file]
  --data PATH...                Folder, zip or picture to train on; repeatable.
  --hold-out NAME...            Photograph to validate on, or none; repeatable.
  --device, --devices auto|cpu|cuda|cuda:N|mps|all = auto -> device
      Where to compute; cuda:0,cuda:1 or all use several GPUs.
  --published [models|all]?     Add figures printed in papers: of these models, or all.
  --executor local|ray|ray://HOST:PORT = local
      ray: on a Ray cluster (pip install 'ray[client]').
  --json FILE -> json_file      Write the result as JSON; '-' is standard output.
  --markdown FILE -> markdown_file
      Write the tables as Markdown; '-' is standard output.
  -v, --verbose                 Show details.
  -q, --quiet                   Show errors only.
"""
"""Options of several commands, which are named in their texts by their parameters."""

_ENTRY = re.compile(
    r"^(?P<heading>\S.*):$|"
    r"^ {2}(?P<names>-[^\s,]+(?:, -[^\s,]+)*)(?: (?P<value>\S.*?))??(?P<more>\.{3}|\?)?"
    r"(?: = (?P<default>\S+))?(?: -> (?P<parameter>\w+))?\s{2,}(?P<help>.+\n(?: {6}.+\n)*)",
    re.MULTILINE,
)

_SHARED = {
    entry["parameter"]
    or entry["names"].split()[-1].lstrip("-").replace("-", "_"): entry[0]
    for entry in _ENTRY.finditer(SHARED)
}
"""Each of them by its parameter."""


def read_options(text: str, kinds: Kinds) -> Iterator[tuple[str, click.Option]]:
    """Read options, each with its heading, from a text that looks like the help it becomes.

    Names and value, ``  -s, --scale [2|3|4] = 4``, are followed by two spaces or more and the help,
    which may go on in the next lines. Without a value it is a flag; several words are several
    values. ``[2|3|4]`` is a choice; with ``...`` behind the value the option may be repeated, with
    ``?`` it may stand without one, which is an empty one, or the first choice; ``= 4`` gives the
    default, ``-> scales`` another name to the parameter. A line at the margin is a heading; words
    alone are the parameters of options in ``SHARED``. ``kinds`` read values that are no plain text,
    by name of option or value.
    """
    text = re.sub(
        r"^ {2}(\w+(?: \w+)*)\n",
        lambda line: "".join(map(_SHARED.__getitem__, line[1].split())),
        text,
        flags=re.MULTILINE,
    )
    assert not _ENTRY.sub("", text).strip(), text  # such lines would be lost
    heading = ""
    for entry in _ENTRY.finditer(text):
        heading = entry["heading"] or heading
        if entry["names"]:
            yield heading, _make_option(entry, kinds)


def _make_option(entry: re.Match[str], kinds: Kinds) -> click.Option:
    """Return an option that ``_ENTRY`` has found."""
    names = entry["names"].split(", ")
    value: Any = entry["value"]
    is_optional = entry["more"] == "?"
    is_repeated = entry["more"] == "..."
    kind = kinds.get(names[-1].lstrip("-")) or kinds.get(value or "", str)
    settings: dict[str, Any] = {"help": " ".join(entry["help"].split())}
    flag_value: str | int = ""
    if value is None:
        settings["is_flag"] = True
    elif value.startswith("[") and kind is str:
        choices = value[1:-1].split("|")
        if value[1].isdigit():
            choices = list(map(int, choices))
        settings["type"] = click.Choice(choices)
        flag_value = choices[0]
    else:
        settings |= {"type": kind, "nargs": len(value.split())}
        settings["metavar"] = f"[{value}]" if is_optional else value
    if is_optional:
        settings |= {"is_flag": False, "flag_value": flag_value}
    default = entry["default"]
    if default:
        settings["default"] = [default] if is_repeated else default
    if entry["parameter"]:
        names.append(entry["parameter"])
    return click.Option(names, multiple=is_repeated, **settings)


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups; they are read by ``read_options``."""

    def __init__(
        self,
        *arguments: Any,
        options: str = "",
        kinds: Kinds = MappingProxyType({}),
        **settings: Any,
    ) -> None:
        super().__init__(*arguments, **settings)
        self.headings: dict[str | None, str] = {}
        for heading, option in read_options(options, {"PATH": PATH, **kinds}):
            self.params.append(option)
            self.headings[option.name] = heading

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options of each group below its heading; ``--help`` is a message."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record and isinstance(option, click.Option):
                name = re.sub("INTEGER( RANGE)?", "N", record[0])
                heading = self.headings.get(option.name, "Messages")
                groups.setdefault(heading, []).append((name, record[1]))
        for heading, rows in groups.items():
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=min(30, formatter.width // 3))


def result_targets(**files: object) -> dict[str, str]:
    """Return the files of a command's results by option, after ``check_targets``."""
    targets = {f"--{name}": str(file) for name, file in files.items() if file}
    check_targets(targets)
    return targets


def check_targets(targets: Mapping[str, str | Path | None]) -> None:
    """Refuse output files that cannot be written, or are the same, before anything is computed."""
    owners: dict[str, str] = {}
    for name, target in targets.items():
        if not target:
            continue
        to_stdout = str(target) == "-"
        if not to_stdout and (reason := _obstacle(Path(target))):
            raise UsageError(f"{name} {target}: cannot be written, {reason}")
        owner = owners.setdefault("-" if to_stdout else os.path.realpath(target), name)
        # pipes and devices may take one text after the other
        if owner != name and (to_stdout or is_replaceable(Path(target))):
            raise UsageError(f"{owner} and {name} are both {target}; give two files")


def _obstacle(file: Path) -> str:
    """Return the reason for which a file cannot be written; empty if it can."""
    try:
        if file.is_dir():
            return "is a folder"
        if is_replaceable(file):
            if file.is_symlink():
                file = file.resolve()
            file = file.parent
            if not file.is_dir():
                return f"there is no folder {file}"
        # pipes and devices are not opened: that would wait for the reader, or end its
        # input
        return "" if os.access(file, os.W_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        return error.strerror or str(error)


def held_out_names(values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names that ``--hold-out`` gives: None without the option, empty for ``none``."""
    if "none" in values and len(values) > 1:
        raise UsageError("--hold-out none: give it alone")
    return () if "none" in values else values or None
