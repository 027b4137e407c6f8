"""Command lines as users of GDAL type them: the same files as with our own words, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image

NAIP = "naip_rgbn_uint8_utm14.tif"


def test_a_command_line_of_gdal_translate_means_the_same(srx, srx_data, tmp_path):
    source = srx_data / "geotiff" / NAIP
    with rasterio.open(source) as file:
        west, north = file.transform @ (40, 30)
        east, south = file.transform @ (88, 62)
        inside = (west + 0.3 * file.res[0], south + 0.3, east, north)
    window, corners = ("-srcwin", 40, 30, 48, 32), (west, north, east, south)
    asked = ("upscale", source, "-m", "bicubic", "-s", 2)
    ours = srx(*asked, tmp_path / "ours.tif", "--srcwin", *window[1:], "--bidx", "4,1,2", "--cog")
    assert ours.code == 0, ours.err
    assert "are taken for red, green, blue" not in ours.err
    bands = ("-b", 4, "-b", 1, "-b", 2, "-of", "COG", "-co", "COMPRESS=ZSTD", "-q")
    for name, part in {
        "srcwin": window,
        "projwin": ("-projwin", *corners),
        "te": ("-te", west, south, east, north),
        "inside": ("-te", *inside),
    }.items():
        theirs = srx(*asked, tmp_path / f"{name}.tif", *part, *bands)
        assert theirs.code == 0, theirs.err
        with (
            rasterio.open(tmp_path / "ours.tif") as first,
            rasterio.open(tmp_path / f"{name}.tif") as second,
        ):
            assert np.array_equal(first.read(), second.read())
            assert second.transform.almost_equals(first.transform, 1e-6)
            assert second.bounds == pytest.approx((west, south, east, north))
            assert second.compression.name == "zstd"
            assert second.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    snapped = srx(*asked, tmp_path / "again.tif", "-te", *inside)
    told = f"--bounds snapped outwards to whole pixels: {west:.12g},{south:.12g},"
    assert told in snapped.err
    exact = srx(*asked, tmp_path / "exact.tif", "-te", west, south, east, north)
    assert "snapped" not in exact.err


@pytest.mark.parametrize(
    ("words", "suffix"),
    [
        (["-of", "GTiff"], "tif"),
        (["-of", "PNG"], "png"),
        (["-f", "JPEG"], "jpg"),
        (["-ftif"], "tif"),
    ],
)
def test_formats_by_the_names_of_gdal(srx, tmp_path, astronaut, words, suffix):
    Image.fromarray(astronaut[:9, :8]).save(tmp_path / "a.bmp")
    done = srx("upscale", tmp_path / "a.bmp", tmp_path, "-mbicubic", "-s2", "-vr", *words)
    assert done.code == 0, done.err
    with Image.open(tmp_path / f"a.{suffix}") as image:
        assert image.size == (16, 18)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-ofCOG"], "-ofCOG: is -of COG, or -o fCOG; write"),
        (["-te1", "2", "3", "4"], "-te1: is -te 1, or -t e1; write"),
        (["-overwrite"], "-overwrite: is --overwrite, or -o verwrite; write"),
        (["-overlap=16"], "-overlap=16: is --overlap=16, or -o verlap=16; write"),
        (["-outsize", "200%", "200%"], "-outsize: is GDAL's -outsize, which srx does not have, or"),
        (["-r", "cubic"], "-r means --recursive and takes no value"),
        (["-b", "auto"], "no list of different bands"),
    ],
)
def test_words_with_two_meanings_are_refused(srx, tmp_path, astronaut, words, message):
    Image.fromarray(astronaut[:9, :8]).save(tmp_path / "a.png")
    done = srx("upscale", tmp_path / "a.png", tmp_path / "out.png", "-m", "bicubic", *words)
    assert done.code == 2
    (line,) = (line for line in done.err.splitlines() if line.startswith("Error: "))
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_short_options_and_names_behind_two_dashes_stay(srx, tmp_path, monkeypatch, astronaut):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut[:9, :8]).save("-ot.png")
    done = srx("upscale", "-mbicubic", "-s2", "-oout", "-t32", "-vrq", "--", "-ot.png")
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "-ot.png").is_file()
