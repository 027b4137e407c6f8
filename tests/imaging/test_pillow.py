"""Lossless and lossy WebP, in all wrappings that Pillow writes; pixels to images and back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from srcli.imaging.pillow import as_image, pixels_of
from srcli.imaging.reading import open_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGBA", {}),
        ("RGB", {"icc_profile": SRGB}),
        ("RGB", {"save_all": True, "append_images": [Image.new("RGB", (30, 20), "blue")]}),
    ],
)
def test_files_say_which_they_are(tmp_path, mode, options, lossless):
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, len(mode)), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=lossless, **options)
    assert open_picture(tmp_path / "a.webp").lossless == lossless


def test_lossless_pictures_stay_so(srx, tmp_path):
    for name, lossless in (("a", True), ("b", False)):
        flat = Image.fromarray(np.full((20, 30, 3), (250, 13, 77), np.uint8))
        flat.save(tmp_path / f"{name}.webp", lossless=lossless)
    words = [str(tmp_path / "a.webp"), str(tmp_path / "b.webp"), str(tmp_path / "out")]
    assert srx("upscale", *words, "-m", "bicubic", "-s", "2").code == 0
    assert open_picture(tmp_path / "out" / "a.webp").lossless
    assert not open_picture(tmp_path / "out" / "b.webp").lossless
    with Image.open(tmp_path / "out" / "a.webp") as image:
        assert image.convert("RGB").getextrema() == ((250, 250), (13, 13), (77, 77))
    again = ("-m", "bicubic", "-s", "2", "--quality", "80", "--overwrite")
    assert srx("upscale", *words, *again).code == 0
    assert not open_picture(tmp_path / "out" / "a.webp").lossless


def test_pixels_that_lie_as_pillow_has_them_give_the_same_jpeg(astronaut):
    whole = np.zeros((*astronaut.shape[:2], 4), np.uint8)
    whole[:, :, :3] = astronaut
    shared = as_image(whole[:, :, :3], padded=True)
    assert shared.mode == "RGBX"
    files = []
    for image in (shared, as_image(astronaut, padded=True)):
        image.save(stream := io.BytesIO(), "JPEG", quality=95, subsampling="4:4:4")
        files.append(stream.getvalue())
    assert files[0] == files[1]
    for other in (whole[:, :, 1:], whole[::-1, :, :3], whole[:, ::-1, :3], whole[1:, :, :3]):
        assert as_image(other, padded=True).mode == "RGB"
        np.testing.assert_array_equal(np.asarray(as_image(other, padded=True)), other)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_bands_of_rows_make_the_whole(astronaut, monkeypatch, mode):
    image = Image.fromarray(astronaut).convert(mode)
    image.save(stream := io.BytesIO(), "PNG")
    monkeypatch.setattr("srcli.imaging.pillow._COPIED_PIXELS", 7 * image.width)
    pixels, alpha = pixels_of(Image.open(stream))
    parts = [pixels] if alpha is None else [pixels, alpha[:, :, None]]
    expected = np.asarray(image).reshape(*astronaut.shape[:2], -1)
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), expected)
