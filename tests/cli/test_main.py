"""The entry point: what an interruption leaves, said as it is true for the command."""

from __future__ import annotations

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
