"""What is only not read is not called damaged, and words of GDAL are refused by their names."""

from __future__ import annotations

import base64
import errno
import json
import logging
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_array_equal
from PIL import Image

from tests.fixtures.claims import write_tiff
from tests.fixtures.files import names_in
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


TWELVE_BITS = (
    "eNrz9NRi4GBgYBBkYGBkZmAEshyAmBGJzQRl8wAxM5TNDsRsUDYIiyKxZZDYTkjmOCOxXRhZwOxT"
    "QMIVyuZmYmAIRtIbzcjO4AmkbwExXzMPAzOQVgFKNLXwMLAB2TZA9vp2ZgYFIDsHyN7YzsQgB2Sv"
    "AWkGgv83/t9mcGZgZmICISBgASJWDlZWFhZWLnZ2Ng4eLh4ebi5ubl4+IQFePkE+bm4BMQFBYRFR"
    "UVEefnEJMREJIRFRkf83IcYxPLBHpfGDhhY5RxB9wjzEESbGCAs7FgibEUozsWxsFwPJc2xsZ2cQ"
    "Y2DjAIn3KYOCnJGhop4FTGsqh7sHK1iYKOgrhIb4KlTl56UqGBv51UBEa0D+PcjAzQMMXwdGRkGG"
    "/0eAJjEyMqK4ipOHAyguJQCJQSTAzqFs4hj4/xYDB0iHPcOFlSrbWq4FZF3yzOVcs+Dqkkm3hCMd"
    "V3mqblHb1Bw2yTvDN5Vtrcq0C7NO8QZ56i40nSK1ZVK0U7aG5z/ccqaZECMnIRu5Gmxky/yXOOWa"
    "Q1CMjIIYuQSbdShyMOugPlDBZh0WOZjvVqIYieo7bHKmnjgDDN06Ggdm+/+bADL3+HM="
)
"""A TIFF of 12 bits in JPEG, by rasterio 1.5.2 (GDAL 3.12.2); zlib and base64."""


def picture(path, **options):
    """Write a small picture."""
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(path, **options)
    return Path(path)


def refusal(srx, path):
    """Return the line by which a file is refused."""
    target = path.with_name("out.png")
    return srx(f"upscale {path} {target} -m bicubic", code=2).err.partition("\n")[0]


@pytest.mark.parametrize("form", [b"grid", b"jpeg"])
def test_avif_of_a_kind_that_is_not_read_is_not_damaged(srx, form):
    path = picture("a.avif")
    path.write_bytes(path.read_bytes().replace(b"av01", form, 1))
    line = refusal(srx, path)
    assert f"stored as '{form.decode()}', which is not read; export it as PNG" in line
    assert "damaged" not in line


def test_uncompressed_heif_is_not_damaged(tmp_path, srx):
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    image = Image.fromarray(np.full((64, 64, 3), 90, np.uint8))
    pillow_heif.from_pillow(image).save(path)
    path.write_bytes(path.read_bytes().replace(b"hvc1", b"unci", 1))
    assert "stored as 'unci', which is not read" in refusal(srx, path)


def test_avif_that_is_cut_short_is_damaged(srx):
    path = picture("a.avif")
    path.write_bytes(path.read_bytes()[:-20])
    assert "damaged or cut short" in refusal(srx, path)


def tiff_of(path, content, compression, bits):
    """Write a gray TIFF of 64x64 pixels that holds another format."""
    entries = [
        (256, 4, 1, 64),
        (257, 4, 1, 64),
        (258, 3, 1, bits),
        (259, 3, 1, compression),
    ]
    entries += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 64)]
    entries += [(279, 4, 1, len(content))]
    return write_tiff(path, content, entries)


@pytest.mark.parametrize(
    ("compression", "words"),
    [
        (34712, "JPEG 2000"),
        (50002, "JPEG XL"),
        (34934, "JPEG XR"),
        (60000, "compression 60000"),
    ],
)
def test_tiff_of_a_rare_compression_is_not_damaged(srx, compression, words):
    line = refusal(srx, tiff_of("a.tif", bytes(100), compression, 8))
    assert f"stored as {words}, which is not read from TIFF" in line


def test_jpeg_of_12_bits_in_tiff_is_not_damaged(srx):
    write_by_gdal("a.jpg", np.full((64, 64), 2000, np.uint16), "JPEG", nbits=12)
    path = tiff_of("a.tif", Path("a.jpg").read_bytes(), 7, 12)
    try:
        by_gdal = read_by_gdal(path)
    except rasterio.errors.RasterioIOError:  # before GDAL 3.12
        reason = "stored as JPEG of 12 bits, which is not read from TIFF"
        assert reason in refusal(srx, path)
    else:
        srx("upscale a.tif b.tif -m bicubic -s 2", code=0)
        stretched = np.rint(by_gdal * (65535 / 4095)).repeat(2, 0).repeat(2, 1)
        assert_array_equal(read_by_gdal("b.tif"), stretched)


@pytest.mark.parametrize("name", ["a.j2c", "a.j2k"])
def test_raw_codestreams_of_jpeg_2000_are_found_in_folders(tmp_path, srx, name):
    Path("in").mkdir()
    path = write_by_gdal("a.jp2", np.full((64, 64), 90, np.uint8), "JP2OpenJPEG")
    data = path.read_bytes()
    (tmp_path / "in" / name).write_bytes(data[data.index(b"\xff\x4f\xff\x51") :])
    srx("upscale in out -m bicubic -s 2", code=0)
    with rasterio.open("out/a.tif") as dataset:
        assert dataset.read().shape == (1, 128, 128)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["-outsize", "50%", "50%"], "-outsize: -s 2 says how many times larger"),
        (["-mask", "4"], "-mask: masks are enlarged with the picture"),
        (["-tr", "0.1", "0.1"], "-tr: -s 2 halves the pixels' size"),
        (["-scale", "0", "255"], "-scale: -s 2 says how many times larger"),
        (["-stats"], "-stats: run gdalinfo -stats on the result"),
        (["-ot", "Byte"], "values keep their type, or become Float32"),
        (["-mo", "A=B"], "-mo: tags are kept"),
        (["-t_srs", "EPSG:4326"], "-t_srs: nothing is warped"),
    ],
)
def test_words_of_gdal_are_refused_by_their_names(srx, words, advice):
    path = picture("a.tif")
    assert advice in srx("upscale", *words, path, "out.tif", code=2).err


RESAMPLINGS = (
    "near nearest bilinear cubic CUBIC cubicspline lanczos average rms mode gauss max min med q1 "
    "q3 sum"
)


@pytest.mark.parametrize("word", RESAMPLINGS.split())
def test_a_resampling_of_gdal_is_no_folder(srx, word):
    path = picture("in.tif")
    before = picture("result.tif").read_bytes()
    refused = srx("upscale", path, "result.tif", "-r", word, "-s 2", code=2)
    assert f"-r {word}: each model has its own way of resampling" in refused.err
    assert not Path(word).exists()
    assert Path("result.tif").read_bytes() == before


def test_a_folder_may_be_called_so_where_it_is_one(srx):
    Path("in").mkdir()
    Path("average").mkdir()
    picture("in/a.tif")
    srx("upscale in -r average -s 2 -m bicubic", code=0)
    srx("upscale in -r cubic/ -s 2 -m bicubic", code=0)
    assert Path("average/a.tif").exists()
    assert Path("cubic/a.tif").exists()


@pytest.mark.parametrize("count", [8, 12])
def test_many_bands_in_a_folder_are_told_by_no_line_of_pillow(srx, count, monkeypatch):
    Path("in").mkdir()
    for name in ("a.tif", "b.tif"):
        bands = np.full((40, 40, count), 90, np.uint16)
        write_by_gdal(f"in/{name}", bands, **PLACE)
    # without those of pytest, as in a terminal
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert "More samples" not in srx("upscale in out -s 2 -m bicubic", code=0).err


def test_zarr_3_of_codecs_that_gdal_lacks(srx):
    """As zarr-python writes all of its stores."""
    header = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 4],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "dimension_names": ["y", "x"],
    }
    Path("a.zarr/c/0").mkdir(parents=True)
    Path("a.zarr/zarr.json").write_text(json.dumps(header))
    Path("a.zarr/c/0/0").write_bytes(bytes(range(16)))
    line = srx("upscale a.zarr b.tif -s 2 -m bicubic", code=2).err
    assert "write it in format 2" in line
    assert "damaged" not in line


def test_grib_in_a_folder_is_told(srx):
    Path("in").mkdir()
    picture("in/a.tif")
    for name in ("b.grib2", "c.grb", "d.nc4"):
        Path("in", name).write_bytes(b"GRIB")
    result = srx("upscale in out -s 2 -m bicubic", code=0)
    told = " ".join(result.err.split())
    assert "files that are read only where named" in told
    for suffix in (".grib2", ".grb", ".nc4"):
        assert f"1 {suffix}" in told


@pytest.mark.parametrize(
    ("factors", "options", "result"),
    [
        ((2,), (), [2, 4]),
        ((), (), []),
        ((2,), ("--no-overviews",), []),
        ((), ("--overviews",), [2, 4]),
        ((2,), ("--no-overviews", "--cog"), []),
        ((), ("--cog",), [2]),
    ],
)
def test_a_result_has_overviews_where_its_input_has(srx, factors, options, result):
    pixels = np.full((300, 300, 3), 90, np.uint8)
    pixels[:, 150:] = 200
    path = write_by_gdal(
        "a.tif", pixels, then=lambda file: file.build_overviews(factors), **PLACE
    )
    options = ("-m", "bicubic", "-s", 2, *options)
    told = srx(f"upscale {path} out.tif", *options, code=0).err
    with rasterio.open("out.tif") as file:
        assert file.overviews(1) == result
    is_told = "has overviews, which its result gets, too" in " ".join(told.split())
    assert is_told == (factors == (2,) and not options[4:])


def full(_):
    raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("classes", ["no", "yes"])
def test_overviews_are_added_to_what_is_finished(srx, monkeypatch, classes):
    """Without enlarging it again; they are those of a result that got them at once."""
    pixels = np.random.default_rng(2).integers(0, 200, (300, 280), np.uint8)
    path = write_by_gdal("a.tif", pixels, **PLACE)
    ask = f"upscale {path} out.tif -m bicubic -s 2 --classes {classes}"
    srx(ask.replace("out.tif", "at_once.tif"), "--overviews", code=0)
    srx(ask, code=0)
    with rasterio.open("out.tif") as file:
        before = file.read()
    make = "srcli.pipelines.upscale.rasters.MakingStep.run"
    monkeypatch.setattr(make, lambda *_: pytest.fail("made again"))
    with monkeypatch.context() as patch:
        patch.setattr("srcli.imaging.rasters.publishing.check_room", full)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # as by kill -9
        assert "the disk is full" in srx(ask, "--overviews", code=2).err
    with rasterio.open("out.tif") as file:
        assert not file.overviews(1)
    result = srx(ask, "--overviews", code=0)
    assert "out.tif: overviews are added, all else is finished" in result.err
    assert "1 done" in result.out
    with rasterio.open("out.tif") as file:
        np.testing.assert_array_equal(file.read(), before)
        assert file.overviews(1) == [2, 4]
    for level in (0, 1):
        with (
            rasterio.open("out.tif", overview_level=level) as added,
            rasterio.open("at_once.tif", overview_level=level) as expected,
        ):
            np.testing.assert_array_equal(added.read(), expected.read())
    assert "1 skipped" in srx(ask, "--overviews", code=0).out
    assert not list(Path().glob(".*"))


def test_a_jpeg_has_no_overviews(srx):
    Image.new("RGB", (600, 520)).save("a.jpg")
    told = srx("upscale a.jpg out.tif -m bicubic -s 2 -co COMPRESS=ZSTD", code=0).err
    assert "overviews" not in told


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a.png"])
def test_a_picture_in_an_archive_leaves_nothing_beside_it(tmp_path, srx, name):
    Path("in").mkdir()
    archive = tmp_path / "in" / "a.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.write(picture(tmp_path / name), name)
    command = f"upscale /vsizip/{archive}/{name} out/ -m bicubic"
    srx(command, code=0)
    assert names_in("in") == ["a.zip"]
    assert names_in("out") == [name]
    assert "1 skipped" in srx(command, code=0).out


def test_a_raster_of_12_bits_in_jpeg_is_read_or_not_called_damaged(srx):
    Path("a.tif").write_bytes(zlib.decompress(base64.b64decode(TWELVE_BITS)))
    result = srx("upscale a.tif out.tif -s 2 -m bicubic")
    if result.code:
        assert "this GDAL reads JPEG of 8 bits alone" in result.err
        assert "damaged" not in result.err


def test_a_map_in_a_pdf_is_told_how_its_place_is_kept(srx):
    picture("a.png").rename("a.pdf").write_bytes(b"%PDF-1.7\n")
    assert "a map keeps its place by gdal_translate" in refusal(srx, Path("a.pdf"))


def test_the_system_beside_a_world_file_is_read(srx):
    picture("a.png")
    Path("a.pgw").write_text("10\n0\n0\n-10\n500005\n5299995\n")
    utm = rasterio.crs.CRS.from_epsg(32632)
    Path("a.prj").write_text(utm.to_wkt(version="WKT1_ESRI"))
    srx("upscale a.png out.tif -s 2 -m bicubic", code=0)
    with rasterio.open("out.tif") as file:
        assert (file.crs, file.transform[0]) == (utm, 5)


@pytest.mark.parametrize("count", [4, 6])
def test_offsets_beyond_the_tiles_of_a_tiff_do_not_count(srx, count):
    """As old writers list them; TIFF 6.0, section 15, says how many there are."""
    side = 64
    tiles = b"".join(bytes([40 * number + 20]) * side**2 for number in range(4))
    offsets = [8 + number * side**2 for number in range(4)] + [8] * (count - 4)
    arrays = struct.pack(f"<{2 * count}I", *offsets, *[side**2] * count)
    at = 8 + len(tiles)
    entries = [
        (256, 4, 1, 128), (257, 4, 1, 128), (258, 3, 1, 8), (259, 3, 1, 1),
        (262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, side), (323, 4, 1, side),
        (324, 4, count, at), (325, 4, count, at + 4 * count),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries))
    for entry in entries:
        directory += struct.pack("<HHII", *entry)
    head = b"II*\0" + struct.pack("<I", at + len(arrays))
    Path("a.tif").write_bytes(head + tiles + arrays + directory + bytes(4))
    srx("upscale a.tif out.png -s 2 -m bicubic", code=0)
    pixels = np.asarray(Image.open("out.png"))
    assert [pixels[y, x] for y in (64, 192) for x in (64, 192)] == [20, 60, 100, 140]
