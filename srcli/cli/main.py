"""Entry point of ``srx``: find the command, turn errors into messages and exit codes."""

from __future__ import annotations

import errno
import gc
import io
import os
import shutil
import signal
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click
from click.exceptions import NoSuchCommand

from srcli import __version__
from srcli.cli.console import (
    ENDING_SIGNALS,
    echo,
    echo_once,
    escape_unencodable,
    show_results,
)
from srcli.cli.options import GroupedCommand, heading, json_file, result_targets
from srcli.errors import NO_THREADS, ExitCode, SrxError, lacks_threads
from srcli.files import NO_SPACE
from srcli.machine import keep_to_quota, own_process

WAYS_TO_CONTINUE = {
    "upscale": "; the same command continues",
    "train": "; the same command with --resume continues",
    "ablate": "; the same command does the rest",
}
"""How an interrupted command can be continued; the end of a message."""


_MODULES = {
    "upscale": "upscale", "compare": "compare", "eval": "evaluate", "train": "train",
    "ablate": "ablate", "bench": "bench", "export": "export", "models": "models",
}  # fmt: skip
"""Modules of commands, which are imported when one is asked for."""


class Commands(click.Group):
    """Commands in the order of ``_MODULES``, then those that were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return [*_MODULES, *self.commands.keys() - _MODULES.keys()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command by its name."""
        if name in _MODULES and name not in self.commands:
            module = import_module(f"srcli.cli.{_MODULES[name]}")
            self.add_command(module.command)
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a file in its place suggest ``srx upscale``."""
        name = args[0]
        if self.get_command(ctx, name) is None:
            if os.path.exists(name):  # noqa: PTH110 - raises for names too long
                ctx.fail(
                    f"No such command {name!r}. Did you mean 'srx upscale {name}'?"
                )
            # click would suggest those alone that are imported
            names = self.list_commands(ctx)
            raise NoSuchCommand(name, possibilities=names, ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="""Begin with: srx upscale photos/ larger/ -s 4

Completion in bash (or zsh, fish; also of models): eval "$(_SRX_COMPLETE=bash_source srx)"
""",
)
@click.version_option(__version__, "-V", "--version", prog_name="srx")
def group() -> None:
    """Super-resolution: upscale photographs and rasters two, three or four times."""


@group.command(
    cls=GroupedCommand,
    epilog="""\b
Examples:
  srx doctor                    paste this into a bug report
  srx doctor --json doctor.json
""",
)
@heading("Results")
@json_file
def doctor(json_file: str | None) -> None:
    """Show versions, devices, weights and data, for bug reports."""
    from srcli.pipelines.doctor import describe_installation

    targets = result_targets(json=json_file)
    facts = describe_installation()
    show_results([facts.items()], facts, targets, quiet=json_file == "-")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``srx`` and leave the process with its exit code."""
    # what is imported stays: looking for garbage among it took a fifth of a short
    # command's time
    gc.set_threshold(10_000, 20, 100)
    for number in ENDING_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    code = run(arguments)
    if any(thread.name == "gdal-copy" for thread in threading.enumerate()):
        # GDAL, interrupted in a copy, would first write the rest of the file that
        # nobody wants
        click.echo(nl=False)  # writes what waits; either stream may be closed
        os._exit(code)
    gc.freeze()  # the end of the process gives back all memory: no search for garbage
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run ``srx`` and return its exit code."""
    escape_unencodable()
    # 0 means that the width is not known; rich would print nothing
    if os.environ.get("COLUMNS") == "0":
        del os.environ["COLUMNS"]
    try:
        Path.cwd()
    except FileNotFoundError:  # PyTorch's libraries would end the process
        echo(
            "srx: error: the folder that you are in was removed; cd to another",
            err=True,
        )
        return ExitCode.USAGE
    command_line = sys.argv[1:] if arguments is None else arguments
    own_process()
    keep_to_quota()
    try:
        _check_threads()
        result = group.main(
            # None is sys.argv, in which click expands patterns on Windows
            args=None if arguments is None else list(arguments),
            prog_name="srx",
            standalone_mode=False,
            terminal_width=_terminal_width(),
        )
    except SrxError as error:
        echo(f"srx: error: {error}", err=True)
        if {"-v", "--verbose"} & {*command_line}:
            echo(*error.details, err=True)
        return error.exit_code
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        echo(*text.getvalue().split("\n")[:-1], err=True)
        return ExitCode.USAGE
    except OSError as error:
        if error.errno not in (*NO_SPACE, errno.EFBIG):
            raise
        # Python would try to write the rest again at its end
        sys.stdout = io.StringIO()
        reason = "the disk is full; make room and run again"
        if error.errno == errno.EFBIG:
            reason = "a file may not become so large here; see 'ulimit -f'"
        echo(f"srx: error: {reason}", err=True)
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return print_interruption(command_line)
    except RuntimeError as error:
        if not lacks_threads(error):
            raise
        echo(f"srx: error: {NO_THREADS}", err=True)
        return ExitCode.USAGE
    return int(result or ExitCode.OK)


def print_interruption(arguments: Sequence[str]) -> int:
    """Print that the command was interrupted, and how to continue it; return the exit code."""
    if "--watch" in arguments:  # the usual way to end it
        return ExitCode.OK
    continued = ""
    # with --overwrite, old outputs cannot be told from those of this run
    if {"--overwrite", "--show", "--dry-run"}.isdisjoint(arguments):
        command = next((word for word in arguments if word in WAYS_TO_CONTINUE), "")
        continued = WAYS_TO_CONTINUE.get(command, "")
    # the terminal may be gone, or the watching process, which interrupts this one again
    with suppress(OSError, KeyboardInterrupt):
        echo_once(f"srx: interrupted{continued}")
    return ExitCode.INTERRUPTED


def print_crash(files: Collection[str], reason: str) -> int:
    """Print that the process crashed, and with which files; return the exit code."""
    names = ", ".join(sorted(files)) or "srx"
    echo(f"srx: error: {names}: {reason}", err=True)
    return ExitCode.USAGE


def _terminal_width() -> int:
    return max(min(shutil.get_terminal_size().columns, 100) - 2, 30)


def _check_threads() -> None:
    """Fail early where no thread can be started: numpy's libraries would send SIGINT."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
