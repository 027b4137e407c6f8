"""PIL images of every mode: values and transparency stay what they were."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

import srcli
from srcli.errors import UsageError
from srcli.pipelines.upscale.pil_arrays import array_of, image_of

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000


def deep(mode):
    if mode == "I":
        return Image.fromarray(RAMP.astype(np.int32))
    raw = RAMP.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    return Image.frombytes(mode, (4, 3), raw)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I;16N", "I"])
def test_modes_of_sixteen_bits_keep_their_values(mode):
    array = array_of(deep(mode))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, RAMP)
    big = srcli.upscale(deep(mode), model="bicubic", scale=2)
    assert big.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(big), srcli.upscale(RAMP, model="bicubic", scale=2))


@pytest.mark.parametrize("value", [-1, 65536])
def test_mode_i_with_other_values_is_refused(value):
    image = Image.fromarray(np.array([[0, value]], np.int32))
    with pytest.raises(UsageError, match=rf"mode I with values .*{value}.* 0 to 65535"):
        srcli.upscale(image, model="bicubic")


@pytest.mark.parametrize(
    ("mode", "colour", "result"), [("L", 7, "LA"), ("RGB", (7, 8, 9), "RGBA"), ("1", 0, "LA")]
)
def test_a_transparent_colour_becomes_alpha(mode, colour, result):
    image = Image.new(mode, (8, 8), 1 if mode == "1" else "white")
    image.paste(colour, (0, 0, 4, 8))
    image.info["transparency"] = colour
    big = srcli.upscale(image, model="bicubic", scale=2)
    assert big.mode == result
    alpha = np.asarray(big)[:, :, -1]
    assert (alpha[:, :4] == 0).all()
    assert (alpha[:, -4:] == 255).all()
    assert "transparency" in image.info


def test_transparency_of_palettes_becomes_alpha():
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3, 0] * 2, "RGBA")
    assert array_of(image)[0, 0].tolist() == [1, 2, 3, 0]
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3] * 2)
    assert array_of(image).shape == (4, 4, 3)
    image.info["transparency"] = 0
    assert array_of(image)[0, 0].tolist() == [1, 2, 3, 0]


def test_a_transparent_value_of_sixteen_bits_is_refused():
    image = deep("I;16")
    image.info["transparency"] = 5000
    with pytest.raises(UsageError, match=r"I;16 with a transparent value: .*\(H, W, 2\)"):
        srcli.upscale(image, model="bicubic")


@pytest.mark.parametrize(("mode", "result"), [("RGBa", "RGBA"), ("La", "LA")])
def test_colours_multiplied_by_alpha_are_divided_again(mode, result):
    straight = Image.new(result, (6, 6), (200, 100, 50, 128) if result == "RGBA" else (200, 128))
    big = srcli.upscale(straight.convert(mode), model="bicubic", scale=2)
    assert big.mode == result
    expected = np.asarray(straight).astype(int)
    assert np.abs(np.asarray(big)[::2, ::2].astype(int) - expected).max() <= 2


def test_the_profile_and_the_resolution_stay(astronaut):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(astronaut[:8, :8])
    image.info |= {"icc_profile": profile, "dpi": (300, 200), "exif": b"Exif\0\0"}
    big = srcli.upscale(image, model="bicubic", scale=2)
    assert big.info == {"icc_profile": profile, "dpi": (300, 200)}
    palette = image.quantize(16)
    palette.info["icc_profile"] = profile
    assert srcli.upscale(palette, model="bicubic", scale=2).info["icc_profile"] == profile


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_profile_of_other_colours_does_not_stay(mode):
    profile = b"\0" * 16 + (b"CMYK" if mode == "CMYK" else b"RGB ") + b"\0" * 8
    image = Image.new(mode, (4, 4))
    image.info |= {"icc_profile": profile, "dpi": (72, 72)}
    assert image_of(array_of(image), image).info == {"dpi": (72, 72)}


def test_what_pillow_cannot_convert_is_refused():
    image = Image.new("RGB", (4, 4))
    image.info["transparency"] = "red"
    with pytest.raises(UsageError, match="mode RGB: cannot be converted"):
        array_of(image)
