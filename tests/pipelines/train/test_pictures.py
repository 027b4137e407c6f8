"""The GIF of a training shows crops of its validation, from iteration to iteration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

from srcli.data.training_set import Pairs
from srcli.imaging.pixels.resize import resize
from srcli.layers.network import Network
from srcli.pipelines.train import pictures, report
from srcli.pipelines.train.pictures import ProgressPictures
from srcli.training.folder import RunFolder
from srcli.training.steps import Numerics

GRAYS = (40, 90, 160)
"""Of what the network makes at each validation."""


class Flat(Network):
    """Makes every picture a flat gray, as a network that learns one."""

    def __init__(self) -> None:
        super().__init__(scale=2)
        self.gray = nn.Parameter(torch.zeros(()))

    def _enlarge(self, x: torch.Tensor) -> torch.Tensor:
        return self.gray.expand(x.shape[0], 3, 2 * x.shape[2], 2 * x.shape[3])


@pytest.fixture
def pairs():
    """Two pictures, the second of 16 bits, whose right halves have detail."""
    rng = np.random.default_rng(2)
    hr = np.full((120, 400, 3), 30, np.uint8)
    hr[:, 200:] = rng.integers(0, 255, (120, 200, 1))
    deep = hr.astype(np.uint16) * 257
    return Pairs(scale=2, hr=[hr, deep], lr=[hr[::2, ::2], deep[::2, ::2]], digest="")


def validate(progress: ProgressPictures, network: Flat, iteration: int) -> None:
    """Validate a network at an iteration, as a training does."""
    watched = progress.watch(lambda network: {"held-out": [30.0]})
    assert watched is not None
    with torch.no_grad():
        network.gray.fill_(GRAYS[iteration % 3] / 255)
    assert watched(network) == {"held-out": [30.0]}
    progress.add({"event": "train", "total": iteration})
    progress.add({"event": "validation", "total": iteration, "psnr": 30.0})


def frames_of(progress: ProgressPictures) -> list[np.ndarray]:
    """Decode the GIF."""
    with Image.open(progress.file) as turns:
        return [
            np.asarray(turn.convert("RGB")).astype(int)
            for turn in ImageSequence.Iterator(turns)
        ]


def test_it_begins_with_the_input_and_ends_with_the_original(tmp_path, pairs):
    numerics = Numerics(device=torch.device("cpu"))
    progress = ProgressPictures(RunFolder(tmp_path), {"a": pairs, "b": pairs}, numerics)
    network = Flat().eval()
    progress.write()
    assert not [*tmp_path.iterdir()]  # nothing before the first validation
    for iteration in range(3):
        validate(progress, network, iteration)
    progress.write()
    frames = frames_of(progress)
    # crops of 160x120 from where the detail is, twice as large
    assert frames[0].shape == (240 + 8 + 28, 2 * 320 + 12, 3)
    places = (np.s_[4:244, 4:324], np.s_[4:244, 328:648])
    for frame, gray in zip(frames[1:-1], GRAYS, strict=True):
        for place in places:
            assert np.abs(frame[place] - gray).max() <= 4  # of 256 colours
    hr = pairs.hr[0][:, 160:320].repeat(2, axis=0).repeat(2, axis=1)
    lr = pairs.lr[0][:, 80:160].repeat(4, axis=0).repeat(4, axis=1)
    for place in places:
        assert np.abs(frames[-1][place] - hr).max() <= 4
        assert np.abs(frames[0][place] - lr).max() <= 4


def test_a_training_that_goes_on_keeps_what_came_before_its_checkpoint(tmp_path, pairs):
    numerics = Numerics(device=torch.device("cpu"))
    network = Flat().eval()
    killed = ProgressPictures(RunFolder(tmp_path), {"a": pairs}, numerics)
    for iteration in (1, 2, 3):
        validate(killed, network, iteration)
    killed.write()
    resumed = ProgressPictures(RunFolder(tmp_path), {"a": pairs}, numerics)
    resumed.rewind(2)
    validate(resumed, network, 4)
    resumed.write()
    middles = [int(frame[100, 100, 0]) for frame in frames_of(resumed)[1:-1]]
    expected = [GRAYS[1], GRAYS[2], GRAYS[1]]
    assert np.abs(np.subtract(middles, expected)).max() <= 4  # of 256 colours


def test_of_many_validations_every_second_one_stays(tmp_path, pairs, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_FRAMES", 4)
    numerics = Numerics(device=torch.device("cpu"))
    progress = ProgressPictures(RunFolder(tmp_path), {"a": pairs}, numerics)
    for iteration in range(1, 8):
        validate(progress, Flat().eval(), iteration)
    progress.write()
    names = sorted(path.stem for path in (tmp_path / "progress").iterdir())
    assert [int(name) for name in names] == [1, 3, 5, 7]
    assert len(frames_of(progress)) == 6


def test_it_is_written_with_the_page(tmp_path, pairs, monkeypatch):
    monkeypatch.setattr(report, "LEAST_SECONDS", -1)
    folder = RunFolder(tmp_path)
    numerics = Numerics(device=torch.device("cpu"))
    progress = ProgressPictures(folder, {"a": pairs}, numerics)
    with report.report_page(folder, "tiny", progress):
        validate(progress, Flat().eval(), 1)
    assert len(frames_of(progress)) == 3


def test_without_validation_there_are_none(tmp_path):
    numerics = Numerics(device=torch.device("cpu"))
    progress = ProgressPictures(RunFolder(tmp_path), {}, numerics)
    assert progress.watch(None) is None
    progress.rewind(0)
    progress.write()
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("left", [0, 60])
def test_a_damaged_picture_does_not_end_the_others(tmp_path, pairs, left):
    numerics = Numerics(device=torch.device("cpu"))
    progress = ProgressPictures(RunFolder(tmp_path), {"a": pairs}, numerics)
    network = Flat().eval()
    for iteration in range(2):
        validate(progress, network, iteration)
    progress.write()
    damaged = tmp_path / "progress" / "000000001.png"
    damaged.write_bytes(damaged.read_bytes()[:left])
    validate(progress, network, 2)
    progress.write()
    shown = [round(frame[100, 100].mean(), -1) for frame in frames_of(progress)[1:-1]]
    assert shown == [40, 160]


def test_bicubic_is_measured_as_the_evaluation_does(tmp_path, pairs):
    progress = ProgressPictures(
        RunFolder(tmp_path), {"a": pairs}, Numerics(device=torch.device("cpu"))
    )
    sr = resize(pairs.lr[0], 2).astype(np.float64)
    luma = np.array([65.481, 128.553, 24.966]) / 255
    error = ((sr - pairs.hr[0]) @ luma)[2:-2, 2:-2]
    expected = -10 * np.log10((error**2).mean() / 255**2)
    assert progress.bicubic == {"a": pytest.approx(expected, abs=0.01)}
