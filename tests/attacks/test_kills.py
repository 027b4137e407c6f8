"""Commands are killed at random moments: the next run gives the same files, and leaves nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.attack

KILLS = {"upscale": 16, "eval": 8, "train": 12}
HELPER = """
import os, signal, sys, time, json
import torch, rasterio
torch.set_num_threads(1)
import srcli.pipelines.upscale.run, srcli.pipelines.evaluate.run, srcli.pipelines.train.run
from srcli.cli.main import run
for line in sys.stdin:
    seconds, arguments = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        code = run(arguments)
        os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""
"""Runs commands in processes that begin at once, and kills them after the given seconds."""


@pytest.fixture(scope="module")
def helper(tmp_path_factory):
    import json

    log = (tmp_path_factory.mktemp("log") / "log").open("w+")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=log, text=True, env=environment,
    ) as process:  # fmt: skip

        def run(arguments, seconds=None):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([seconds, [*map(str, arguments)]]) + "\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            if seconds is None and code:
                log.seek(0)
                pytest.fail(f"exit code {code}: {log.read()[-2000:]}")
            return code

        yield run
        assert process.stdin is not None
        process.stdin.close()
    log.close()


def contents(folder):
    """Return the files of a folder that no clock and no process is written into."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".jsonl", ".json", ".lock")
    }


def attack(helper, folder, arguments, kills, *, resume=()):
    """Kill runs, three into one folder, and compare what the next gives with a run left alone."""
    import time

    start = time.monotonic()
    helper([*arguments, folder / "whole"])
    longest = time.monotonic() - start
    whole = contents(folder / "whole")
    assert whole
    draw = random.Random(28)
    killed = 0
    while killed < kills:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        more = ()
        for _ in range(3):  # one run after the other into the same folder
            code = helper([*arguments, out, *more], draw.uniform(0.02, 0.7 * longest))
            killed += code == -signal.SIGKILL
            more = resume if out.exists() else ()
            for name, content in contents(out).items() if not resume else ():
                assert name.startswith(".") or content == whole[name]
        helper([*arguments, out, *more])
        assert contents(out) == whole
    return killed


def test_upscale(tmp_path, originals, helper, tell):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(6):
        for suffix in (".png", ".jpg", ".geo.tif"):
            (source / f"{i}{suffix[1:].replace('.', '_')}.{suffix.rpartition('.')[2]}").write_bytes(
                originals[suffix]
            )
    arguments = ["upscale", source, "-m", "g-idrn", "-s", "2", "-q", "--device", "cpu", "-o"]
    killed = attack(helper, tmp_path, arguments, KILLS["upscale"])
    tell(f"kills of srx upscale: {killed}; all outputs equal those of a run left alone")


def test_train(tmp_path, originals, helper, tell):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        (pictures / f"{i}.png").write_bytes(originals[".png"])
    tiny = ["--set", "stages.0.batch=1", "--set", "stages.0.patch=8", "--hold-out", "none"]
    machine = ["--device", "cpu", "--precision", "fp32", "--threads", "1", "-q"]
    often = ["--checkpoint-every", "0.2s", "--budget", "25"]
    arguments = ["train", "ddsr-short", "-s", "2", "--data", pictures, *tiny, *machine, *often]
    arguments.append("--out")
    killed = attack(helper, tmp_path, arguments, KILLS["train"], resume=["--resume"])
    tell(f"kills of srx train: {killed}; resumed weights equal those of a run left alone")


def test_eval(tmp_path, originals, helper, tell):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(8):
        (pictures / f"{i}.png").write_bytes(originals[".png"])
    quick = ["-q", "--no-cost", "--no-cache", "--metrics", "psnr", "--device", "cpu"]
    arguments = ["eval", "-m", "g-idrn", "-s", "2", "--data", pictures, *quick, "--csv"]
    draw = random.Random(28)
    out = tmp_path / "a.csv"
    for _ in range(KILLS["eval"]):
        helper([*arguments, out], draw.uniform(0.02, 1.5))
        if out.exists():
            assert out.read_bytes().count(b"\n") > 8
            out.unlink()
    helper([*arguments, out])
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "a.csv"}
    tell(f"kills of srx eval: {KILLS['eval']}; the table is whole or missing, nothing is left")
