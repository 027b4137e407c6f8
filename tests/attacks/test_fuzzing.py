"""Mutants of every format through the whole command, for as long as is asked for."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from tests.attacks.conftest import mutate, write_all
from tests.fixtures.commands import words_of
from tests.fixtures.files import json_lines, names_in

pytestmark = pytest.mark.attack

SECONDS = float(os.environ.get("SRX_FUZZ_SECONDS", "60"))
"""An hour for releases: ``SRX_FUZZ_SECONDS=3600``; ``SRX_FUZZ_SEED`` begins elsewhere."""
FIRST_SEED = int(os.environ.get("SRX_FUZZ_SEED", "0"))
FILES = 120
READ_SECONDS = 10
LONGEST = 300.0
"""Seconds for one round of so many files."""
LARGEST = 1200 << 20
"""Bytes of memory that a process may hold; half of it is PyTorch's."""
REASONS = ("was still reading", "crashed", "was killed")
"""What is said of a file that has ended a worker."""
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Runs a command and prints its peak in KiB, without what other tests have started."""


def run_round(originals, folder, seed):
    """Upscale mutants, check what came of each; return the report's lines, and the peak."""
    rng = np.random.default_rng(seed)
    suffixes = sorted(originals)
    files = {}
    for number in range(FILES):
        suffix = suffixes[rng.integers(len(suffixes))]
        files[f"{number:03d}{suffix}"] = mutate(originals[suffix], rng)
    write_all(folder / "in", files | {"source.tif": originals[".geo.tif"]})
    named = sorted((folder / "in").glob("*.vrt"))  # which a search leaves out
    report = folder / "report.jsonl"
    options = f"-m bicubic -s 2 --read-timeout {READ_SECONDS} --report {report}"
    words = words_of("upscale", folder / "in", *named, folder / "out", options)
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, sys.executable, "-m", "srcli", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=LONGEST * 2,
    )
    where = f"seed {seed}: {result.stderr[-2000:]}"
    assert result.returncode in (0, 1), where
    assert "Traceback" not in result.stderr, where
    assert "defect of srx" not in result.stderr, where
    assert time.monotonic() - started < LONGEST, where
    lines = json_lines(report)
    reported = {line["source"].rpartition("/")[2] for line in lines}
    assert {*files} <= reported, where
    for line in lines:
        assert "\n" not in (line["error"] or ""), where
    names = names_in(folder / "out")
    assert not [name for name in names if name.startswith(".")], where
    return lines, int(result.stdout.split()[-1]) << 10


def test_an_hour_of_mutants(originals, tmp_path, tell):
    """Every file is made or refused in a line, in bounded memory and time."""
    until = time.monotonic() + SECONDS
    states: Counter[str] = Counter()
    ended = []
    peak = 0
    seed = FIRST_SEED
    while seed == FIRST_SEED or time.monotonic() < until:
        faulthandler.cancel_dump_traceback_later()  # of pytest, for the whole test
        lines, round_peak = run_round(originals, tmp_path / str(seed), seed)
        peak = max(peak, round_peak)
        states.update(line["state"] for line in lines)
        errors = [line["error"] or "" for line in lines]
        ended += [
            f"seed {seed}: {error}"
            for error in errors
            if any(reason in error for reason in REASONS)
        ]
        seed += 1
    assert peak < LARGEST
    tell(
        f"mutants through the command: {seed - FIRST_SEED} rounds of {FILES}; "
        f"{states['done']} enlarged, {states['failed']} refused in a line, of which "
        f"{len(ended)} had ended a worker; at most {peak >> 20} MiB"
    )
    for line in ended:
        tell(line)
