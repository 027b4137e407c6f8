"""What a training is given: plain and degraded pictures, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.data.degraded_patches import DegradedSampler
from srcli.data.degrading import degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.read_ahead import ReadAhead
from srcli.data.training_set import DataOptions
from srcli.errors import DataError
from srcli.imaging.resize import downscale
from srcli.pipelines.training_data import load_data, make_sampler
from srcli.ports.progress import NoProgress
from srcli.recipes.degradation import AERIAL, BICUBIC, PHOTO
from srcli.recipes.training import Stage, TrainRecipe

CPU = torch.device("cpu")
RECIPE = TrainRecipe(model="g-idrn", stages=(Stage(patch=16, batch=2), Stage(patch=24, batch=2)))


class Notes(NoProgress):
    """Progress that remembers what was said."""

    def __init__(self):
        self.messages, self.warnings = [], []

    def message(self, text):
        self.messages.append(text)

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def options(tmp_path, astronaut):
    for name, picture in [("a", astronaut), ("b", astronaut[:64]), ("c", astronaut[:40, :50])]:
        Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / f"{name}.png")
    return DataOptions(paths=(tmp_path,), hold_out=("b",))


def test_bicubic_training_is_told_nothing_new(options, astronaut):
    notes = Notes()
    data = load_data(options, 2, BICUBIC, notes)
    assert notes.messages == ["2 pictures to train on, 1 to validate on", "held out by name: 1"]
    assert data.held_out is not None
    assert np.array_equal(data.held_out.lr[0], downscale(astronaut[:64], 2))


def test_held_out_pictures_are_degraded_once_and_for_all(options):
    notes = Notes()
    plain, made = load_data(options, 2, BICUBIC, Notes()), load_data(options, 2, AERIAL, notes)
    assert "LR by degradation aerial" in notes.messages[-1]
    assert "validation once (seed 20)" in notes.messages[-1]
    assert plain.held_out is not None
    assert made.held_out is not None
    expected = degrade_pairs(plain.held_out, AERIAL)
    assert np.array_equal(made.held_out.lr[0], expected.lr[0])
    assert np.array_equal(made.held_out.hr[0], plain.held_out.hr[0])
    assert made.digest == plain.digest  # the HR pixels are the data, the recipe says the rest


@pytest.mark.parametrize(("device", "kind"), [("cpu", DegradedSampler), ("meta", ReadAhead)])
def test_degraded_batches_are_read_ahead_for_another_device(options, device, kind):
    recipe = replace(RECIPE, degradation=PHOTO)
    data, notes = load_data(options, 2, PHOTO, Notes()), Notes()
    made = make_sampler(
        data.train, recipe, device=torch.device(device), seed=0, colour="rgb", progress=notes
    )
    assert type(made) is kind
    lr, hr = made.batch(0, batch=2, patch=16)
    assert (lr.device.type, hr.device.type) == (device, device)
    assert len(notes.warnings) == 1  # of the two stages' patches one is too large for one picture
    assert "smaller than a patch of 24x24" in notes.warnings[0]


def test_clean_batches_come_from_the_device_as_ever(options):
    data = load_data(options, 2, BICUBIC, Notes())
    made = make_sampler(data.train, RECIPE, device=CPU, seed=0, colour="y", progress=Notes())
    assert type(made) is PatchSampler
    assert made.batch(0, batch=2, patch=16)[0].shape == (2, 1, 16, 16)
    large = replace(RECIPE, stages=(Stage(patch=500),))
    data = load_data(options, 2, BICUBIC, Notes())
    with pytest.raises(DataError, match="use a smaller patch"):
        make_sampler(data.train, large, device=CPU, seed=0, colour="rgb", progress=Notes())
