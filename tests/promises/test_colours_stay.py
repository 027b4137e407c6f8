"""Colours over several input pixels are those of the input; means may be held exactly."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import skimage.data
from PIL import Image

import srcli
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.pictures import read_pixels

SHIFTING = [
    ("g-idrn-photo", 0.5),
    ("g-idrn-photo-crisp", None),
    ("g-idrn-photo-gan", None),
    ("rrlfn-photo", None),
    ("attentive-gan", None),
    ("quick", None),
    ("quick-photo", None),
    ("quick-photo-crisp", None),
]


@pytest.mark.parametrize(("model", "strength"), SHIFTING)
def test_no_model_shifts_colours(model, strength):
    """Means of channels move by less than 0.3 of 255 levels."""
    picture = skimage.data.astronaut()[60:124, 140:204]
    enlarged = srcli.upscale(picture, scale=4, model=model, strength=strength)
    before = picture.reshape(-1, 3).mean(axis=0)
    after = enlarged.reshape(-1, 3).mean(axis=0)
    assert np.abs(after - before).max() < 0.3


def test_detail_is_left_as_it_is():
    """Held colours change nothing within a few input pixels."""
    import torch

    from srcli.inference.corrections import held_colours

    noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    detail = torch.zeros(1, 3, 48, 48)
    detail[:, :, ::2, ::2] = 0.2
    detail[:, :, 1::2, 1::2] = -0.2
    larger = noise.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    cast = torch.tensor([0.1, 0.0, -0.1]).view(1, 3, 1, 1)
    corrected = held_colours(larger + detail + cast, noise)
    assert torch.allclose(corrected, larger + detail, atol=1e-5)


@pytest.fixture
def bands(tmp_path):
    """Make a raster of three float bands, and return its path and values (3, H, W)."""
    pixels = skimage.data.astronaut()[:60, :80].astype(np.float32) * 10
    path = write_by_gdal(tmp_path / "bands.tif", pixels, **PLACE)
    return path, pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("scale", [2, 3])
def test_means_over_a_pixel_are_held(srx, bands, scale):
    """By ``area`` to 0.1 % of the deviation; by ``bicubic``, another kernel, not."""
    source, values = bands
    errors = {}
    for kernel in ("area", "bicubic"):
        out = f"{kernel}.tif"
        words = ["-m", "quick", "-s", scale, "--tile", 48, "--back-project", kernel]
        srx("upscale", *words, source, out, code=0)
        with rasterio.open(out) as dataset:
            blocks = dataset.read().reshape(3, 60, scale, 80, scale)
        difference = blocks.mean(axis=(2, 4)) - values
        errors[kernel] = np.sqrt((difference**2).mean()) / values.std()
    assert errors["area"] < 0.001
    assert errors["bicubic"] > 0.005


def test_the_kernel_may_be_left_out(srx):
    """A file that follows is no kernel."""
    Image.fromarray(skimage.data.astronaut()[:24, :24]).save("a.png")
    results = []
    for words in (["--back-project", "bicubic"], ["--back-project"]):
        out = f"{len(words)}.png"
        common = "upscale -m rrlfn -s 2"
        srx(common, *words, "a.png", out, code=0)
        results.append(read_pixels(out))
    assert np.array_equal(results[0], results[1])


def test_other_kernels_are_refused():
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(srcli.errors.UsageError, match="give bicubic or area"):
        srcli.upscale(picture, scale=2, back_project="lanczos")
