"""examples/make_scene.py draws the same land through every window and writes it as a GeoTIFF."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from tests.fixtures.commands import words_of

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SEED = 1


@pytest.fixture(scope="module")
def examples():
    """Scripts find each other there, as when they run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield


@pytest.fixture(scope="module")
def make_scene(examples):
    return importlib.import_module("make_scene")


@pytest.fixture(scope="module")
def picture(examples):
    return importlib.import_module("scene.picture")


@pytest.fixture
def run(make_scene, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", words_of("make_scene.py", *arguments))
        make_scene.main()

    return call


@pytest.fixture(scope="module")
def scene(picture):
    """Near infrared too; the window reaches over tiles on both sides of 0."""
    return picture.render(SEED, (-300, 400, 700, 500), 4)


@pytest.mark.parametrize(
    "window",
    [(-300, 400, 64, 64), (0, 512, 200, 100), (-37, 499, 301, 77), (399, 899, 1, 1)],
)
def test_every_window_shows_the_same_land(picture, scene, window):
    x, y, width, height = window
    seen = picture.render(SEED, window, 4)
    assert seen.shape == (height, width, 4)
    assert np.array_equal(seen, scene[y - 400 :, x + 300 :][:height, :width])


@pytest.mark.parametrize(
    ("options", "bands", "dtype"),
    [((), 3, "uint8"), (["--bands 4 --dtype uint16 --compress none"], 4, "uint16")],
)
def test_the_file_holds_the_scene(
    picture, run, tmp_path, options, bands, dtype, capsys
):
    out = tmp_path / "scene.tif"
    run(out, f"--size 300x290 --seed {SEED} --blocks 256 --pixel 0.5", *options)
    assert "300x290" in capsys.readouterr().out
    with rasterio.open(out) as source:
        assert (source.width, source.height, source.count) == (300, 290, bands)
        assert source.dtypes[0] == dtype
        assert source.crs.to_epsg() == 32632
        assert source.res == (0.5, 0.5)
        assert source.nodata is None
        assert source.block_shapes[0] == (256, 256)
        assert (source.compression is None) == bool(options)
        read = source.read(window=Window(200, 240, 100, 50))
    seen = picture.render(SEED, (200, 240, 100, 50), bands, dtype)
    assert np.array_equal(read.transpose(1, 2, 0), seen)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("size", [(200, 150), (60, 350)])
def test_nodata_edges_surround_a_turned_rectangle(picture, run, tmp_path, size):
    width, height = size
    options = f"--size {width}x{height} --seed {SEED} --nodata-edges"
    run(tmp_path / "scene.tif", options)
    with rasterio.open(tmp_path / "scene.tif") as source:
        pixels = source.read()
        valid = source.dataset_mask() > 0
        assert source.nodata == 0
    seen = picture.render(SEED, (0, 0, width, height))
    assert np.array_equal(pixels.transpose(1, 2, 0), seen * valid[..., None])
    assert not valid[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    # the rectangle touches all four edges, each in one place only
    for edge in (valid[:2], valid[-2:], valid.T[:2], valid.T[-2:]):
        assert 0 < edge.any(0).mean() < 0.5
    assert 0.5 < valid.mean() < 0.95
    assert np.array_equal(valid, valid[::-1, ::-1])
