"""What microscopes and scanners of slides say beside the pixels stays true, or is named."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

from srcli.imaging.files.tiff_directories import LONG, Entry
from srcli.imaging.metadata.imagej import keep_imagej

RANGES = (0.0, 4000.0, 0.0, 50000.0)
LABELS = [f"slice {number}" for number in range(4)]
SLIDE = (
    "Aperio Image Library v12.0.15\n96x64 [0,0 96x64] (16x16) JPEG/RGB Q=70"
    "|AppMag = 20|MPP = 0.5000|Filename = 7"
)


def write_stack(name, byteorder, **metadata):
    """Write two slices of two channels as Fiji and Micro-Manager do."""
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 60_000, (2, 2, 24, 32)).astype(np.uint16)
    magenta = np.zeros((3, 256), np.uint8)
    magenta[[0, 2]] = np.arange(256)
    tifffile.imwrite(
        name,
        stack,
        imagej=True,
        byteorder=byteorder,
        metadata={
            "axes": "ZCYX",
            "mode": "composite",
            "LUTs": [magenta, magenta[::-1]],
            "Ranges": RANGES,
            "Labels": LABELS,
            "Info": "microscope=Ångström",
            **metadata,
        },
    )
    return magenta


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tables_ranges_and_labels_of_imagej_are_kept(srx, byteorder):
    magenta = write_stack("a.tif", byteorder)
    told = srx("upscale a.tif out.tif -m bicubic -s 2", code=0).err
    assert "ImageJ" not in told
    with tifffile.TiffFile("out.tif") as file:
        metadata = file.imagej_metadata
        assert metadata is not None
        assert file.series[0].shape == (2, 2, 48, 64)
    assert metadata["Ranges"] == RANGES
    assert metadata["Labels"] == LABELS
    assert metadata["Info"] == "microscope=Ångström"
    for table, expected in zip(metadata["LUTs"], (magenta, magenta[::-1]), strict=True):
        np.testing.assert_array_equal(table, expected)


def test_overlays_of_imagej_and_tables_in_other_formats_are_told(srx):
    write_stack("a.tif", ">", Overlays=[b"Iout1234"])
    assert (
        "overlays of ImageJ left out" in srx("upscale a.tif b.tif -m bicubic -s 2").err
    )
    with tifffile.TiffFile("b.tif") as file:
        assert "Overlays" not in (file.imagej_metadata or {})
    told = srx("upscale a.tif b.png -m bicubic -s 2", code=0).err
    assert "tables, ranges and labels of ImageJ left out (tif keeps them)" in told
    with Image.open("b.png") as image:
        assert 50839 not in image.getexif()


@pytest.mark.parametrize(
    ("lengths", "data"),
    [
        ([], b""),
        ([12, 6], b"JIJI"),
        ([12, 4], b"IJIJlabl\0\0\0\1ab\0\0"),
        ([12], b"JIJIlbal\1\0\0\0"),
        ([12, 3], b"JIJIlbal\1\0\0\0abc"),
        ([12, 2], b"JIJIlbal\xff\xff\xff\xffab"),
    ],
)
def test_damaged_tables_of_imagej_are_left_out(lengths, data):
    packed = np.array(lengths, "<u4").tobytes()
    tags = {50838: Entry(LONG, packed), 50839: Entry(1, data)}
    kept, told = keep_imagej(tags, "<")
    assert not kept
    assert told == "damaged tables and labels of ImageJ left out"


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
