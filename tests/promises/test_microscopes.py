"""What microscopes and scanners of slides say beside the pixels stays true, or is named."""

from __future__ import annotations

import numpy as np
import tifffile
from PIL import Image, ImageSequence

SLIDE = (
    "Aperio Image Library v12.0.15\n96x64 [0,0 96x64] (16x16) JPEG/RGB Q=70"
    "|AppMag = 20|MPP = 0.5000|Filename = 7"
)


def test_tables_of_imagej_are_left_out_with_a_line(srx):
    stack = np.random.default_rng(0).integers(0, 60_000, (2, 2, 24, 32))
    ramp = np.tile(np.arange(256), (3, 1)).astype(np.uint8)
    tables = {"axes": "ZCYX", "mode": "composite", "LUTs": [ramp, ramp[::-1]]}
    tifffile.imwrite(
        "a.tif", stack.astype(np.uint16), imagej=True, metadata={"unit": "um", **tables}
    )
    told = srx("upscale a.tif out.tif -m bicubic -s 2", code=0).err
    assert "tables, labels and overlays of ImageJ left out" in told
    with tifffile.TiffFile("out.tif") as file:
        assert file.series[0].shape == (2, 2, 48, 64)
        metadata = file.imagej_metadata
    assert metadata is not None
    assert metadata["unit"] == "um"
    assert "LUTs" not in metadata


def test_names_of_pages_are_kept(srx):
    pages = np.random.default_rng(0).integers(0, 255, (2, 20, 30)).astype(np.uint8)
    with tifffile.TiffWriter("a.tif") as file:
        for name, page in zip(("front", "back"), pages, strict=True):
            file.write(page, extratags=[(285, 2, 0, name, True)], metadata=None)
    srx("upscale a.tif out.tif -m bicubic -s 2", code=0)
    names = []
    with Image.open("out.tif") as image:
        for page in ImageSequence.Iterator(image):
            names.append(page.getexif()[285])
    assert names == ["front", "back"]


def test_whole_slides_have_finer_pixels_and_no_smaller_copies(srx):
    slide = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    with tifffile.TiffWriter("a.svs") as file:
        file.write(slide, tile=(16, 16), description=SLIDE, metadata=None)
        small = slide[::4, ::4].copy()
        file.write(small, description="Aperio thumbnail", metadata=None)
        file.write(small, tile=(16, 16), description=SLIDE, metadata=None)
    told = srx("upscale a.svs out.tif -m bicubic -s 2", code=0).err
    assert "smaller copies, thumbnail and label of the whole slide left out" in told
    with tifffile.TiffFile("out.tif") as file:
        assert len(file.pages) == 1
        page = file.pages.first
        assert page.shape == (128, 192, 3)
        assert page.description == (
            "Aperio Image Library v12.0.15\n192x128 [0,0 192x128] (16x16) JPEG/RGB Q=70"
            "|AppMag = 40|MPP = 0.25|Filename = 7"
        )
