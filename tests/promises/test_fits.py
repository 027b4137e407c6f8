"""FITS images are read as astropy reads them, rows from below, scaled by their header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import srcli
from srcli.errors import PictureError
from srcli.imaging.rasters.gdal_access import open_quietly
from tests.fixtures.photographs import read_by_gdal, write_by_gdal

BITS = {"u1": 8, "i2": 16, "i4": 32, "f4": -32, "f8": -64}
SMALL = "-m bicubic -s 2"


def unit(stored, first="SIMPLE  =                    T", **entries):
    """A header and its data, as FITS 4.0 lays them out."""
    cards = [first, f"BITPIX  = {BITS[stored.dtype.str[1:]]:>20}"]
    cards.append(f"NAXIS   = {stored.ndim:>20}")
    for axis, side in enumerate(reversed(stored.shape)):
        cards.append(f"NAXIS{axis + 1}  = {side:>20}")
    for name, value in entries.items():
        shown = f"'{value}'" if isinstance(value, str) else repr(value)
        cards.append(f"{name:<8}= {shown:>20} / a comment")
    header = "".join(card.ljust(80) for card in (*cards, "END"))
    data = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    padding = bytes(-len(data) % 2880)
    return header.ljust(-(-len(header) // 2880) * 2880).encode() + data + padding


@pytest.fixture
def values():
    return np.random.default_rng(0).integers(0, 30_000, (24, 30))


@pytest.mark.parametrize(
    ("dtype", "entries", "result"),
    [
        ("u1", {}, "uint8"),
        ("i2", {}, "int16"),
        ("i2", {"BSCALE": 1, "BZERO": 32768}, "uint16"),
        ("i2", {"BSCALE": 0.5, "BZERO": 10.0}, "float32"),
        ("i4", {"BZERO": 2147483648}, "uint32"),
        ("f4", {}, "float32"),
        ("f8", {}, "float64"),
    ],
)
def test_values_are_scaled_and_rows_begin_below(srx, values, dtype, entries, result):
    stored = (values % 200 if dtype == "u1" else values).astype(dtype)
    Path("a.fits").write_bytes(unit(stored, **entries))
    meant = stored * float(entries.get("BSCALE", 1)) + float(entries.get("BZERO", 0))
    write_by_gdal("same.tif", meant[::-1].astype(result))
    srx("upscale a.fits out.tif", SMALL, code=0)
    srx("upscale same.tif expected.tif", SMALL, code=0)
    shown = read_by_gdal("out.tif")
    assert shown.dtype == result
    expected = read_by_gdal("expected.tif").astype(float)
    # that of 16 bits is a photograph, and rounds in another place
    np.testing.assert_allclose(shown, expected, rtol=1e-6, atol=result == "uint16")


def test_pixels_without_data_stay_without(srx, values):
    stored = values.astype("i2")
    stored[3:9, 4:12] = -1
    Path("a.fits").write_bytes(unit(stored, BLANK=-1, BZERO=5.0))
    srx("upscale a.fits out.tif", SMALL, code=0)
    shown = read_by_gdal("out.tif")[:, :, 0]
    assert np.isnan(shown[::-1][6:18, 8:24]).all()
    assert np.isfinite(shown).mean() > 0.8


@pytest.mark.parametrize("entries", [{"BLANK": -7}, {"BZERO": 100.0}])
def test_wide_whole_numbers_stay_exact(srx, entries):
    """Float32 would round them to multiples of 16; astropy takes Float64 as well."""
    stored = np.full((24, 30), 200_000_001, "i4")
    Path("a.fits").write_bytes(unit(stored, **entries))
    srx("upscale a.fits out.tif", SMALL, code=0)
    shown = read_by_gdal("out.tif")
    assert shown.dtype == np.float64
    assert np.abs(shown - 200_000_001 - entries.get("BZERO", 0)).max() < 1e-3


def test_long_texts_and_long_names_are_whole(srx, values):
    """As astropy reads them: texts go on in CONTINUE, names behind HIERARCH."""
    cards = (
        "LONGTEXT= 'first of &' / comment",
        "CONTINUE  'it''s &'",
        "CONTINUE  'three' / end",
        "HIERARCH ESO DET EXP NAME = 'night 1' / comment",
        "HIERARCH NAXIS = 7",
    )
    unlike = unit(values.astype("f4"), OBJECT="M 31", EXPTIME=30.0)
    start = unlike.index(b"END ".ljust(80))
    header = "".join(card.ljust(80) for card in (*cards, "END")).encode()
    changed = unlike[:start] + header + unlike[start + len(header) :]
    Path("a.fits").write_bytes(changed)
    srx("upscale a.fits out.tif", SMALL, code=0)
    with open_quietly("out.tif") as dataset:
        tags = dataset.tags()
        assert dataset.shape == (48, 60)
    assert tags["LONGTEXT"] == "first of it's three"
    assert tags["ESO DET EXP NAME"] == "night 1"


def test_the_header_becomes_tags_and_the_sky_is_told(srx, values):
    entries = {"OBJECT": "M 31", "EXPTIME": 30.0, "CRPIX1": 5.0, "CTYPE1": "RA---TAN"}
    Path("a.fits").write_bytes(unit(values.astype("f4"), **entries))
    told = srx("upscale a.fits out.tif", SMALL, code=0).err
    assert "place on the sky (WCS) left out" in told
    with open_quietly("out.tif") as dataset:
        tags = dataset.tags()
    assert (tags["OBJECT"], tags["EXPTIME"]) == ("M 31", "30.0")
    assert "CRPIX1" not in tags
    assert "BITPIX" not in tags


def test_the_first_of_several_images_is_used_and_folders_are_searched(srx, values):
    empty = unit(np.zeros((0,), "u1"), EXTEND="T").replace(
        b"NAXIS   =                    1", b"NAXIS   =                    0"
    )
    image = unit(values.astype("i2"), "XTENSION= 'IMAGE   '", PCOUNT=0, GCOUNT=1)
    Path("in").mkdir()
    Path("in/a.fit").write_bytes(empty + image + image)
    told = srx("upscale in out", SMALL, code=0).err
    assert "holds 2 pictures: only the first is used" in told
    assert read_by_gdal("out/a.tif").shape == (48, 60, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-2880], "its pixels are missing"),
        (lambda data: data[:400], "its header has no end"),
        (lambda data: data.replace(b" 30 ", b"x30 "), "NAXIS1 is no number"),
        (lambda data: data.replace(b" 16 ", b" 17 "), "no FITS header"),
        (lambda data: data.replace(b"COLOUR  =", b"ZIMAGE  ="), "by funpack"),
        (lambda data: data[:2880].replace(b" 2 ", b" 0 "), "without an image"),
        (lambda data: data.replace(b" 16 ", b" 64 ") + data * 3, "of 64 bits"),
        (
            lambda data: data.replace(b" 24 ", b"240 ").replace(
                b"COLOUR  =                    T", b"PCOUNT  =                -6000"
            ),
            "PCOUNT or GCOUNT is below zero",
        ),
        (
            lambda data: data.replace(
                b"COLOUR  =                    T", b"BSCALE  =                  NaN"
            ),
            "no finite number",
        ),
    ],
)
def test_damaged_files_fail_with_a_line(srx, values, change, words):
    data = unit(values.astype("i2"), COLOUR="T").replace(b"'T'", b"  T")
    Path("a.fits").write_bytes(change(data))
    result = srx("upscale a.fits out.tif", SMALL)
    assert result.code in (1, 2)
    assert "a.fits: " in result.err
    assert words in " ".join(result.err.split())
    assert not Path("out.tif").exists()


def test_planes_of_a_cube_are_bands(srx):
    planes = np.arange(51, dtype="i2")[:, None, None] + np.zeros((51, 8, 9), "i2")
    Path("a.fits").write_bytes(unit(planes[:50]))
    Path("b.fits").write_bytes(unit(planes))
    srx("upscale a.fits out.tif", SMALL, code=0)
    shown = read_by_gdal("out.tif")
    assert shown.shape == (16, 18, 50)
    assert (shown == np.arange(50)).all()
    told = srx("upscale b.fits c.tif", SMALL, code=2).err
    assert "b.fits: has 51 planes, and srx takes at most 50" in told


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (lambda image: bytes(2880), None),
        (lambda image: b"written by a camera" * 9, None),
        (lambda image: image[:3000], "holds further pictures, which are damaged"),
        (lambda image: image[:400], "holds further pictures, which are damaged"),
        (
            lambda image: image.replace(b"COLOUR  =", b"ZIMAGE  ="),
            "holds 2 pictures: only the first is used",
        ),
    ],
)
def test_what_stands_behind_an_image_does_not_harm_it(srx, values, behind, words):
    image = unit(values.astype("i2"), "XTENSION= 'IMAGE   '", COLOUR="T")
    further = behind(image.replace(b"'T'", b"  T"))
    Path("a.fits").write_bytes(unit(values.astype("i2")) + further)
    told = srx("upscale a.fits out.tif", SMALL, code=0).err
    assert read_by_gdal("out.tif").shape == (48, 60, 1)
    if words:
        assert words in " ".join(told.split())
    else:
        assert "pictures" not in told


def test_entries_without_a_value_say_nothing(srx, values):
    data = unit(values.astype("i2"), BSCALE=2.0, BLANK=-1)
    data = data.replace(b"                 2.0", b" " * 20)
    Path("a.fits").write_bytes(data.replace(b"                  -1", b" " * 20))
    srx("upscale a.fits out.tif", SMALL, code=0)
    assert read_by_gdal("out.tif").dtype == "int16"


def test_python_is_told_what_writes_a_cube(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.fits").write_bytes(unit(np.ones((6, 8, 9), "f4")))
    with pytest.raises(PictureError, match="'srx upscale' writes them into a TIFF"):
        srcli.upscale("a.fits", model="bicubic", scale=2)
