"""A training tried: what it finds, what it counts, and that it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from srcli.data.held_out import Split
from srcli.data.pictures import PictureRef
from srcli.errors import DataError, ModelError, RecipeError, UsageError
from srcli.metrics.efficiency import count_parameters
from srcli.pipelines.train import estimate as module
from srcli.pipelines.train.estimate import StageEstimate, TrainingEstimate, estimate_training
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.options import TrainOptions
from srcli.ports.progress import NoProgress
from srcli.recipes.files import apply_overrides, load_recipe
from srcli.recipes.training import Stage
from srcli.training.budget import Budget
from srcli.training.parallel import Team

TINY = (
    "network.channels=16",
    "network.num_blocks=2",
    "network.num_groups=1",
    "stages.0.batch=2",
    "stages.0.patch=16",
)


class Notes(NoProgress):
    """Progress that remembers what was warned of."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def options(tmp_path, astronaut, monkeypatch):
    """A tiny training of twenty crops, of which sixteen at most are read."""
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(20):
        crop = astronaut[4 * (i % 8) :, 8 * (i // 8) :][:64, :64]
        Image.fromarray(crop).save(folder / f"{chr(97 + i)}.png")
    threads = torch.get_num_threads()
    yield TrainOptions(
        recipe="g-idrn-short",
        scale=2,
        data=(folder,),
        out=tmp_path / "run",
        overrides=TINY,
        precision="fp32",
        device="cpu",
        threads=1,
    )
    torch.set_num_threads(threads)


def test_a_trial_counts_and_measures_and_leaves_nothing_behind(options, tmp_path):
    found = estimate_training(options)
    recipe = apply_overrides(load_recipe("g-idrn-short"), TINY)
    network = first_network(recipe, scale=2, seed=0)
    assert found.parameters == count_parameters(network)
    assert (len(found.split.train), len(found.split.held_out), found.read) == (19, 1, 10)
    (stage,) = found.stages
    assert (stage.stage.batch, stage.stage.patch) == (2, 16)
    assert stage.seconds > 0
    assert stage.iterations == 12_000
    assert stage.hours == pytest.approx(12_000 * stage.seconds / 3600)
    # Weights, their averages and two moments; the rest is small.
    assert found.parameters * 16 <= stage.held_bytes < found.parameters * 17 + 4096
    assert stage.peak_bytes is not None
    assert stage.peak_bytes > 2 * 16 * 16 * 16 * 4
    assert found.pixel_bytes == 64 * 64 * 3 * 5 // 4 * 19
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}


def test_a_larger_patch_takes_more_memory(options):
    small = estimate_training(options).stages[0].peak_bytes
    large = (
        estimate_training(replace(options, overrides=(*TINY, "stages.0.patch=32")))
        .stages[0]
        .peak_bytes
    )
    assert small is not None
    assert large is not None
    assert 2 * small < large < 6 * small


def test_every_stage_is_tried_also_an_adversarial_one(options):
    stages = (
        "stages.0.batch=2",
        "stages.1.batch=2",
        "stages.0.steps=100",
        "stages.1.steps=100",
        "stages.0.patch=8",
        "stages.1.patch=8",
        "network.channels=12",
        "network.steps=1",
        "network.num_rdb=1",
        "network.growth=4",
        "stages.1.adversarial.options.widths=4,4,6,6",
        "stages.1.adversarial.options.decoder=[4]",
    )
    gan = replace(options, recipe="attentive-gan-short", overrides=stages, scale=4, budget="1h")
    first, second = estimate_training(gan).stages
    assert second.held_bytes > first.held_bytes  # the discriminator
    assert (first.hours, second.hours) == (0.5, 0.5)
    assert first.iterations == int(1800 / first.seconds)


def test_what_is_told_can_be_read():
    stage = StageEstimate(
        stage=Stage(batch=8, patch=48),
        seconds=0.25,
        peak_bytes=3 * 2**30,
        held_bytes=5 * 2**20,
        budget=Budget(steps=36_000),
    )
    ref = PictureRef(path=Path("a.png"))
    split = Split(train=[ref] * 800, held_out=[ref] * 16, reason="held out by name: 16", excluded=7)
    found = TrainingEstimate(
        model="g-idrn",
        scale=4,
        parameters=579_738,
        machine="cpu (Some Processor), 2 threads, torch 2",
        precision="bfloat16",
        split=split,
        read=16,
        pixel_bytes=2**31,
        memory_of="host",
        stages=(stage, stage),
    )
    text = "\n".join(found.lines())
    assert "g-idrn x4: 579,738 parameters" in text
    assert "800 to train on, 16 to validate on (held out by name: 16), 7 excluded;" in text
    assert "16 of them read, all take about 2.0 GiB of memory" in text
    assert "stage 2: batch 8 of 48x48 LR pixels: 250 ms an iteration" in text
    assert "peak memory 3.0 GiB, beside 5 MiB" in text
    assert "budget: 72,000 iterations in 5 h" in text
    tight = "\n".join(replace(found, memory_limit=2**29).lines())
    assert "all take about 2.0 GiB, 512 MiB of them in memory and the others in files" in tight


def test_where_few_pictures_are_large_enough_all_are_looked_at(options, astronaut):
    overrides = (*TINY, "stages.0.patch=48")
    with pytest.raises(DataError, match="no training picture has 48x48"):
        estimate_training(replace(options, overrides=overrides))
    Image.fromarray(astronaut[:128, :128]).save(options.data[0] / "c.png")
    assert estimate_training(replace(options, overrides=overrides)).read == 19


def test_broken_pictures_are_told_of(options):
    (options.data[0] / "b.png").write_bytes(b"broken")
    notes = Notes()
    assert estimate_training(options, notes).read == 9
    assert len(notes.warnings) == 1
    assert "b.png" in notes.warnings[0]
    for file in options.data[0].iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="can be used; the first"):
        estimate_training(options)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"recipe": "g-idm"}, RecipeError, "no recipe 'g-idm'"),
        ({"budget": "soon"}, RecipeError, "budget 'soon'"),
        ({"overrides": ("network.chanels=8",)}, ModelError, "did you mean 'channels'"),
        ({"precision": "fp16"}, UsageError, "bf16 or fp32"),
    ],
)
def test_what_does_not_fit_shows_before_the_training(options, change, kind, words):
    with pytest.raises(kind, match=words):
        estimate_training(replace(options, **change))


def test_several_processes_are_refused(options, monkeypatch):
    monkeypatch.setattr(module, "find_team", lambda: Team(connected=True, size=2))
    with pytest.raises(UsageError, match="without torchrun"):
        estimate_training(options)
