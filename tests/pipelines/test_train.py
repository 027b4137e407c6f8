"""Whole trainings of a tiny network: they learn; a killed one goes on as if nothing happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from srcli.errors import DataError, InferenceError, ModelError, RecipeError, SrxError, UsageError
from srcli.models.weights import load_model, read_weights
from srcli.pipelines.train import TrainOptions, train
from srcli.training.checkpoint import read_position

TINY = (
    "network.channels=16",
    "network.num_blocks=2",
    "network.num_groups=1",
    "stages.0.batch=2",
    "stages.0.patch=16",
)


class Notes:
    """Progress that remembers what was said."""

    def __init__(self):
        self.messages, self.warnings, self.described = [], [], []

    def task(self, label, *, total=None, unit=""):
        return self

    def advance(self, amount=1.0):
        pass

    def describe(self, text):
        self.described.append(text)

    def close(self):
        pass

    def message(self, text):
        self.messages.append(text)

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven photographs' crops of 96x96 as files."""
    from skimage import data

    folder = tmp_path_factory.mktemp("pictures")
    coffee, astronaut = data.coffee(), data.astronaut()
    for name, image, top, left in [
        ("cup", coffee, 100, 180),
        ("spoon", coffee, 250, 350),
        ("table", coffee, 20, 40),
        ("face", astronaut, 60, 180),
        ("rocket", astronaut, 200, 400),
        ("suit", astronaut, 350, 150),
        ("badge", astronaut, 330, 250),
    ]:
        Image.fromarray(image[top : top + 96, left : left + 96]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def options(pictures, tmp_path, monkeypatch):
    """A training of 30 iterations, one thread, fp32."""
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    yield TrainOptions(
        recipe="g-idrn-short",
        scale=2,
        data=(pictures,),
        out=tmp_path / "run",
        overrides=TINY,
        budget="30",
        precision="fp32",
        device="cpu",
        threads=1,
    )
    torch.set_num_threads(threads)


def stop_after(count):
    """Say stop at the ``count``-th question."""
    asked = iter(range(1, 10**6))
    return lambda: next(asked) >= count


def same_tensors(a, b):
    """Whether two weights files hold the same numbers to the last bit."""
    left, right = load_file(a), load_file(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_training_improves_and_its_weights_can_be_loaded(options):
    notes = Notes()
    result = train(replace(options, budget="60"), notes)
    log = [json.loads(line) for line in (options.out / "log.jsonl").read_text().splitlines()]
    scores = [entry["psnr"] for entry in log if entry["event"] == "validation"]
    assert len(scores) == 5
    rate = "stages.0.optimizer.learning_rate=1e-12"
    idle = replace(options, out=options.out.with_name("idle"), overrides=(*TINY, rate), budget="1")
    untrained = train(idle).best
    assert untrained is not None
    assert scores[-1] > untrained + 0.05
    assert result.finished
    assert result.iterations == 60
    assert result.best == max(scores)
    network = load_model(str(options.out / "best.safetensors"))
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)
    _, info = read_weights(options.out / "last.safetensors")
    assert info is not None
    assert (info.model, info.scale, info.network["channels"]) == ("g-idrn", 2, 16)
    assert info.notes["recipe"] == "g-idrn-short"
    assert info.notes["iterations"] == "60"
    assert any("held out by rule" in text for text in notes.messages)


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(options, pictures):
    options = replace(options, budget="60")
    settings = [part for setting in TINY for part in ("--set", setting)]
    killed = options.out.with_name("killed")
    command = [sys.executable, "-m", "srcli", "train", "g-idrn-short", "-s", "2"]
    command += ["--data", str(pictures), "--out", str(killed), "--budget", "60", *settings]
    command += ["--checkpoint-every", "0.001s", "--precision", "fp32", "--threads", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--device", "cpu"], env=environment, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (killed / "state.safetensors").is_file():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    position = read_position(killed / "state.safetensors")
    assert 0 < position.total < 60

    resumed = train(replace(options, out=killed, resume=True))
    whole = train(options)
    assert resumed.new_iterations == 60 - position.total
    assert resumed.best == whole.best
    assert same_tensors(killed / "best.safetensors", options.out / "best.safetensors")
    assert same_tensors(killed / "last.safetensors", options.out / "last.safetensors")
    assert same_tensors(killed / "state.safetensors", options.out / "state.safetensors")
    logs = [
        [
            (entry["event"], entry["total"], entry.get("psnr"))
            for entry in map(json.loads, (folder / "log.jsonl").read_text().splitlines())
        ]
        for folder in (killed, options.out)
    ]
    assert logs[0] == logs[1]


def test_half_precision_resumes_bit_for_bit_too(options):
    options = replace(options, precision="bf16", budget="12")
    whole, halves = options, replace(options, out=options.out.with_name("halves"))
    train(whole)
    stopped = train(halves, stop=stop_after(5))
    assert not stopped.finished
    assert stopped.iterations == 5
    train(replace(halves, resume=True))
    assert same_tensors(whole.out / "state.safetensors", halves.out / "state.safetensors")


def test_a_finished_run_stays_as_it_is(options):
    train(options)
    before = (options.out / "best.safetensors").read_bytes()
    again = train(replace(options, resume=True))
    assert again.finished
    assert again.new_iterations == 0
    assert (options.out / "best.safetensors").read_bytes() == before


def test_resume_takes_the_stored_budget_and_stretches_to_another(options):
    train(options, stop=stop_after(10))
    notes = Notes()
    result = train(replace(options, budget=None, resume=True), notes, stop_after(5))
    assert result.iterations == 15
    assert notes.warnings == []
    longer = train(replace(options, budget="40", resume=True), notes)
    assert longer.iterations == 40
    assert any("budget was 30 and is 40" in text for text in notes.warnings)


def test_resume_with_nothing_there_begins(options):
    notes = Notes()
    assert train(replace(options, budget="3", resume=True), notes).iterations == 3
    assert any("nothing to resume" in text for text in notes.messages)


def test_another_scale_begins_from_the_body_of_the_first(options):
    train(replace(options, budget="10"))
    best = options.out / "best.safetensors"
    notes = Notes()
    larger = replace(options, scale=4, init=best, out=options.out.with_name("x4"), budget="1")
    train(replace(larger, overrides=(*TINY, "stages.0.optimizer.learning_rate=1e-9")), notes)
    taken = [text for text in notes.messages if text.startswith("began from")]
    assert len(taken) == 1
    x2, x4 = load_file(best), load_file(larger.out / "last.safetensors")
    torch.testing.assert_close(x4["head.weight"], x2["head.weight"], atol=1e-6, rtol=0)
    assert x4["up.weight"].shape[0] == 48


def test_without_validation_the_last_weights_are_the_best(options):
    result = train(replace(options, hold_out=(), budget="3"))
    assert result.best is None
    assert same_tensors(options.out / "best.safetensors", options.out / "last.safetensors")


def test_the_seed_decides_the_patches(options):
    train(replace(options, budget="1"))
    init = options.out / "last.safetensors"
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        runs.append(replace(options, out=options.out.with_name(name), init=init, seed=seed))
        train(replace(runs[-1], budget="1", overrides=(*TINY, "stages.0.schedule.warmup=0")))
    states = [run.out / "state.safetensors" for run in runs]
    assert same_tensors(states[0], states[1])
    assert not same_tensors(states[0], states[2])


def test_named_photographs_are_validated_on(options):
    notes = Notes()
    train(replace(options, hold_out=("cup", "face"), budget="2"), notes)
    assert "5 pictures to train on, 2 to validate on" in notes.messages


def test_broken_and_small_pictures_are_left_out_by_name(options, pictures, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("cup", "face", "suit"):
        (folder / f"{name}.png").write_bytes((pictures / f"{name}.png").read_bytes())
    (folder / "broken.png").write_bytes((pictures / "spoon.png").read_bytes()[:500])
    Image.fromarray(np.zeros((9, 40, 3), np.uint8)).save(folder / "thin.png")
    notes = Notes()
    assert train(replace(options, data=(folder,), hold_out=(), budget="2"), notes).finished
    assert len(notes.warnings) == 2
    assert "broken.png" in notes.warnings[0]
    assert "thin.png" in notes.warnings[1]


def refusal(options, kind):
    """The one line with which a training is refused."""
    with pytest.raises(SrxError) as caught:
        train(options)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"recipe": "g-idm"}, RecipeError, "no recipe 'g-idm'"),
        ({"overrides": ("stages.0.bach=8",)}, RecipeError, "did you mean 'batch'?"),
        ({"overrides": ("network.chanels=8",)}, ModelError, "did you mean 'channels'?"),
        ({"overrides": ("network.channels=wide",)}, ModelError, "must be a whole number"),
        ({"overrides": ("network.block=resnet",)}, ModelError, "one of g-idb, rfdb"),
        ({"overrides": ("network.channels=20",)}, ModelError, "does not divide"),
        ({"overrides": ("model=bicubic",)}, ModelError, "nothing to train"),
        ({"overrides": ("stages.0.losses.0.name=l7",)}, RecipeError, "no loss 'l7'"),
        ({"overrides": ("stages.0.losses.1.options.sigm=1",)}, RecipeError, "mean 'sigma'?"),
        ({"overrides": (*TINY, "stages.0.patch=200")}, DataError, "use a smaller patch"),
        ({"budget": "soon"}, RecipeError, "budget 'soon'"),
        ({"checkpoint_every": "50"}, RecipeError, "has no unit"),
        ({"precision": "fp16"}, UsageError, "train in bf16 or fp32"),
        ({"device": "cuda:99"}, UsageError, "this machine has"),
        ({"scale": 5}, ModelError, "has no scale 5"),
        ({"hold_out": ("nobody",)}, DataError, "none of the pictures to hold out"),
        ({"exclude": ("",)}, DataError, "no training pictures are left"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options, change, kind, words):
    assert words in refusal(replace(options, **change), kind)
    assert not (options.out / "state.safetensors").exists()


def test_useless_data_are_refused_in_one_line(options, tmp_path):
    assert "no such file" in refusal(replace(options, data=(tmp_path / "x",)), DataError)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no pictures in" in refusal(replace(options, data=(empty,)), DataError)
    archive = tmp_path / "damaged.zip"
    archive.write_bytes(b"PK\x03\x04 not really")
    assert "not a readable zip" in refusal(replace(options, data=(archive,)), DataError)
    (empty / "a.png").write_bytes(b"nothing")
    assert "the first problem" in refusal(replace(options, data=(empty,)), DataError)


def test_a_used_folder_is_refused_and_another_training_not_resumed(options, pictures):
    train(options, stop=stop_after(3))
    assert "already holds a training" in refusal(options, UsageError)
    again = replace(options, resume=True)
    changed = (*TINY, "ema_decay=0.5")
    assert "ema_decay is 0.999 there, 0.5 now" in refusal(
        replace(again, overrides=changed), UsageError
    )
    assert "seed is 0" in refusal(replace(again, seed=1), UsageError)
    assert "scale is 2" in refusal(replace(again, scale=3), UsageError)
    fewer = (pictures / "cup.png", pictures / "face.png")
    assert "data is" in refusal(replace(again, data=fewer), UsageError)
    assert "other weights" in refusal(
        replace(again, init=options.out / "last.safetensors"), UsageError
    )
    (options.out / "state.safetensors").write_bytes(b"damaged")
    assert "cannot be resumed" in refusal(again, DataError)


def test_an_output_that_cannot_be_written_is_refused(options, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in refusal(replace(options, out=file), UsageError)
    assert "cannot be written" in refusal(replace(options, out=file / "run"), DataError)


def test_a_disk_that_fills_up_ends_the_training_in_one_line(options, monkeypatch):
    def full(*arguments, **names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("srcli.training.checkpoint.write_whole", full)
    message = refusal(options, DataError)
    assert "No space left on device" in message
    assert "--resume" in message


def test_a_diverging_training_says_what_to_change(options):
    wild = (*TINY, "stages.0.optimizer.learning_rate=1e30", "stages.0.schedule.warmup=0")
    assert "lower rate" in refusal(replace(options, overrides=wild), InferenceError)
    assert not (options.out / "state.safetensors").exists()
