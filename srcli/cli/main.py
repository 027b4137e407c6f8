"""The entry point: the only place that turns errors into text and exit codes."""

from __future__ import annotations

import difflib
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from srcli import __version__
from srcli.cli.text_files import escape_names
from srcli.errors import ExitCode, SrxError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

COMMANDS: dict[str, tuple[str, str]] = {
    "upscale": ("srcli.cli.upscale:command", "Make pictures and folders of pictures larger."),
    "eval": ("srcli.cli.evaluate:command", "Measure models on benchmark pictures."),
    "train": ("srcli.cli.train:command", "Train a network from a recipe."),
    "ablate": ("srcli.cli.ablate:command", "Train variants of a recipe alike, and compare them."),
    "bench": ("srcli.cli.bench:command", "Measure speed, memory and work of models."),
    "models": ("srcli.cli.models:command", "List the models that can be used here."),
}


class LazyGroup(click.Group):
    """Commands are imported when they run, so that ``srx --help`` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: srx upscale photos/ larger/ -s 4",
)
@click.version_option(__version__, "-V", "--version", prog_name="srx")
def group() -> None:
    """Super-resolution: make photographs and rasters two, three or four times sharper."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``srx`` and leave the process with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``srx`` and return its exit code."""
    escape_names()
    try:
        result = group.main(
            args=None if arguments is None else list(arguments),
            prog_name="srx",
            standalone_mode=False,
        )
    except SrxError as error:
        click.echo(f"srx: error: {error}", err=True)
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            f"srx: interrupted{after_interrupt(sys.argv[1:] if arguments is None else arguments)}",
            err=True,
        )
        return int(ExitCode.INTERRUPTED)
    return result if isinstance(result, int) else int(ExitCode.OK)


def after_interrupt(words: Sequence[str]) -> str:
    """Say what the same command does after an interruption.

    Args:
        words: The command and its arguments.

    Returns:
        The end of a line; empty for commands that keep nothing.
    """
    command = next((word for word in words if word in COMMANDS), "")
    if command == "upscale":
        # the finished pictures of before look like those that this run has finished
        anew = "begins photographs anew and " if "--overwrite" in words else ""
        return f"; the same command {anew}goes on{' with rasters' * bool(anew)}"
    if command == "train" and not {"--show", "--dry-run"} & {*words}:
        with_resume = "" if "--resume" in words else " with --resume"
        return f"; the same command{with_resume} goes on"
    if command in ("eval", "ablate"):
        return "; the same command does what is missing"
    return ""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
