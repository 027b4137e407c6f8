"""Options that several commands share, types of their values, and help in groups."""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click import Choice, option
from click.shell_completion import CompletionItem

from srcli.cli.console import is_replaceable
from srcli.errors import UsageError

LONGEST_SIDE = 8192
PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)


class WholeNumber(click.IntRange):
    """A whole number of a range, which is called so where it is none."""

    name = "whole number"


POSITIVE = WholeNumber(1)
NOT_NEGATIVE = WholeNumber(0)
QUALITY = WholeNumber(1, 100)
TILE = WholeNumber(16)
PRECISION = click.Choice(["auto", "fp32", "bf16", "fp16"])


def complete_models(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a model: those with weights if there are any; else a file name."""
    from srcli.models import MODELS
    from srcli.models.weights import shipped_scales

    names = [name for name in MODELS if name.startswith(incomplete)]
    usable = list(filter(shipped_scales, names)) or names
    files = CompletionItem(incomplete, type="file")
    return list(map(CompletionItem, usable)) or [files]


class FiniteNumber(click.FloatRange):
    """A number of a range; ``nan`` and ``inf``, which Python reads as well, are none."""

    name = "number"

    def convert(self, value: Any, *context: Any) -> Any:  # noqa: ANN401 - as click has it
        """Return the number."""
        number = super().convert(value, *context)
        if not math.isfinite(number):  # nan is not below the least, nor above the most
            self.fail(f"{value} is no number.", *context)
        return number


SECONDS = FiniteNumber(0)


def parse_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, each of them once."""
    names = map(str.strip, text.split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def parse_size(text: str) -> tuple[int, int]:
    """Read WIDTHxHEIGHT in pixels, as (height, width)."""
    match = re.fullmatch(r"([0-9]{1,4})[xX]([0-9]{1,4})", text)
    if match:
        width, height = map(int, match.groups())
        if 1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE:
            return height, width
    raise ValueError(
        f"{text!r} is not WIDTHxHEIGHT of an LR picture, such as 256x256, "
        f"with sides from 1 to {LONGEST_SIDE}"
    )


Function = TypeVar("Function", bound=Callable[..., Any])


def heading(words: str) -> Callable[[Function], Function]:
    """Put the options that follow below a heading in the help of a ``GroupedCommand``."""

    def decorate(function: Function) -> Function:
        # decorators run from the bottom up: the last option so far is shown first
        vars(function)["__click_params__"][-1].heading = words
        return function

    return decorate


def flag(*names: str, help: str) -> Callable[[Function], Function]:
    """Add an option without a value."""
    return option(*names, is_flag=True, help=help)


class GroupedCommand(click.Command):
    """A command whose help shows its options below the headings of their groups."""

    def is_shown(self, ctx: click.Context, parameter: click.Parameter) -> bool:
        """Tell if the help that is asked for shows an option."""
        return True

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options of each group below its heading; ``--help`` is the last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        group = "Messages"
        for parameter in self.get_params(ctx):
            group = getattr(parameter, "heading", group)
            if "--help" in parameter.opts:
                group = "Messages"
            record = parameter.get_help_record(ctx)
            is_listed = record and isinstance(parameter, click.Option)
            if record and is_listed and self.is_shown(ctx, parameter):
                name = re.sub("INTEGER|WHOLE NUMBER", "N", record[0])
                groups.setdefault(group, []).append((name, record[1]))
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(rows, col_max=min(30, formatter.width // 3))


models = option(
    "-m",
    "--model",
    "models",
    shell_complete=complete_models,
    metavar="NAME|FILE",
    multiple=True,
    help="[LABEL=]name, weights file or FILE.py:CLASS@FILE. [default: g-idrn]",
)
value_range = option(
    "--value-range",
    type=Choice([1, 255]),
    help="White inside a third-party network, 1 or 255. [default: found by a test]",
)
network_settings = option(
    "--set",
    "network_settings",
    metavar="network.NAME=VALUE",
    multiple=True,
    help="Argument of FILE.py:CLASS, or of a weights file's network; repeatable.",
)
scales = option(
    "-s",
    "--scale",
    "scales",
    type=Choice([2, 3, 4, 8]),
    multiple=True,
    help="Scale factor; repeatable. [default: 4, or that of a weights file]",
)
data = option(
    "--data",
    type=PATH,
    multiple=True,
    help="Folder, zip or picture to train on; repeatable.",
)
hold_out = option(
    "--hold-out",
    metavar="NAME|10%",
    multiple=True,
    help="Photograph to validate on (repeatable), a share, or none.",
)
published = option(
    "--published",
    type=Choice(["models", "all"]),
    is_flag=False,
    flag_value="models",
    help="Add figures printed in papers: of these models, or all.",
)
json_file = option(
    "--json",
    "json_file",
    metavar="FILE",
    help="Write the result as JSON; '-' is standard output.",
)
markdown_file = option(
    "--markdown",
    "markdown_file",
    metavar="FILE",
    help="Write the tables as Markdown; '-' is standard output.",
)
latex_file = option(
    "--latex",
    "latex_file",
    metavar="FILE",
    help="Write a table for a paper (LaTeX, booktabs); '-' is standard output.",
)
device = option(
    "--device",
    metavar="auto|cpu|cuda|cuda:N|mps",
    default="auto",
    help="Device to compute on.",
)
devices = option(
    "--device",
    "--devices",
    "device",
    metavar="auto|cpu|cuda|cuda:N|mps|all",
    default="auto",
    help="Where to compute; cuda:0,cuda:1 or all use several GPUs.",
)
executor = option(
    "--executor",
    metavar="local|ray|ray://HOST:PORT",
    default="local",
    help="ray: on a Ray cluster (pip install 'srcli[ray]').",
)
precision = option(
    "--precision",
    type=PRECISION,
    default="auto",
    help="Number format; auto: half precision where that is fast.",
)
background = flag(
    "--background", help="Run on what other programs leave of the processors."
)
quiet = flag("-q", "--quiet", help="Show errors only.")
verbose = flag("-v", "--verbose", help="Show details.")


def message_options(command: Function) -> Function:
    """Add the options ``--quiet`` and ``--verbose``, below the heading Messages."""
    return heading("Messages")(verbose(quiet(command)))


def result_targets(**files: object) -> dict[str, str]:
    """Return the result files by option, such as ``--json``; see ``check_targets``."""
    targets = {f"--{name}": str(file) for name, file in files.items() if file}
    check_targets(targets)
    return targets


def check_targets(targets: Mapping[str, str | Path | None]) -> None:
    """Refuse output files, by option, that cannot be written or are the same file."""
    owners: dict[str, str] = {}
    for name, target in targets.items():
        if not target:
            continue
        to_stdout = str(target) == "-"
        if not to_stdout and (reason := _find_obstacle(Path(target))):
            raise UsageError(f"{name} {target}: cannot be written, {reason}")
        owner = owners.setdefault("-" if to_stdout else os.path.realpath(target), name)
        # pipes and devices may take one text after the other
        if owner != name and (to_stdout or is_replaceable(Path(target))):
            raise UsageError(f"{owner} and {name} are both {target}; give two files")


def _find_obstacle(file: Path) -> str:
    """Return why a file cannot be written; empty if it can."""
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


def with_settings(
    models: tuple[str, ...], settings: tuple[str, ...]
) -> tuple[str, ...]:
    """Return models, with the arguments of ``--set`` in the user's own code and files.

    UsageError for fields other than ``network.NAME``, and where no model is such.
    """
    if not settings:
        return models
    from srcli.models.weights import split_model
    from srcli.recipes.fields import read_arguments
    from srcli.recipes.plugins import with_arguments

    for setting in settings:
        if not setting.startswith("network."):
            raise UsageError(f"--set {setting}: give network.NAME=VALUE")
    arguments = read_arguments(settings)
    changed = []
    for model in models:
        if any(split_model(model)):
            model = with_arguments(model, arguments)
        changed.append(model)
    if tuple(changed) == models:
        raise UsageError(
            f"--set {settings[0]}: is for networks of your own code and weights files; name "
            "one by -m FILE.py:CLASS, FILE.py:CLASS@WEIGHTS or WEIGHTS"
        )
    return tuple(changed)


def parse_hold_out(values: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names that ``--hold-out`` gives: None without the option, empty for ``none``."""
    if "none" in values and len(values) > 1:
        raise UsageError("--hold-out none: give it alone")
    return () if "none" in values else values or None
