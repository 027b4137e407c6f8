"""Repeated pixels around an image: read as one picture, cut off again exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from srcli.inference.edges import CroppedSink, PaddedSource, make_work
from srcli.inference.engine import TorchEngine
from srcli.inference.memory import ArraySink, ArraySource
from srcli.inference.stream import run_stream
from srcli.inference.tiling import Tiling
from srcli.ports.image import Window


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 7), (9, 5)])
@pytest.mark.parametrize("edge", [1, 4])
def test_windows_are_those_of_the_padded_picture(height, width, edge):
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    source = PaddedSource(ArraySource(pixels), edge)
    whole = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), mode="edge")
    assert (source.height, source.width) == whole.shape[:2]
    for top in range(whole.shape[0]):
        for left in range(whole.shape[1]):
            window = Window(top=top, left=left, height=min(3, whole.shape[0] - top), width=1)
            expected = whole[top : top + window.height, left : left + 1]
            np.testing.assert_array_equal(source.read(window), expected)


@pytest.mark.parametrize("step", [1, 2, 5, 100])
def test_rows_are_cropped_however_they_come(step):
    whole = np.arange(14 * 12 * 1, dtype=np.uint8).reshape(14, 12, 1)
    target = ArraySink(8, 6, 1, whole.dtype)
    sink = CroppedSink(target, 3, 8)
    for top in range(0, 14, step):
        sink.write(top, whole[top : top + step])
    np.testing.assert_array_equal(target.pixels, whole[3:11, 3:9])


class Darkening(nn.Module):
    """One zero-padded averaging convolution, then pixel repetition: darkens the frame."""

    scale = 2

    def forward(self, x):
        kernel = torch.full((3, 1, 3, 3), 1 / 9)
        blurred = nn.functional.conv2d(x, kernel, padding=1, groups=3)
        return blurred.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize(("edge", "clean"), [(0, False), (1, True), (4, True)])
def test_the_frame_of_zero_padding_is_kept_out_of_sight(edge, clean):
    pixels = np.full((20, 33, 3), 200, np.uint8)
    sink = ArraySink(40, 66, 3, pixels.dtype)
    tiling = Tiling(tile=16, overlap=4, edge=edge)
    work = make_work(ArraySource(pixels), sink, name="flat", scale=2, tiling=tiling)
    (done,) = run_stream(TorchEngine(Darkening(), device=torch.device("cpu")), [work])
    assert done.error is None
    assert bool((sink.pixels == 200).all()) is clean
