"""What a training is given: plain and degraded pictures, and what is said of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.data.degrading import degrade_pairs
from srcli.data.patches import PatchSampler
from srcli.data.training_set import DataSelection, choose_split
from srcli.errors import DataError, UsageError
from srcli.pipelines.train.data import find_pairs, load_data, make_sampler
from srcli.recipes.degradation import BICUBIC, DEGRADATIONS
from srcli.recipes.training import Stage, TrainRecipe
from srcli.training.steps import Numerics, StepContext
from tests.fixtures.progress import Notes
from tests.fixtures.trainings import Net, make_pairs

AERIAL = DEGRADATIONS["aerial"]
PHOTO = DEGRADATIONS["photo"]

RECIPE = TrainRecipe(
    model="g-idrn", stages=(Stage(patch=16, batch=2), Stage(patch=24, batch=2))
)


@pytest.fixture
def options(tmp_path, astronaut):
    for name, picture in [
        ("a", astronaut),
        ("b", astronaut[:64]),
        ("c", astronaut[:40, :50]),
    ]:
        Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / f"{name}.png")
    return DataSelection(data=(tmp_path,), hold_out=("b",))


def test_held_out_pictures_are_degraded_once_and_for_all(options):
    notes = Notes()
    plain = load_data(options, 2, BICUBIC, Notes())
    degraded = load_data(options, 2, AERIAL, notes)
    assert "LR by degradation aerial" in notes.messages[-1]
    assert "validation once (seed 20)" in notes.messages[-1]
    assert plain.held_out is not None
    assert degraded.held_out is not None
    expected = degrade_pairs(plain.held_out, AERIAL)
    assert np.array_equal(degraded.held_out.lr[0], expected.lr[0])
    assert np.array_equal(degraded.held_out.hr[0], plain.held_out.hr[0])
    # the HR pixels are the data, the recipe says the rest
    assert degraded.digest == plain.digest


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_batches_are_read_ahead_for_another_device(options, device):
    recipe = replace(RECIPE, degradation=PHOTO)
    data = load_data(options, 2, PHOTO, Notes())
    notes = Notes()
    numerics = Numerics(device=torch.device(device))
    sampler = make_sampler(
        data.train, recipe, StepContext(network=Net(), numerics=numerics), notes
    )
    assert sampler.degradation == PHOTO
    lr, hr = sampler.batch(0, Stage(batch=2, patch=16))
    ahead = device != "cpu" and sys.platform == "linux"  # elsewhere forking is not safe
    assert bool(multiprocessing.active_children()) is ahead
    assert (lr.device.type, hr.device.type) == (device, device)
    # of the two stages' patches one is too large for one picture
    assert len(notes.warnings) == 1
    assert "smaller than a patch of 24x24" in notes.warnings[0]


@pytest.fixture
def samplers(astronaut):
    """The same batches, made in the call and made ahead by two processes."""
    pairs = make_pairs([astronaut], 2)
    return [
        PatchSampler(pairs, seed=1, degradation=AERIAL, workers=workers)
        for workers in (0, 2)
    ]


def same(a, b):
    return all(torch.equal(a, b) for a, b in zip(a, b, strict=True))


@pytest.mark.posix
def test_batches_are_the_same_in_and_out_of_order(samplers):
    sampler, ahead = samplers
    for step, batch, patch in [
        (0, 4, 16),
        (1, 4, 16),
        (2, 4, 16),
        (9, 4, 16),
        (3, 4, 16),
    ]:
        batch_ahead = ahead.batch(
            step, Stage(batch=batch, patch=patch, prefer_detail=True)
        )
        assert same(
            batch_ahead,
            sampler.batch(step, Stage(batch=batch, patch=patch, prefer_detail=True)),
        )
    # A new stage: other settings at the step that was made with the old ones.
    assert same(
        ahead.batch(4, Stage(batch=2, patch=24)),
        sampler.batch(4, Stage(batch=2, patch=24)),
    )
    shuffled = ahead.batch(5, Stage(batch=2, patch=24, shuffle_channels=True))
    assert same(
        shuffled, sampler.batch(5, Stage(batch=2, patch=24, shuffle_channels=True))
    )


@pytest.mark.posix
def test_batches_are_made_in_other_processes_and_ctrl_c_leaves_them_alone(samplers):
    sampler, ahead = samplers
    stage = Stage(batch=2, patch=16)
    ahead.batch(0, stage)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
    for step in range(1, 8):
        assert same(ahead.batch(step, stage), sampler.batch(step, stage))
    assert all(worker.is_alive() for worker in workers)


@pytest.mark.posix
def test_pytorchs_random_numbers_stay_the_same(samplers):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    samplers[1].batch(0, Stage(batch=2, patch=16))
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
        Image.fromarray(hr[::2, ::2]).save(
            folder / "LR_bicubic" / "X2" / f"080{i}x2.png"
        )
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
    for pairs_of_part, count in ((data.train, 2), (data.held_out, 1)):
        assert len(pairs_of_part.hr) == count
        for hr, lr_image in zip(pairs_of_part.hr, pairs_of_part.lr, strict=True):
            np.testing.assert_array_equal(hr[::2, ::2], lr_image)
    sampler = PatchSampler(data.train)
    lr_batch, hr_batch = sampler.batch(0, Stage(batch=8, patch=16, augmentation="none"))
    assert torch.equal(hr_batch[:, :, ::2, ::2], lr_batch)


def test_pairs_of_one_camera_are_several_photographs(tmp_path, astronaut):
    for i in range(6):
        for suffix, pixels in (("HR", astronaut), ("LR2", astronaut[::2, ::2])):
            Image.fromarray(pixels).save(tmp_path / f"Canon_00{i}_{suffix}.png")
    selection = DataSelection(data=(tmp_path,))
    split = choose_split(find_pairs(selection, 2), selection)
    assert [ref.name for ref in split.held_out] == ["Canon_000_HR"]
    assert len(split.train) == 5


def test_pairs_that_do_not_fit_are_named(pairs):
    small = pairs / "LR_bicubic" / "X2"
    Image.open(small / "0800x2.png").resize((20, 20)).save(small / "0800x2.png")
    notes = Notes()
    data = load_data(
        DataSelection(data=(pairs,), hold_out=("0801",)), 2, BICUBIC, notes
    )
    assert len(data.train.hr) == 1
    assert "0800x2.png: 20x20 is not 1/2 of" in "\n".join(notes.warnings)
    with pytest.raises(UsageError, match="LR of their own"):
        load_data(DataSelection(data=(pairs,)), 2, AERIAL, Notes())
    (small / "0802x2.png").unlink()
    with pytest.raises(DataError, match=r"--data 0802: no LR picture in .*X2"):
        load_data(DataSelection(data=(pairs,)), 2, BICUBIC, Notes())


@pytest.fixture
def folder(tmp_path, astronaut):
    for i, name in enumerate(
        ["a-1_00", "a-1_01", "b-2_00", "c-3_00", "d-4_00", "e-5_00"]
    ):
        Image.fromarray(astronaut[8 * i : 8 * i + 40, :48]).save(
            tmp_path / f"{name}.png"
        )
    return tmp_path


def load(folder, notes=None, **selection):
    return load_data(
        DataSelection(data=(folder,), **selection), 2, BICUBIC, notes or Notes()
    )


def test_the_digest_follows_both_parts_and_not_the_place(folder):
    former = load(folder).digest
    assert load(folder).digest == former
    assert (
        len(
            {former, *(load(folder, hold_out=names).digest for names in ((), ("c-3",)))}
        )
        == 3
    )


def test_nothing_usable_is_refused_with_the_first_problem(tmp_path):
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"the first problem: .*x\.png"):
        load(tmp_path)


def test_pictures_can_be_found_and_divided_without_being_read(folder):
    for file in folder.iterdir():
        file.write_bytes(b"not a picture")
    selection = DataSelection(data=(folder,), hold_out=("a-1",))
    split = choose_split(find_pairs(selection, 2), selection)
    assert [ref.name for ref in split.held_out] == ["a-1_00", "a-1_01"]
    assert [ref.name for ref in split.train] == ["b-2_00", "c-3_00", "d-4_00", "e-5_00"]


def test_pictures_held_out_by_rule_that_are_broken_give_way_to_the_next(folder):
    names = ("a-1_00", "a-1_01", "b-2_00")
    for name in names:
        (folder / f"{name}.png").write_bytes(b"broken")
    notes = Notes()
    data = load(folder, notes)
    assert data.held_out is not None
    assert (len(data.train.hr), len(data.held_out.hr)) == (2, 1)
    assert any("by rule" in text and "c-3" in text for text in notes.messages)
    assert [
        name in text for name, text in zip(names, notes.warnings, strict=True)
    ] == 3 * [True]
    assert load(folder).digest == data.digest
    named = load(folder, hold_out=("a-1",))
    assert (named.held_out, len(named.train.hr)) == (None, 3)


def test_every_picture_that_is_read_is_told_of_also_a_broken_one(folder):
    (folder / "b-2_01.png").write_bytes(b"broken")
    notes = Notes()
    load(folder, notes)
    totals = [("reading", 2), ("reading", 5)]
    assert [(label, total) for label, total, _ in notes.tasks] == totals
    assert [(label, advanced) for label, advanced, _ in notes.closed] == totals
