"""A picture's pixels do not depend on its neighbours, on batches or on threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from srcli.inference.device import EngineOptions
from srcli.inference.engines import make_engine
from srcli.models.loading import load_model

pytestmark = pytest.mark.numbers

SYSTEMS = [
    ("g-idrn", 4),
    ("rrlfn", 4),
    ("ddsr", 2),
    ("attentive-gan", 4),
    ("nested-attn", 4),
]
OPTIONS = EngineOptions(device="cpu", precision="fp32")
ODD_SIZE = (31, 37)
"""Leaves values over at the end of every thread's share, whatever the vectors'
length."""


@pytest.fixture(scope="module")
def tiles():
    """Two parts of one size of a photograph."""
    height, width = ODD_SIZE
    photograph = data.chelsea()
    parts = []
    for row, column in ((60, 100), (90, 180)):
        parts.append(
            np.ascontiguousarray(
                photograph[row : row + height, column : column + width]
            )
        )
    return parts


@pytest.fixture(scope="module", params=SYSTEMS, ids=[name for name, _ in SYSTEMS])
def engine(request):
    """Engine of one of the five systems on the processor, in fp32."""
    return make_engine(load_model(*request.param), OPTIONS)


@pytest.fixture
def set_threads():
    """Set the number of PyTorch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def enlarge(engine, tiles, positions=None):
    """Enlarge tiles in one batch; return an array (N, 3, H, W)."""
    return np.stack(
        [tile.numpy() for tile in engine.start(tiles, None, positions).result().tiles]
    )


def test_a_tile_is_the_same_alone_and_in_batches(engine, tiles, monkeypatch):
    # maps of small tiles are cut, too
    monkeypatch.setattr("srcli.layers.global_pools.STRIP", 1 << 14)
    alone = np.concatenate([enlarge(engine, [tile]) for tile in tiles])
    np.testing.assert_array_equal(enlarge(engine, tiles), alone)


def test_a_placed_tile_is_the_same_alone_and_in_batches(tiles):
    engine = make_engine(load_model("rrlfn", 2), OPTIONS)
    positions = [(0, 24, 200, 300), (48, 120, 200, 300)]
    placed_tiles = zip(tiles, positions, strict=True)
    alone = np.concatenate(
        [enlarge(engine, [tile], [position]) for tile, position in placed_tiles]
    )
    np.testing.assert_array_equal(enlarge(engine, tiles, positions), alone)


def test_a_tile_is_the_same_with_any_number_of_threads(engine, tiles, set_threads):
    set_threads(1)
    by_one_thread = enlarge(engine, tiles)
    set_threads(3)
    np.testing.assert_array_equal(enlarge(engine, tiles), by_one_thread)


@pytest.fixture
def folder(tmp_path, tiles):
    """A folder of two small pictures of one size."""
    folder = tmp_path / "small"
    folder.mkdir()
    for number, tile in enumerate(tiles):
        Image.fromarray(tile).save(folder / f"{number}.png")
    return folder


def assert_same_pixels(path, expected):
    """Compare two pictures pixel by pixel."""
    with Image.open(path) as picture, Image.open(expected) as expected_picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected_picture))


@pytest.mark.parametrize(
    "options",
    [
        ["-m", "rrlfn", "--tta"],
        ["-m", "g-idrn-photo", "--strength", 0.5, "--back-project"],
        ["-m", "rrlfn", "--precision", "bf16"],
        ["-m", "rrlfn", "--tile", 24],
        ["-m", "nested-attn"],
    ],
    ids=lambda options: "".join(map(str, options[1:])),
)
def test_a_picture_is_the_same_alone_and_in_a_folder(srx, folder, options):
    options = [*options, "-s", 2, "--device", "cpu"]
    srx(f"upscale {folder} together", *options, code=0)
    srx("upscale", folder / "1.png", "alone.png", *options, "--batch 1", code=0)
    assert_same_pixels("together/1.png", "alone.png")
