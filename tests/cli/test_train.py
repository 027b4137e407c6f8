"""The train command: exit codes, signals, what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from PIL import Image

from srcli.errors import PeerError
from srcli.pipelines.train import data as training_data
from srcli.pipelines.train import run
from srcli.recipes.files import RECIPES, read_recipe
from tests.fixtures.commands import words_of
from tests.fixtures.files import wait_until

ON_A_CORE = "--precision fp32 --threads 1 --device cpu -s 2"
SMALL = f"--set stages.0.batch=2 --set stages.0.patch=16 {ON_A_CORE}"
TRAIN = (
    "train g-idrn-short --set network.channels=16 --set network.num_blocks=2 "
    f"--set network.num_groups=1 {SMALL}"
)


@pytest.fixture
def pictures(tmp_path, astronaut, monkeypatch):
    """Six pictures in a folder; threads as before afterwards."""
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, (top, column) in enumerate(
        [(0, 0), (0, 64), (0, 96), (64, 0), (64, 64), (64, 96)]
    ):
        crop = astronaut[top : top + 64, column : column + 64]
        Image.fromarray(crop).save(folder / f"{'abcdef'[i]}.png")
    threads = torch.get_num_threads()
    yield folder
    torch.set_num_threads(threads)


def test_a_training_says_where_its_weights_are_and_is_finished_the_second_time(
    srx, pictures, tmp_path
):
    arguments = [TRAIN, "--data", pictures, "--out", tmp_path / "run"]
    begun = srx(*arguments, "--budget 5", code=0)
    assert f"weights: {tmp_path / 'run' / 'best.safetensors'}" in begun.err.replace(
        "\n", ""
    )
    assert "best validation" in begun.err
    refused = srx(*arguments, "--budget 5", code=2)
    assert "--resume" in refused.err
    again = srx(*arguments, "--resume", code=0)
    assert "already finished after 5 iterations" in again.err
    same = srx("train --resume", tmp_path / "run", "--budget 5")
    assert (same.code, "already finished" in same.err) == (0, True), same.err
    shorter = srx("train --resume", tmp_path / "run", "--budget 4", code=2)
    assert "is finished after 5 iterations; give a longer one" in shorter.err
    longer = srx("train --resume", tmp_path / "run", "--budget 9", code=0)
    assert "the budget was 5 and is 9 now: the schedule is that" in longer.err
    assert "trained 9 iterations" in longer.err
    changed = srx(*arguments, "--resume --seed 7", code=2)
    assert "holds another training" in changed.err


def test_a_stored_recipe_file_trains_again(srx, pictures, tmp_path):
    common = ["--data", pictures, "--budget", "2", "-q"]
    srx(TRAIN, *common, "--out", tmp_path / "a", code=0)
    stored = tmp_path / "a" / "recipe.json"
    second = srx(f"train {stored}", *common, "--out", tmp_path / "b", ON_A_CORE, code=0)
    assert second.err == ""
    assert (tmp_path / "b" / "recipe.json").read_bytes() == stored.read_bytes()


def test_a_degradation_is_a_word_of_its_own_and_can_be_refined(srx, pictures, tmp_path):
    degradation = "--degradation photo --set degradation.after.1.quality=50,60"
    common = ("--data", pictures, "--budget 1", degradation)
    trained = srx(TRAIN, *common, "--out", tmp_path / "a", code=0)
    assert "LR by degradation custom" in trained.err
    stored = json.loads((tmp_path / "a" / "recipe.json").read_text())["degradation"]
    assert stored["before"][0]["kind"] == "blur"
    assert stored["after"][1]["quality"] == [50, 60]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--set stages.0.bach=8",
            "no field 'bach' in stages.0; did you mean 'batch'?\n",
        ),
        ("-s 5", "'5' is not one of"),
        ("--degradation foto", "photo"),
        ("--tensorboard events", "pip install tensorboard"),
        ("--resume a --out b", "give one of the two folders"),
        ("--set network.chanels=8", "did you mean 'channels'"),
        ("--set stages.0.losses.0.name=huber", "huber"),
    ],
)
def test_wrong_words_are_refused_in_one_line(
    srx, pictures, tmp_path, monkeypatch, words, told
):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    if "--out" not in words:
        words += " --out run"
    result = srx(TRAIN, "--data", pictures, "--budget 5", words)
    assert result.code == 2
    assert told in result.err.splitlines(keepends=True)[-1]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.posix
def test_a_signal_ends_in_order_and_the_training_goes_on(srx, pictures, tmp_path):
    arguments = [TRAIN, "--data", pictures, "--out", tmp_path / "run"]
    command = [
        sys.executable,
        "-m",
        "srcli",
        *words_of(*arguments),
        "--budget",
        "100000",
    ]
    process = subprocess.Popen(
        [*command, "--checkpoint-every", "0.001s"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    wait_until((tmp_path / "run" / "state.safetensors").is_file, process)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert "go on with srx train --resume" in printed
    assert "Traceback" not in printed
    # already spent: ends at once
    resumed = srx(*arguments, "--resume --budget 1", code=0)
    assert "resumed at iteration" in resumed.err


def test_a_shown_recipe_is_a_file_that_gives_the_same_recipe(srx, tmp_path):
    file = tmp_path / "mine.json"
    others = []
    for name, recipe in RECIPES.items():
        shown = srx("train", name, "--show")
        assert (shown.code, shown.err) == (0, ""), name
        file.write_text(shown.out, encoding="utf-8")
        again = srx("train", file, "--show")
        if (read_recipe(file), again.out) != (recipe, shown.out):
            others.append(name)
    assert others == []


def test_a_shown_recipe_has_the_changes_that_were_asked_for(srx):
    changes = ["--set", "stages.0.batch=4", "--set", "network.channels=32"]
    plain = json.loads(srx("train --show g-idrn").out)
    shown = json.loads(srx("train --show g-idrn", *changes, "--degradation photo").out)
    assert shown["stages"][0]["batch"] == 4
    assert shown["network"] == {"channels": 32}
    assert shown["degradation"] != plain["degradation"]


def test_what_a_training_needs_is_named_at_once(srx):
    assert "needs --scale, --data, --out;" in srx("train g-idrn").err
    assert "needs RECIPE;" in srx("train --show").err
    nothing = srx("train --resume runs/a")
    assert (nothing.code, "--resume runs/a: holds no training" in nothing.err) == (
        2,
        True,
    )


def test_sets_are_named_in_the_last_line_and_tensorboard_gets_its_files(
    srx, pictures, tmp_path
):
    common = (TRAIN, "--data", pictures)
    sets = ("--validate", pictures, "--tensorboard", tmp_path / "events")
    result = srx(*common, "--out", tmp_path / "run", "--budget 5", *sets, code=0)
    assert ", pictures " in result.err.splitlines()[-1]
    assert list((tmp_path / "events").glob("events.out.tfevents.*"))
    for folder in (__file__, f"{__file__}/below"):
        out = ("--out", tmp_path / "other")
        refused = srx(*common, *out, "--tensorboard", folder, code=2)
        assert (
            f"--tensorboard {folder}: {__file__} is a file; give a folder"
            in refused.err
        )
    assert not (tmp_path / "other").exists()


def test_of_several_processes_only_the_first_tells_why_it_failed(
    srx, pictures, monkeypatch
):
    def failing(options, progress, stop):
        assert progress.quiet
        raise PeerError("told by the first")

    monkeypatch.setattr(run, "train", failing)
    rank = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for name, value in rank.items():
        monkeypatch.setenv(name, value)
    result = srx("train g-idrn -s 2 --data", pictures, "--out", pictures / "run")
    assert (result.code, result.out, result.err) == (1, "", "")


def test_pictures_that_do_not_fit_into_memory_train_the_same_weights(
    srx, pictures, tmp_path, monkeypatch
):
    def weights(out):
        command = f"train ddsr-short --set network.depth=3 --budget 4 {SMALL}"
        command += " --no-cache"
        result = srx(command, "--data", pictures, "--out", out, code=0)
        return result.err.replace("\n", " "), (out / "last.safetensors").read_bytes()

    printed, expected = weights(tmp_path / "plain")
    assert "lie in files" not in printed
    monkeypatch.setattr(training_data, "free_memory", lambda: 60_000)
    printed, got = weights(tmp_path / "tight")
    assert re.search(r"of pictures lie in files in \S*cache until the end", printed)
    assert got == expected
    assert not list((tmp_path / "cache").glob("srx-*"))


@pytest.mark.parametrize("start", ["", "backend='inductor' raised:\n"])
def test_a_compiler_that_is_missing_is_named_in_a_line(
    srx, pictures, tmp_path, monkeypatch, start
):
    """PyTorch finds out in the first iteration, below hundred lines of its own code."""

    def compile_network(network):
        def run(x):
            # what PyTorch 2.13 raises where there is no g++, with and without a start
            raise torch._dynamo.exc.TorchDynamoException(
                f"{start}InvalidCxxCompiler: No working C++ compiler "
                "found in torch._inductor.config.cpp.cxx: (None, 'g++')\n\nSet TORCHDYNAMO_"
            )

        return run

    monkeypatch.setattr(torch, "compile", compile_network)
    arguments = [TRAIN, "--data", pictures, "--out", tmp_path / "run", "--budget 3"]
    result = srx(*arguments, "--compile", code=2)
    last = " ".join(result.err.split("srx: ")[-1].split())
    assert "--compile: PyTorch's compiler fails (InvalidCxxCompiler: No working" in last
    assert "Leave --compile out" in last
    assert "TORCHDYNAMO" not in last
