"""Validation agrees with the protocol, computed on its own."""

from __future__ import annotations

import numpy as np
import torch

from srcli.data.pairs import make_pairs
from srcli.imaging.resize import resize
from srcli.metrics.protocol import PROTOCOLS
from srcli.models import build_network
from srcli.ports.progress import NoProgress, NoTask
from srcli.training.numerics import Numerics
from srcli.training.validation import Validation


def test_bicubic_scores_what_the_protocol_says(astronaut):
    pictures = [astronaut, astronaut[:67, :50]]
    pairs = make_pairs(pictures, 2)
    validation = Validation(pairs, Numerics(device=torch.device("cpu")))
    found = validation(build_network("bicubic", scale=2))
    expected = []
    for lr_image, hr_image in zip(pairs.lr, pairs.hr, strict=True):
        floats = resize(lr_image.astype(np.float64), 2)
        sr_image = np.clip(np.round(floats), 0, 255).astype(np.uint8)
        expected.append(PROTOCOLS["y"].score(sr_image, hr_image, 2)[0])
    assert abs(found - np.mean(expected)) < 0.005


def test_every_picture_is_told_of(astronaut):
    told: list[object] = []

    class Telling(NoProgress):
        def task(self, label, *, total=None, unit=""):
            told.append((label, total, unit))
            return Task()

    class Task(NoTask):
        def advance(self, amount=1.0):
            told.append(amount)

        def close(self):
            told.append("closed")

    pairs = make_pairs([astronaut, astronaut[:67, :50]], 2)
    numerics = Numerics(device=torch.device("cpu"))
    Validation(pairs, numerics, Telling())(build_network("bicubic", scale=2))
    assert told == [("validation", 2, "pictures"), 1.0, 1.0, "closed"]


def test_half_precision_and_layout_are_those_of_training(astronaut):
    seen = []

    class Watching(torch.nn.Module):
        def forward(self, x):
            seen.append((torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()))
            return torch.nn.functional.interpolate(x, scale_factor=2)

    pairs = make_pairs([astronaut], 2)
    numerics = Numerics(device=torch.device("cpu"), autocast=torch.bfloat16, channels_last=True)
    assert 15 < Validation(pairs, numerics)(Watching()) < 40
    assert seen == [(True, True)]
