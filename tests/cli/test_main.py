"""The entry point: what an interruption leaves, said as it is true for the command."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
from contextlib import suppress
from operator import attrgetter
from typing import Any

import click
import pytest

from srcli.cli import main
from srcli.cli.declared import DeclaredCommand
from srcli.cli.options import GroupedCommand
from srcli.cli.upscale import COMMON


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("upscale a.png out", "; the same command continues"),
        ("upscale a.png out --overwrite", ""),
        ("train g-idrn --out run", "; the same command with --resume continues"),
        ("train g-idrn --show", ""),
        ("ablate run mine.json", "; the same command does the rest"),
        ("eval", ""),
        ("bench", ""),
    ],
)
def test_an_interruption_says_what_the_same_command_does(
    srx, monkeypatch, words, advice
):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main.group, "main", interrupted)
    stopped = srx(*words.split())
    assert (stopped.code, stopped.out, stopped.err) == (
        130,
        "",
        f"srx: interrupted{advice}\n",
    )


def test_names_cannot_steer_the_terminal_or_forge_lines(srx, tmp_path):
    name = "a\x1b[2J\nsrx: error: forged.png"
    (tmp_path / name).write_bytes(b"damaged")
    for arguments in (
        ("upscale", tmp_path / name, tmp_path / "b.png"),
        ("models", f"{name}.pt"),
    ):
        result = srx(*arguments)
        assert "a\\x1b[2J\\nsrx: error: forged.png" in result.err
        assert "\x1b" not in result.err
        assert not re.search("^srx: error: forged", result.err, re.MULTILINE)
    assert "\\x1b[2J" in srx("upscale a b --[2J").err


@pytest.mark.posix
@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_ends_a_run_as_sigterm_does(ignored):
    code = (
        "import os, signal\n"
        f"signal.signal(signal.SIGHUP, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})\n"
        "from srcli.cli import main\n"
        "main.group.main = lambda **_: os.kill(os.getpid(), signal.SIGHUP)\n"
        "main.main(['models'])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == (0 if ignored else 130), result.stderr


def complete(words, start, attribute="value"):
    """Return what a shell offers behind words."""
    from click.shell_completion import ShellComplete

    completion = ShellComplete(main.group, {}, "srx", "_SRX_COMPLETE")
    completions = completion.get_completions(words, start)
    return list(map(attrgetter(attribute), completions))


def test_shells_complete_commands_and_options():
    assert complete([], "up") == ["upscale"]
    assert complete(["upscale"], "--strip") == [
        "--strip-metadata",
        "--strip-provenance",
    ]


@pytest.mark.parametrize("words", ["upscale -m", "compare -m", "bench -m", "export -m"])
def test_shells_complete_models_and_files(words):
    assert complete(words.split(), "g-idrn-photo-") == [
        "g-idrn-photo-gan",
        "g-idrn-photo-crisp",
    ]
    assert complete(words.split(), "rfd") == ["rfdn"]  # has no weights here
    assert complete(words.split(), "./mine", "type") == ["file"]
    assert complete(["models"], "ddsr") == ["ddsr"]


def test_completion_of_models_imports_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; from srcli.cli.main import run; run()"
    )
    asked = {"COMP_WORDS": "srx upscale -m rrl", "COMP_CWORD": "3"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | asked | {"_SRX_COMPLETE": "bash_complete"},
    )
    assert result.stdout.split() == ["plain,rrlfn", "plain,rrlfn-photo"]


def leaf_commands(command: click.Command, words: tuple[str, ...] = ()) -> list[Any]:
    """Return the words of every command, and the command."""
    if not isinstance(command, click.Group):
        return [pytest.param(words, command, id=" ".join(words))]
    context = click.Context(command)
    commands: list[Any] = []
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        commands += leaf_commands(inner, (*words, name))
    return commands


@pytest.mark.parametrize(("words", "command"), leaf_commands(main.group))
def test_help_has_groups_of_options_in_one_line_each_and_examples_last(
    srx, words, command
):
    assert isinstance(command, GroupedCommand)
    context = click.Context(command, help_option_names=["-h", "--help"])
    shown = srx(
        *words, "--help-all" if isinstance(command, DeclaredCommand) else "--help"
    ).out
    for option in command.get_params(context):
        assert len(getattr(option, "help", None) or "") <= 76, option
        assert isinstance(option, click.Argument) or option.opts[0] in shown
    head, _, tail = shown.partition("  -h, --help")
    assert re.findall(r"^(\S.*):$", head, re.MULTILINE)[-1] == "Messages"
    if command.epilog:
        assert "\n  Examples:\n" in tail
        examples = command.epilog.split("\b\n", 1)[1].split("\n\n")[0].splitlines()
        # with two blanks before, they fit 80 columns
        assert max(map(len, examples)) <= 78


def test_the_first_help_of_upscale_has_the_common_options_on_two_screens(srx):
    """Two of 40 lines; each common option is one that there is."""
    shown = srx("upscale", "--help").out
    assert len(shown.splitlines()) <= 80
    long_names = set(re.findall(r"(?<![\w-])--[a-z-]+", shown))
    assert set(COMMON) < long_names
    rare = set(re.findall(r"^  (--[a-z-]+)", srx("upscale", "--help-all").out, re.M))
    assert {"--tta", "--watch", "--stac", "--wrap"} <= rare - long_names


def test_help_and_errors_fit_narrow_terminals():
    """Nothing but the examples is wider than the terminal, and words stay whole."""
    columns = 40
    fcntl = pytest.importorskip("fcntl")
    termios = pytest.importorskip("termios")
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    code = (
        "from srcli.cli.main import run\n"
        "run(['train', '-h'])\n"
        "run(['train', 'g-idrn-moun', '--show'])"
    )
    environment = dict(os.environ)
    environment.pop("COLUMNS", None)
    environment["TERM"] = "xterm"  # of a "dumb" one rich does not ask the width
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=terminal, stderr=terminal, env=environment
    ):
        os.close(terminal)
        with suppress(OSError), os.fdopen(reader, "rb", buffering=0) as stream:
            while block := stream.read(4096):
                shown += block
    lines = shown.decode().replace("\r", "").splitlines()
    assert "did you mean g-idrn-muon?" in " ".join(lines)
    examples = lines.index("  Examples:")
    start = next(i for i, line in enumerate(lines) if "error:" in line)
    assert start < len(lines) - 1  # it was broken
    assert max(map(len, [*lines[:examples], *lines[start:]])) <= columns


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["upscal", "a.png", "b.png"], "Did you mean 'upscale'?"),
        ([__file__, "b.png"], "Did you mean 'srx upscale "),
        (["ablate", "shwo"], "Did you mean 'show'?"),
        (["eval", "--modle", "g-idrn"], "'--model'"),
        (["train", "g-idrn-moun", "--show"], "did you mean g-idrn-muon?"),
        (
            ["train", "g-idrn", "--show", "--set", "lr=1"],
            "stages.0.optimizer.learning_rate",
        ),
        (["upscale", __file__, "out", "-f", "jpgg"], "did you mean jpg?"),
    ],
)
def test_wrong_names_are_answered_by_the_nearest(srx, words, hint, monkeypatch):
    # commands are imported when they are asked for, and tests before have asked for them
    monkeypatch.setattr(main.group, "commands", {})
    assert hint in srx(*words, code=2).err


def test_a_full_disk_is_told_in_a_line(srx, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(main.group, "main", full)
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # replaced by the command
    line = "srx: error: the disk is full; make room and run again\n"
    result = srx("models")
    assert (result.code, result.err) == (2, line)


def test_a_width_of_nothing_hides_nothing(srx, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    assert "missing.png: no such file" in srx("upscale missing.png out", code=2).err


@pytest.mark.posix
def test_a_folder_that_was_removed_is_told(srx, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    (tmp_path / "a").rmdir()
    assert "was removed; cd to another" in srx("models", code=2).err
