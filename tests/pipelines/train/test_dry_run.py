"""A dry run of a training: what it finds and counts, and that it leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from srcli.errors import ModelError, RecipeError, UsageError
from srcli.metrics.efficiency import count_parameters
from srcli.pipelines.train import run as module
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import plan_training
from srcli.recipes.files import apply_overrides, load_recipe
from srcli.training.parallel import Team

TINY = (
    "network.channels=16",
    "network.num_blocks=2",
    "network.num_groups=1",
    "stages.0.batch=2",
    "stages.0.patch=16",
)


@pytest.fixture
def options(tmp_path, astronaut, monkeypatch):
    """A tiny training of twenty crops."""
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


def test_a_dry_run_counts_and_leaves_nothing_behind(options, tmp_path):
    recipe = apply_overrides(load_recipe("g-idrn-short"), TINY)
    parameters = count_parameters(first_network(recipe, scale=2, seed=0))
    network, machine, pictures, disk, stage = plan_training(options)
    assert network == f"g-idrn x2: {parameters:,} parameters"
    assert machine.endswith((", fp32", ", float32"))
    assert pictures.startswith("pictures: 19 to train on, 1 to validate on (")
    assert disk.startswith("disk: about ")
    assert stage == "stage 1: 12,000 iterations, batch 2 of 16x16 LR pixels"
    assert {path.name for path in tmp_path.iterdir()} == {"pictures"}
    assert "stage 1: 1 h, " in plan_training(replace(options, budget="1h"))[-1]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"recipe": "g-idm"}, RecipeError, "no recipe 'g-idm'"),
        ({"budget": "soon"}, RecipeError, "budget 'soon'"),
        ({"overrides": ("network.chanels=8",)}, ModelError, "did you mean 'channels'"),
        ({"precision": "fp16"}, UsageError, "bf16 or fp32"),
        ({"overrides": ("stages.0.losses.0.name=huber",)}, RecipeError, "huber"),
    ],
)
def test_what_does_not_fit_shows_before_the_training(options, change, kind, words):
    with pytest.raises(kind, match=words):
        plan_training(replace(options, **change))


def test_several_processes_are_refused(options, monkeypatch):
    monkeypatch.setattr(module, "find_team", lambda: Team(connected=True, size=2))
    with pytest.raises(UsageError, match="without torchrun"):
        plan_training(options)
