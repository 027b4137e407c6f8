"""`srx upscale`: colours, tags, provenance and compression of outputs; rasters."""

from __future__ import annotations

import hashlib
import re
import shlex

import numpy as np
import pytest
import rasterio
from PIL import Image

import srcli
from srcli.imaging.files.provenance import input_id
from srcli.models.weights import weights_path
from tests.fixtures.photographs import PLACE, SRGB, noise, write_by_gdal


@pytest.mark.parametrize("georeferenced", [False, True])
def test_strip_metadata_keeps_colours_and_georeference(
    srx, tmp_path, astronaut, georeferenced
):
    source = tmp_path / "a.tif"
    out = tmp_path / "out.tif"
    if georeferenced:

        def describe(file):
            file.update_tags(OWNER="Secret", AREA_OR_POINT="Point")
            file.update_tags(1, NOTE="Secret")

        write_by_gdal(source, astronaut[:16, :16], then=describe, **PLACE)
    else:
        exif = Image.Exif()
        exif[0x010F] = "Secret"
        Image.fromarray(astronaut[:16, :16]).save(source, exif=exif, icc_profile=SRGB)
    for strip in ((), ("--strip-metadata",)):
        srx("upscale", source, out, "-m bicubic -s 2", *strip, code=0)
        content = out.read_bytes()
        assert (b"Secret" in content) != bool(strip)
        assert (b"srx " in content) != bool(strip)
        if georeferenced:
            with rasterio.open(out) as file:
                assert file.crs.to_epsg() == 32632
                assert file.tags()["AREA_OR_POINT"] == "Point"
        else:
            with Image.open(out) as image:
                assert image.info["icc_profile"] == SRGB
        out.unlink()


@pytest.mark.parametrize("fmt", ["jpg", "tif", "png"])
def test_photographs_say_which_software_and_model_made_them(
    srx, tmp_path, astronaut, fmt
):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0131] = "Camera 1.0"
    exif.get_ifd(0x8769)[0x927C] = b"note" * 9
    source = tmp_path / "a.jpg"
    out = tmp_path / f"out.{fmt}"
    Image.fromarray(astronaut[:16, :16]).save(source, exif=exif)
    asked = ("upscale", source, "-o", out, "-m", "rrlfn", "-s", 2, "--overwrite")
    srx(*asked, "--strip-provenance", code=0)
    with Image.open(out) as image:
        plain = image.getexif()
        assert plain[0x0131] == "Camera 1.0"
        assert "srx" not in str(image.info)
    digest = hashlib.sha256(weights_path("rrlfn", 2).read_bytes()).hexdigest()[:16]
    made_by = f"rrlfn x2, weights {digest}, source {input_id(source)}"
    expected = f"Camera 1.0; srx {srcli.__version__} ({made_by})"
    pixels_made = []
    for _ in range(2):
        srx(*asked, code=0)
        pixels_made.append(out.read_bytes())
        with Image.open(out) as image:
            result_pixels = image.getexif()
            text = image.info["Software"] if fmt == "png" else result_pixels[0x0131]
            assert text == expected
            assert result_pixels[0x010F] == "Maker"
            assert result_pixels.get_ifd(0x8769)[0x927C] == b"note" * 9
    assert pixels_made[0] == pixels_made[1]  # no dates
    # the history goes on, whatever the format
    final = tmp_path / "last.jpg"
    srx("upscale", out, final, "-m bicubic -s 2", code=0)
    with Image.open(final) as image:
        history = image.getexif()[0x0131]
    assert history.startswith(
        f"{expected}; srx {srcli.__version__} (bicubic x2, source {fmt} "
    )


def test_rasters_go_with_pictures_and_say_what_was_decided(srx, geotiffs, tmp_path):
    words = ["-m", "rrlfn", "-s", 2, "--srcwin", 0, 0, 64, 48, "-v"]
    result = srx("upscale", geotiffs, tmp_path / "out", *words, code=0)
    assert "3 done" in result.out
    assert (
        "bands 1,2,3 are taken for red, green, blue; --rgb names others" in result.err
    )
    assert "as black and" in result.err
    assert len(list((tmp_path / "out").iterdir())) == 3
    foreseen = srx("upscale", geotiffs, tmp_path / "other", *words, "--dry-run").out
    assert re.search("^  .*as black and", foreseen, re.MULTILINE)
    again = srx("upscale", geotiffs, tmp_path / "out", *words)
    assert "3 skipped" in again.out


@pytest.mark.parametrize("words", [(), ("--cog",), ("-f", "jpg"), ("-f", "png")])
def test_rasters_say_which_software_and_model_made_them(
    srx, astronaut, tmp_path, words
):
    source = tmp_path / "in.tif"
    tags = {"TIFFTAG_SOFTWARE": "Mosaic 3", "AREA": "Bahamas"}
    write_by_gdal(
        source, astronaut[:16, :24], then=lambda file: file.update_tags(**tags), **PLACE
    )
    options = "--suffix _big -m bicubic -s 2"
    asked = ("upscale", source, tmp_path, options, *words)
    suffix = words[-1] if "-f" in words else "tif"
    key = {"jpg": "EXIF_Software", "png": "Software", "tif": "TIFFTAG_SOFTWARE"}[suffix]
    for strip in ((), ("--strip-provenance",)):
        srx(*asked, "--overwrite", *strip, code=0)
        with rasterio.open(tmp_path / f"in_big.{suffix}") as dataset:
            tags = dataset.tags()
        assert tags["AREA"] == "Bahamas"
        srx_tags = {
            name: text for name, text in tags.items() if name.startswith("SRX_")
        }
        if strip:
            assert not srx_tags
            assert tags["TIFFTAG_SOFTWARE"] == "Mosaic 3"
            continue
        made_by = f"Mosaic 3; srx {srcli.__version__} (bicubic x2, "
        assert tags[key].startswith(made_by)
        pixels_made = {
            "SRX_VERSION": srcli.__version__,
            "SRX_MODEL": "bicubic",
            "SRX_SCALE": "2",
        }
        assert srx_tags == pixels_made
        if suffix == "jpg":
            with Image.open(tmp_path / "in_big.jpg") as image:
                assert image.getexif()[0x0131] == tags[key]


@pytest.mark.parametrize("cog", [(), ("--cog",)])
def test_jpeg_inside_a_geotiff_has_the_quality_of_our_jpegs(
    srx, astronaut, tmp_path, cog
):
    source = tmp_path / "a.tif"
    write_by_gdal(source, astronaut[:64, :64], photometric="RGB", **PLACE)
    asked = ("upscale", source, "-m bicubic -s 2", *cog)
    best = ("--co", f"{'QUALITY' if cog else 'JPEG_QUALITY'}=95")

    def pixels_made(*words):
        out = tmp_path / "out.tif"
        srx(*asked, "-o", out, "--overwrite --co COMPRESS=JPEG", *words, code=0)
        with rasterio.open(out) as dataset:
            assert dataset.compression.name == "jpeg"
            return dataset.read()

    np.testing.assert_array_equal(pixels_made(), pixels_made(*best))
    np.testing.assert_array_equal(
        pixels_made("--quality", 50, *best), pixels_made(*best)
    )
    assert not np.array_equal(pixels_made("--quality", 50), pixels_made(*best))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--srcwin 0 0 0 5", 2, "srcwin"),
        ("--bounds 1 2 3 4", 2, "--bounds lies outside the file"),
        ("--bounds 1 2 3 nan", 2, "--bounds 1,2,3,nan: give left,bottom,right,top"),
        ("--bidx 7", 2, "7"),
        ("--rgb 1,2,9", 2, "9"),
        ("--co COMPRESS=NONSENSE", 2, "NONSENSE"),
        ("--co FOO=1", 2, "--co: GDAL says"),
        ("--co TARGET_SRS=EPSG:4326 --cog", 2, "change --co"),
        ("--nodata -5", 2, "uint8"),
        ("-f webp", 2, "take --format tif"),
        ("--srcwin 0 0 5 5 --bounds '1 2 3 4'", 2, "give one of them"),
    ],
)
def test_wrong_raster_options_leave_one_line_and_nothing_else(
    srx, tmp_path, words, code, message
):
    source = write_by_gdal(tmp_path / "a.tif", noise((16, 20, 4)), **PLACE)
    command = ("upscale", source, tmp_path / "out")
    options = ("-m", "bicubic", "-s", 2, *shlex.split(words))
    result = srx(*command, *options)
    assert result.code == code
    (line,) = re.findall(".*error: .*", result.err)
    assert message in line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    foreseen = srx(*command, *options, "--dry-run")
    assert foreseen.code in (1, 2)
    assert message in foreseen.out + foreseen.err
