"""Options that several commands share, devices among them; help that shows options in groups."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import is_replaceable
from srcli.errors import UsageError

if TYPE_CHECKING:
    from srcli.imaging.resize import Box

Kinds = Mapping[str, click.ParamType[Any] | Callable[[str], Any]]

LONGEST_SIDE = 8192
PATH = click.Path(path_type=Path)
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
        lambda line: "".join(_SHARED[name] for name in line[1].split()),
        text,
        flags=re.MULTILINE,
    )
    assert not _ENTRY.sub("", text).strip(), (
        text
    )  # a line that says nothing would be lost
    heading = ""
    for entry in _ENTRY.finditer(text):
        heading = entry["heading"] or heading
        if not entry["names"]:
            continue
        names, value, more = entry["names"].split(", "), entry["value"], entry["more"]
        settings: dict[str, Any] = {"help": " ".join(entry["help"].split())}
        kind = kinds.get(names[-1].lstrip("-")) or kinds.get(value or "", str)
        empty: str | int = ""
        if value is None:
            settings["is_flag"] = True
        elif value.startswith("[") and kind is str:
            words = [int(w) if w.isdigit() else w for w in value[1:-1].split("|")]
            empty, settings["type"] = words[0], click.Choice(words)
        else:
            shown = f"[{value}]" if more == "?" else value
            settings |= {"type": kind, "metavar": shown, "nargs": len(value.split())}
        if more == "?":
            settings |= {"is_flag": False, "flag_value": empty}
        if entry["default"]:
            settings["default"] = (
                (entry["default"],) if more == "..." else entry["default"]
            )
        settings["multiple"] = more == "..."
        yield (
            heading,
            click.Option([*names, *filter(None, [entry["parameter"]])], **settings),
        )


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups; they are read by ``read_options``."""

    def __init__(
        self,
        *others: Any,
        options: str = "",
        kinds: Kinds = MappingProxyType({}),
        **named: Any,
    ) -> None:
        super().__init__(*others, **named)
        self.groups: dict[str, list[click.Option]] = {}
        for heading, option in read_options(options, {"PATH": PATH, **kinds}):
            self.params.append(option)
            self.groups.setdefault(heading, []).append(option)

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options of each group below its heading."""
        last = [
            *self.groups.get("Messages", ()),
            *filter(None, [self.get_help_option(ctx)]),
        ]
        for heading, options in (self.groups | {"Messages": last}).items():
            records = filter(None, (option.get_help_record(ctx) for option in options))
            with formatter.section(heading):
                formatter.write_dl(
                    [
                        (re.sub("INTEGER( RANGE)?", "N", name), text)
                        for name, text in records
                    ],
                    col_max=min(30, formatter.width // 3),
                )


def parse_box(text: str) -> Box:
    """Read bounds such as ``3840x2160``, ``3840x`` (the width alone) or ``x2160``."""
    from srcli.imaging.resize import Box

    found = re.fullmatch(r"([1-9]\d*)?[xX×]([1-9]\d*)?", text.strip())
    if found is None or not any(found.groups()):
        raise ValueError(f"{text!r} is no size such as 3840x2160, 3840x or x2160")
    width, height = (int(side) if side else None for side in found.groups())
    return Box(width=width, height=height)


def parse_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT in pixels to (height, width)."""
    found = re.fullmatch(r"([0-9]{1,4})[xX]([0-9]{1,4})", text)
    width, height = map(int, found.groups() if found else (0, 0))
    if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
        of = f"of an LR picture, such as 256x256, with sides from 1 to {LONGEST_SIDE}"
        raise ValueError(f"{text!r} is not WIDTHxHEIGHT {of}")
    return height, width


def parse_area(text: str) -> tuple[int, int, int, int]:
    """Parse X,Y,W,H: left, top, width and height in pixels."""
    found = re.fullmatch(r"([0-9]+),([0-9]+),([0-9]+),([0-9]+)", text)
    left, top, width, height = map(int, found.groups() if found else (0, 0, 0, 0))
    if not width * height:
        example = "such as 1200,340,120,120; width and height must be above 0"
        raise ValueError(f"{text!r} is not X,Y,W,H, {example}")
    return left, top, width, height


class AutoOrInt(click.IntRange):
    """A whole number of a range, or ``auto``, which is None."""

    def convert(self, value: Any, *where: Any) -> Any:  # noqa: ANN401 - as click has it
        """Return the number, or None."""
        return None if value == "auto" else super().convert(value, *where)


def pick(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the options of these names."""
    return {name: given[name] for name in names}


def result_targets(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the files of a command's results by option, after ``check_targets``."""
    names = ("json", "markdown", "html", "figure")
    values = {
        f"--{name}": given.get(f"{name}_file") or given.get(name) for name in names
    }
    targets = {option: str(value) for option, value in values.items() if value}
    check_targets(targets)
    return targets


def check_targets(targets: Mapping[str, str | Path | None]) -> None:
    """Refuse output files that cannot be written, or are the same, before anything is computed."""
    owners: dict[str, str] = {}
    for option, target in targets.items():
        if not target:
            continue
        to_stdout = str(target) == "-"
        if not to_stdout and (reason := _obstacle(Path(target))):
            raise UsageError(f"{option} {target}: cannot be written, {reason}")
        other = owners.setdefault(
            "-" if to_stdout else os.path.realpath(target), option
        )
        # pipes and devices may take one text after the other
        if other != option and (to_stdout or is_replaceable(Path(target))):
            raise UsageError(f"{other} and {option} are both {target}; give two files")


def _obstacle(file: Path) -> str:
    """Return the reason for which a file cannot be written; empty if it can."""
    try:
        if file.is_dir():
            return "is a folder"
        if is_replaceable(file):
            file = (file.resolve() if file.is_symlink() else file).parent
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
