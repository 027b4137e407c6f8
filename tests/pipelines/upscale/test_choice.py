"""Blocks of JPEG are seen where they are, wherever they begin, and in no other picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from srcli.pipelines.upscale.choice import VISIBLE, blockiness


def as_jpeg(pixels, quality):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def test_only_compression_shows_blocks(astronaut):
    assert blockiness(astronaut) < 1.15
    assert blockiness(as_jpeg(astronaut, 98)) < VISIBLE
    figures = [blockiness(as_jpeg(astronaut, quality)) for quality in (85, 75, 50)]
    assert VISIBLE < figures[0] < figures[1] < figures[2]


def test_blocks_are_seen_wherever_they_begin(astronaut):
    pixels = as_jpeg(astronaut, 60)
    assert blockiness(pixels[3:, 5:]) == pytest.approx(blockiness(pixels), rel=0.1)
    assert blockiness(pixels[::-1, ::-1]) == pytest.approx(blockiness(pixels), rel=0.1)


def test_small_and_flat_pictures_have_none():
    assert blockiness(np.zeros((63, 99, 3), np.uint8)) == 1
    assert blockiness(np.zeros((80, 80, 1), np.uint8)) < VISIBLE
