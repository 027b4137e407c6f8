"""What a training is given: plain and degraded pictures, and what is said of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.data.degrading import degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.training_set import DataSelection, make_pairs
from srcli.errors import DataError, UsageError
from srcli.pipelines.train.data import PrefetchSampler, load_data, make_sampler
from srcli.recipes.degradation import BICUBIC, DEGRADATIONS
from srcli.recipes.training import Stage, TrainRecipe
from tests.fixtures.progress import Notes

AERIAL, PHOTO = DEGRADATIONS["aerial"], DEGRADATIONS["photo"]

CPU = torch.device("cpu")
RECIPE = TrainRecipe(model="g-idrn", stages=(Stage(patch=16, batch=2), Stage(patch=24, batch=2)))


@pytest.fixture
def options(tmp_path, astronaut):
    for name, picture in [("a", astronaut), ("b", astronaut[:64]), ("c", astronaut[:40, :50])]:
        Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / f"{name}.png")
    return DataSelection(data=(tmp_path,), hold_out=("b",))


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


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_batches_are_read_ahead_for_another_device(options, device):
    recipe = replace(RECIPE, degradation=PHOTO)
    data, notes = load_data(options, 2, PHOTO, Notes()), Notes()
    made = make_sampler(
        data.train, recipe, device=torch.device(device), seed=0, colour="rgb", progress=notes
    )
    assert made.sampler.degradation == PHOTO
    lr, hr = made.batch(0, Stage(batch=2, patch=16))
    assert bool(multiprocessing.active_children()) is (device != "cpu")
    assert (lr.device.type, hr.device.type) == (device, device)
    assert len(notes.warnings) == 1  # of the two stages' patches one is too large for one picture
    assert "smaller than a patch of 24x24" in notes.warnings[0]


@pytest.fixture
def sampler(astronaut):
    pairs = make_pairs([astronaut], 2)
    return PatchSampler(pairs, seed=1, degradation=AERIAL)


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_batches_are_the_same_in_and_out_of_order(sampler):
    ahead = PrefetchSampler(sampler, CPU, workers=2)
    for step, batch, patch in [(0, 4, 16), (1, 4, 16), (2, 4, 16), (9, 4, 16), (3, 4, 16)]:
        made = ahead.batch(step, Stage(batch=batch, patch=patch, prefer_detail=True))
        assert same(made, sampler.batch(step, Stage(batch=batch, patch=patch, prefer_detail=True)))
    # A new stage: other settings at the step that was made with the old ones.
    assert same(
        ahead.batch(4, Stage(batch=2, patch=24)), sampler.batch(4, Stage(batch=2, patch=24))
    )
    shuffled = ahead.batch(5, Stage(batch=2, patch=24, shuffle_channels=True))
    assert same(shuffled, sampler.batch(5, Stage(batch=2, patch=24, shuffle_channels=True)))


def test_batches_are_made_in_other_processes_and_ctrl_c_leaves_them_alone(sampler):
    ahead = PrefetchSampler(sampler, CPU, workers=2)
    stage = Stage(batch=2, patch=16)
    ahead.batch(0, stage)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for each in workers:
        assert each.pid is not None
        os.kill(each.pid, signal.SIGINT)
    for step in range(1, 8):
        assert same(ahead.batch(step, stage), sampler.batch(step, stage))
    assert all(each.is_alive() for each in workers)


def test_pytorchs_random_numbers_stay_the_same(sampler):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    PrefetchSampler(sampler, CPU, workers=1).batch(0, Stage(batch=2, patch=16))
    assert torch.equal(torch.rand(3), expected)


@pytest.fixture
def pairs(tmp_path, astronaut):
    """Make three pictures with LR that no bicubic filter gives, in DIV2K's folders."""
    folder = tmp_path / "set"
    (folder / "HR").mkdir(parents=True)
    (folder / "LR_bicubic" / "X2").mkdir(parents=True)
    for i in range(3):
        hr = astronaut[8 * i : 8 * i + 60, :80]
        Image.fromarray(hr).save(folder / "HR" / f"080{i}.png")
        Image.fromarray(hr[::2, ::2]).save(folder / "LR_bicubic" / "X2" / f"080{i}x2.png")
    return folder


@pytest.mark.parametrize("given", ["whole", "hr and lr"])
def test_pairs_are_read_as_they_lie_in_their_folders(pairs, given):
    selection = DataSelection(data=(pairs,), hold_out=("0801",))
    if given == "hr and lr":
        lr = (pairs / "LR_bicubic" / "X2").rename(pairs.parent / "small")
        selection = replace(selection, data=(pairs / "HR",), lr=lr)
    notes = Notes()
    data = load_data(selection, 2, BICUBIC, notes)
    assert "LR pictures are read from files" in notes.messages
    assert data.held_out is not None
    for part, count in ((data.train, 2), (data.held_out, 1)):
        assert len(part.hr) == count
        for hr, lr_image in zip(part.hr, part.lr, strict=True):
            np.testing.assert_array_equal(hr[::2, ::2], lr_image)
    sampler = PatchSampler(data.train)
    lr_batch, hr_batch = sampler.batch(0, Stage(batch=8, patch=16, augmentation="none"))
    assert torch.equal(hr_batch[:, :, ::2, ::2], lr_batch)


def test_pairs_that_do_not_fit_are_named(pairs):
    small = pairs / "LR_bicubic" / "X2"
    Image.open(small / "0800x2.png").resize((20, 20)).save(small / "0800x2.png")
    notes = Notes()
    data = load_data(DataSelection(data=(pairs,), hold_out=("0801",)), 2, BICUBIC, notes)
    assert len(data.train.hr) == 1
    assert any("0800x2.png: 20x20 is not 1/2 of" in text for text in notes.warnings)
    with pytest.raises(UsageError, match="LR of their own"):
        load_data(DataSelection(data=(pairs,)), 2, AERIAL, Notes())
    (small / "0802x2.png").unlink()
    with pytest.raises(DataError, match=r"--data 0802: no LR picture in .*X2"):
        load_data(DataSelection(data=(pairs,)), 2, BICUBIC, Notes())
