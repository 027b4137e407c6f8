"""A training tried: what it finds and counts, and that it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from srcli.errors import DataError, ModelError, RecipeError, UsageError
from srcli.metrics.efficiency import count_parameters
from srcli.pipelines.train import dry_run as module
from srcli.pipelines.train.dry_run import try_training
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.options import TrainOptions
from srcli.ports.progress import NoProgress
from srcli.recipes.files import apply_overrides, load_recipe
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


def test_a_trial_counts_and_leaves_nothing_behind(options, tmp_path, monkeypatch):
    recipe = apply_overrides(load_recipe("g-idrn-short"), TINY)
    parameters = count_parameters(first_network(recipe, scale=2, seed=0))
    network, machine, pictures, stage = try_training(options)
    assert network == f"g-idrn x2: {parameters:,} parameters"
    assert machine.endswith((", fp32", ", float32"))
    assert pictures.startswith("pictures: 19 to train on, 1 to validate on (")
    assert pictures.endswith("; 10 of them read, all take about 0 MiB of memory")
    assert stage.startswith("stage 1: 12,000 iterations, batch 2 of 16x16 LR pixels;")
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}
    monkeypatch.setattr(module, "loading_limits", lambda: (0, 1))
    assert "0 MiB of them in memory and the others in files" in try_training(options)[2]


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
    first, second = try_training(gan)[3:]
    assert first == "stage 1: 30 min, batch 2 of 8x8 LR pixels; one iteration was tried"
    assert second.startswith("stage 2: 30 min")


def test_where_few_pictures_are_large_enough_all_are_looked_at(options, astronaut):
    overrides = (*TINY, "stages.0.patch=48")
    with pytest.raises(DataError, match="no training picture has 48x48"):
        try_training(replace(options, overrides=overrides))
    Image.fromarray(astronaut[:128, :128]).save(options.data[0] / "c.png")
    assert "; 19 of them read" in try_training(replace(options, overrides=overrides))[2]


def test_broken_pictures_are_told_of(options):
    (options.data[0] / "b.png").write_bytes(b"broken")
    notes = Notes()
    assert "; 9 of them read" in try_training(options, notes)[2]
    assert len(notes.warnings) == 1
    assert "b.png" in notes.warnings[0]
    for file in options.data[0].iterdir():
        file.write_bytes(b"broken")
    with pytest.raises(DataError, match="can be used; the first"):
        try_training(options)


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
        try_training(replace(options, **change))


def test_several_processes_are_refused(options, monkeypatch):
    monkeypatch.setattr(module, "find_team", lambda: Team(connected=True, size=2))
    with pytest.raises(UsageError, match="without torchrun"):
        try_training(options)
