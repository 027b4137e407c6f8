"""Gray that is stored as colours: equal channels in, equal channels out, as of gray itself."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image

import srcli
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.pictures import read_pixels

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def screentone(height=40, width=48) -> np.ndarray:
    """Black dots on white, of which networks make colours."""
    y, x = np.mgrid[0:height, 0:width]
    tone = np.where((x // 2 + y // 2) % 2, 255, 0).astype(np.uint8)
    tone[:8] = 255
    tone[28:] = 0
    return tone


@pytest.mark.parametrize("model", ["auto", "g-idrn-photo-gan", "rrlfn"])
def test_gray_stored_as_rgb_becomes_what_gray_becomes(srx, model):
    tone = screentone()
    Image.fromarray(tone).save("l.png")
    Image.fromarray(np.dstack([tone] * 3)).save("rgb.png")
    srx(f"upscale l.png rgb.png out/ -m {model}", code=0)
    gray = read_pixels("out/l.png")
    colours = read_pixels("out/rgb.png")
    assert colours.shape == (160, 192, 3)
    np.testing.assert_array_equal(colours, np.dstack([gray] * 3))


@pytest.mark.parametrize(
    "name", ["gray.jpg", "gray.webp", "palette.png", "alpha.png", "gray.tif"]
)
def test_gray_of_any_storage_has_no_colours_afterwards(tmp_path, srx, name):
    image = Image.fromarray(np.dstack([screentone()] * 3))
    if name == "palette.png":
        image = image.quantize(2)
    elif name == "alpha.png":
        image.putalpha(
            Image.fromarray(np.arange(1920).reshape(40, 48).astype(np.uint8))
        )
    image.save(tmp_path / name, lossless=True)
    srx("upscale", tmp_path / name, "out.png", "-s 2", code=0)
    colours = read_pixels("out.png")[:, :, :3]
    assert np.ptp(colours.astype(int), axis=2).max() == 0
    assert colours.std() > 30


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.uint8, 6), (np.uint16, 2), (np.float32, 2)]
)
def test_arrays_of_equal_channels_stay_equal(dtype, scale):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    gray = (screentone(32, 20) / 255 * white).astype(dtype)
    enlarged = srcli.upscale(np.dstack([gray] * 3), scale=scale)
    assert enlarged.flags.writeable
    np.testing.assert_array_equal(
        enlarged, np.dstack([srcli.upscale(gray, scale=scale)] * 3)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_gray_orthophoto_stays_gray(srx, dtype):
    gray = screentone().astype(dtype) * (1 if dtype == np.uint8 else 200)
    write_by_gdal("a.tif", np.dstack([gray] * 3), photometric="RGB", **PLACE)
    srx("upscale a.tif out.tif -s 2", code=0)
    with rasterio.open("out.tif") as dataset:
        red, green, blue = dataset.read()
    np.testing.assert_array_equal(red, green)
    np.testing.assert_array_equal(red, blue)


def test_one_pixel_of_colour_makes_an_orthophoto_colourful(srx):
    pixels = np.dstack([screentone()] * 3)
    pixels[34, 30, 0] = 200
    write_by_gdal("a.tif", pixels, photometric="RGB", **PLACE)
    srx("upscale a.tif out.tif -s 2", code=0)
    with rasterio.open("out.tif") as dataset:
        red, green, _ = dataset.read().astype(int)
    assert (red - green)[66:72, 58:64].max() > 50
