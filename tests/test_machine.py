"""The machine in words, its threads, and what the kernel says of memory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from srcli.machine import describe_machine, free_memory, torch_threads


def test_a_machine_says_what_figures_hold_for():
    count = torch.get_num_threads()
    words = rf"cpu \(.+\), {count} threads?, torch {re.escape(torch.__version__)}"
    assert re.fullmatch(words, describe_machine(torch.device("cpu")))


def test_threads_come_back_after_a_failure():
    before = torch.get_num_threads()
    seen = []

    def fail():
        with torch_threads(before + 2):
            seen.append(torch.get_num_threads())
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert seen == [before + 2]
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_the_kernel_says_what_is_free():
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    total = next(
        int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal")
    )
    assert 0 < (free_memory() or 0) <= total


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="a class of Linux")
@pytest.mark.parametrize("command", ["upscale", "train"])
def test_commands_in_the_background_run_on_what_others_leave(command, tmp_path):
    words = [command, "--background"]
    if command == "upscale":
        words += [str(tmp_path / "missing.png"), str(tmp_path / "out.png")]
    code = (
        "import os, sys\n"
        "from srcli.cli.main import run\n"
        f"code = run({words!r})\n"
        "print(code, os.sched_getscheduler(0) == os.SCHED_IDLE, flush=True)\n"
        "os.system(sys.argv[1])"
    )
    # sched(7): where Linux has autogroups, the class counts within a session alone
    show = "cat /proc/self/autogroup 2>/dev/null || true"
    script = f"{shlex.join([sys.executable, '-c', code, show])}; {show}"
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    first, *groups = done.stdout.splitlines()[-3:]
    assert first.split() == ["2", "True"], done.stderr
    priorities = [group.partition(" nice ")[2] for group in groups]
    assert priorities == (["19", "0"] if Path("/proc/self/autogroup").exists() else [])
