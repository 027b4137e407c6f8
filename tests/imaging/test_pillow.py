"""Lossless and lossy WebP, in all wrappings that Pillow writes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from srcli.imaging.pillow import is_lossless_webp
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


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8X", b"\x89PNG\r\n\x1a\n" * 9],
)
def test_other_files_are_not(content):
    assert not is_lossless_webp(io.BytesIO(content))


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
