"""The entry point: what an interruption leaves, said as it is true for the command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from srcli.cli import main


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (["upscale", "a.png", "out"], "; the same command continues"),
        (
            ["upscale", "a.png", "out", "--overwrite"],
            "; the same command starts photographs over and continues rasters",
        ),
        (["train", "g-idrn", "--out", "run"], "; the same command with --resume continues"),
        (["train", "g-idrn", "--out", "run", "--resume"], "; the same command continues"),
        (["train", "g-idrn", "--dry-run"], ""),
        (["eval", "-m", "g-idrn"], "; the same command does the rest"),
        (["ablate", "run", "mine.json"], "; the same command does the rest"),
        (["bench"], ""),
        (["models"], ""),
    ],
)
def test_an_interruption_says_what_the_same_command_does(srx, monkeypatch, words, rest):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main.group, "main", interrupted)
    stopped = srx(*words)
    assert (stopped.code, stopped.out, stopped.err) == (130, "", f"srx: interrupted{rest}\n")


def test_names_cannot_steer_the_terminal_or_forge_lines(srx, tmp_path):
    name = "a\x1b[2J\nsrx: error: forged.png"
    (tmp_path / name).write_bytes(b"damaged")
    for arguments in (("upscale", tmp_path / name, tmp_path / "b.png"), ("models", f"{name}.pt")):
        done = srx(*arguments)
        assert "a\\x1b[2J\\nsrx: error: forged.png" in done.err
        assert "\x1b" not in done.err
        assert not any(line.startswith("srx: error: forged") for line in done.err.splitlines())
    assert "\\x1b[2J" in srx("upscale", "a", "b", "--\x1b[2J").err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows")
@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_ends_a_run_as_sigterm_does(ignored):
    code = (
        "import os, signal\n"
        f"signal.signal(signal.SIGHUP, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})\n"
        "from srcli.cli import main\n"
        "main.group.main = lambda **_: os.kill(os.getpid(), signal.SIGHUP)\n"
        "main.main(['models'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == (0 if ignored else 130), done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_and_models(srx, monkeypatch, shell):
    from click.shell_completion import ShellComplete

    from srcli.cli.main import group

    result = srx("--completion", shell)
    assert result.code == 0
    assert "_SRX_COMPLETE" in result.out
    completion = ShellComplete(group, {}, "srx", "_SRX_COMPLETE")

    def complete(words, start):
        return [found.value for found in completion.get_completions(words, start)]

    assert complete([], "up") == ["upscale"]
    assert complete(["upscale"], "--strip") == ["--strip-metadata", "--strip-provenance"]
    assert complete(["upscale", "-m"], "g-idrn") == ["g-idrn", "g-idrn-aerial", "g-idrn-photo"]


@pytest.mark.parametrize("command", ["upscale", "eval", "train", "bench"])
def test_help_shows_options_in_groups_with_examples_last(srx, command):
    text = srx(command, "--help").out
    assert "\nOptions:" not in text
    places = [text.index(part) for part in ("--device", "-h, --help", "Examples:")]
    assert places == sorted(places)
