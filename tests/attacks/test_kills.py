"""Commands are killed at random moments: the next run gives the same files, and leaves nothing."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time

import pytest

from tests.attacks.conftest import ALONE, TINY
from tests.fixtures.ablations import ABLATION_FILE
from tests.fixtures.files import names_in

KILLS = {"upscale": 20, "train": 12, "eval": 10, "ablate": 8, "export": 10}
"""60; three more of ``srx upscale`` in every run of the suite."""


@pytest.fixture
def run(fork):
    """Run a command to its end."""

    def whole(arguments):
        result = fork(arguments)
        assert result.code == 0, result.text[-2000:]

    return whole


@pytest.fixture
def mixed(tmp_path, originals, request):
    """Photographs and rasters, 18 in all; three in every run of the suite."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(6 if request.node.get_closest_marker("attack") else 1):
        for suffix in (".png", ".jpg", ".geo.tif"):
            name = f"{i}{suffix[1:].replace('.', '_')}.{suffix.rpartition('.')[2]}"
            (folder / name).write_bytes(originals[suffix])
    return folder


def contents(folder):
    """Return the files of a folder that no clock and no process is written into."""
    return {
        str(path.relative_to(folder)): without_clock(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".jsonl", ".json", ".lock")
    }


def without_clock(path):
    """Return the content of a file; of a checkpoint without the time that its training took."""
    content = path.read_bytes()
    if path.name != "state.safetensors":
        return content
    end = 8 + int.from_bytes(content[:8], "little")
    return re.sub(rb'elapsed\\": [^,]+', b"", content[8:end]).rstrip() + content[end:]


def attack(fork, run, folder, command, kills):
    """Kill runs, three into one folder, and compare what the next gives with a run left alone.

    Args:
        fork: Runs a command in a process of its own.
        run: The same, to its end.
        folder: For two folders of outputs.
        command: Returns the command for one of them; files in it may be replaced until
            it ends.
        kills: How often.
    """
    resume = ("--resume",) if "train" in command(folder) else ()
    grows = bool({"train", "ablate"} & set(command(folder)))
    run(command(folder / "first"))  # takes longer than all others
    start = time.monotonic()
    run(command(folder / "whole"))
    longest = time.monotonic() - start
    expected = contents(folder / "whole")
    assert expected
    draw = random.Random(28)
    killed = 0
    while killed < kills:
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        options: tuple[str, ...] = ()
        for _ in range(3):  # one run after the other into the same folder
            ended = fork([*command(out), *options], draw.uniform(0.02, 0.7 * longest))
            killed += ended.code == -signal.SIGKILL
            options = resume if out.exists() else ()
            for name, content in contents(out).items():
                assert (
                    name.startswith(".")
                    or "/." in name
                    or grows
                    or content == expected[name]
                )
            for file in out.rglob("*.json"):
                json.loads(file.read_text())
        run([*command(out), *options])
        assert contents(out) == expected
    return killed


def test_three_runs_are_killed_and_go_on(tmp_path, mixed, fork, run):
    words = ["upscale", mixed, "-m bicubic -s 2 -q --device cpu -o"]
    assert attack(fork, run, tmp_path, lambda out: [*words, out], 3) >= 3


@pytest.mark.attack
@pytest.mark.parametrize("name", ["upscale", "train", "ablate", "export"])
def test_commands(tmp_path, mixed, pictures, fork, run, tell, name):
    file = tmp_path / "mine.toml"
    file.write_text(ABLATION_FILE)
    small = f"--data {pictures} {TINY} {ALONE}"
    often = "--checkpoint-every 0.2s --budget 25"
    words = {
        "upscale": [mixed, "-m g-idrn -s 2 -q --device cpu -o"],
        "train": ["ddsr-short", "-s 2", small, often, "--out"],
        "ablate": ["run", file, small, f"--sets {pictures} --budget 4 --out"],
        "export": ["-m rrlfn -s 2 -q --overwrite"],
    }[name]

    def command(out):
        if name != "export":
            return [name, *words, out]
        out.mkdir(exist_ok=True)
        return [name, *words, out / "a.pt"]

    killed = attack(fork, run, tmp_path, command, KILLS[name])
    tell(f"kills of srx {name}: {killed}; all outputs equal those of a run left alone")


@pytest.mark.attack
def test_eval(tmp_path, pictures, fork, run, tell):
    quick = "-q --no-cost --metrics psnr --device cpu --json"
    words = [f"eval -m g-idrn -s 2 --data {pictures} {quick}"]
    draw = random.Random(28)
    out = tmp_path / "a.json"
    killed = 0
    for _ in range(KILLS["eval"]):
        killed += fork([*words, out], draw.uniform(0.02, 1.5)).code == -signal.SIGKILL
        if out.exists():
            assert json.loads(out.read_text())["means"]
            out.unlink()
    run([*words, out])
    assert names_in(tmp_path) == ["a.json", "pictures"]
    tell(f"kills of srx eval: {killed}; the table is whole or missing, nothing is left")
