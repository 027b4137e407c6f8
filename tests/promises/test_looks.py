"""A raster is looked at once, as a whole; what is decided for a part fits the rest."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import rasterio
import rasterio.io
from rasterio.windows import Window

import srcli
from srcli.pipelines.upscale import writing_forecast
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal

Y, X = np.mgrid[:130, :150]


@pytest.fixture
def reads(monkeypatch):
    """Count the files that GDAL opens for srx, and the windows that it decodes of them."""
    counts: Counter[str] = Counter()

    class CountingReader(rasterio.io.DatasetReader):  # type: ignore[misc]
        def __init__(self, *arguments, **options):
            counts["opened"] += 1
            super().__init__(*arguments, **options)

        def read(self, *arguments, **options):
            counts["decoded"] += 1
            return super().read(*arguments, **options)

    monkeypatch.setattr(rasterio.io, "DatasetReader", CountingReader)
    # a dry run enlarges further windows, to foresee what they take on disk
    monkeypatch.setattr(writing_forecast, "foresee_disk", lambda *_: 0)
    return counts


def scene(dtype="uint16", bands=4, shape=(1500, 1500)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    waves = (np.sin(columns / 17) + np.cos(rows / 23) + 2) / 4
    noise = np.random.default_rng(0).random(shape) * 0.1
    planes = [(waves ** (1 + band) + noise) * 9000 for band in range(bands)]
    return np.stack(planes, axis=2).astype(dtype)


@pytest.mark.parametrize("options", ["", "-m bicubic", "--rgb 3,2,1", "--nodata 7"])
def test_a_raster_is_opened_once_and_sampled_by_64_windows(srx, reads, options):
    write_by_gdal("a.tif", scene(), tiled=True, **PLACE)
    srx("upscale a.tif b.tif -s 2 --dry-run", *options.split(), code=0)
    assert reads["opened"] == 1
    assert 0 < reads["decoded"] <= 64


def test_a_small_raster_is_decoded_once(srx, reads):
    write_by_gdal("a.tif", scene(shape=(200, 300)), **PLACE)
    srx("upscale a.tif b.tif -s 2 --dry-run", code=0)
    assert dict(reads) == {"opened": 1, "decoded": 1}


def test_interpolation_needs_no_range_of_values(srx, reads):
    write_by_gdal("a.tif", scene(shape=(200, 300)), **PLACE)
    plain = "--classes no --nodata none --alpha yes --dry-run"
    printed = srx(f"upscale a.tif b.tif -s 2 -m bicubic {plain}", code=0)
    assert "as black and" not in printed.out + printed.err
    assert dict(reads) == {"opened": 1, "decoded": 1}  # for the bounds of values


def dark_and_bright():
    """A scene whose left half is a twentieth as bright as the right one."""
    values = scene(bands=3, shape=X.shape) * 1.0
    values[:, :100] *= 0.05
    return values.astype("uint16")


PART = (10, 40, 80, 70)
IN_WHOLE = np.s_[80:220, 20:180]
"""Where the part lies in the enlarged whole."""
BOUNDS = "-te 500005 5199945 500045 5199980"


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("bicubic", BOUNDS),
        ("g-idrn", "-srcwin 10 40 80 70"),  # attention over a tile
        ("nested-attn", BOUNDS),  # and to far pixels
    ],
)
def test_a_part_is_that_of_the_whole_to_the_bit(srx, model, window):
    write_by_gdal("a.tif", dark_and_bright(), photometric="RGB", **PLACE)
    options = f"-s 2 -m {model} -t 48 --overlap 8"
    of_file = srx("upscale a.tif whole.tif", options, code=0)
    of_window = srx("upscale a.tif part.tif", options, window, code=0)
    lines = [
        [line for line in result.err.splitlines() if "as black" in line]
        for result in (of_file, of_window)
    ]
    assert lines[0] == lines[1]
    assert lines[0] or model == "bicubic"  # which needs no range
    expected = read_by_gdal("whole.tif")[IN_WHOLE]
    np.testing.assert_array_equal(read_by_gdal("part.tif"), expected)


def test_halves_side_by_side_are_the_whole(srx):
    pixels = dark_and_bright().astype("float32")
    pixels[20:90, 30:120] = -1
    write_by_gdal("a.tif", pixels, nodata=-1, photometric="RGB", **PLACE)
    height, width = pixels.shape[:2]
    options = "-s 3 -m rrlfn -t 48 --overlap 8"
    srx("upscale a.tif whole.tif", options, code=0)
    halves = []
    for left, right in ((0, 77), (77, width)):
        window = f"-srcwin {left} 0 {right - left} {height}"
        srx("upscale a.tif half.tif --overwrite", options, window, code=0)
        halves.append(read_by_gdal("half.tif"))
    whole = read_by_gdal("whole.tif")
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)


def test_soft_alpha_at_the_border_of_a_part_is_that_of_the_whole(srx):
    pixels = dark_and_bright()
    alpha = np.full(pixels.shape[:2], 40_000, "uint16")
    alpha[30:100, 60:110] = np.arange(50) * 800
    layers = np.dstack([pixels, alpha])
    write_by_gdal("a.tif", layers, photometric="RGB", alpha="yes", **PLACE)
    srx("upscale a.tif whole.tif -s 2 -m bicubic", code=0)
    srx("upscale a.tif part.tif -s 2 -m bicubic -srcwin 10 40 80 70", code=0)
    expected = read_by_gdal("whole.tif")[IN_WHOLE]
    np.testing.assert_array_equal(read_by_gdal("part.tif"), expected)


def test_a_part_has_the_pixels_of_the_whole_in_python_too():
    path = write_by_gdal("a.tif", dark_and_bright(), photometric="RGB", **PLACE)
    with rasterio.open(path) as dataset:
        whole = srcli.upscale(dataset, model="rrlfn", scale=2)
        part = srcli.upscale(dataset, model="rrlfn", scale=2, window=Window(*PART))
    expected = np.moveaxis(whole.read(), 0, 2)[IN_WHOLE]
    np.testing.assert_array_equal(np.moveaxis(part.read(), 0, 2), expected)


def test_a_part_of_classes_in_their_order_is_repeated_as_the_whole_is(srx):
    patches = (
        np.random.default_rng(1).integers(0, 9, (20, 25)).repeat(8, 0).repeat(8, 1)
    )
    patches[:40, :40] = np.arange(40) // 8
    write_by_gdal("a.tif", patches.astype("uint8"), **PLACE)
    srx("upscale a.tif b.tif -s 2 -srcwin 0 0 40 40", code=0)
    part = patches[:40, :40].astype("uint8")
    expected = part.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(read_by_gdal("b.tif")[:, :, 0], expected)


def test_sheets_of_a_folder_are_told_how_they_get_one_range(srx, tmp_path):
    (tmp_path / "sheets").mkdir()
    for index, name in enumerate(("a.tif", "b.tif")):
        sheet = scene(bands=1, shape=(48, 48)) * (1 + index)
        place = {**PLACE, "transform": PLACE["transform"].translation(48 * index, 0)}
        write_by_gdal(tmp_path / "sheets" / name, sheet, **place)
    printed = srx("upscale sheets out -s 2 -m g-idrn --dry-run", code=0)
    assert "--mosaic gives all sheets of a folder the same" in printed.out
    alone = srx("upscale sheets/a.tif out.tif -s 2 -m g-idrn --dry-run", code=0)
    assert "--mosaic" not in alone.out


@pytest.mark.parametrize("form", ["", "--cog --co BLOCKSIZE=128"])
def test_a_folder_takes_its_results_and_what_one_file_takes_beside_its_own(
    srx, tmp_path, form
):
    (tmp_path / "in").mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (480, 480, 3), np.uint8)
    for name in "abcd":
        write_by_gdal(tmp_path / f"in/{name}.tif", colours, **PLACE)
    asked = f"out/ -s 4 -m bicubic --co COMPRESS=NONE {form}"

    def megabytes_of(source):
        line = srx(f"upscale {source} {asked} --dry-run", code=0).out.splitlines()[-1]
        assert "megapixels to write, 0 problems; at most " in line
        return int(line.partition("at most ")[2].split(" MB")[0])

    of_one = megabytes_of("in/a.tif")
    of_four = megabytes_of("in")
    srx(f"upscale in/a.tif {asked}", code=0)
    result = (tmp_path / "out/a.tif").stat().st_size / 1e6
    assert of_four == pytest.approx(of_one + 3 * result, rel=0.05)


def test_of_a_raster_on_the_network_the_part_alone_is_looked_at(srx, web):
    noise = np.random.default_rng(0).integers(0, 60_000, (1200, 1200, 1), np.uint16)
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128}
    write_by_gdal(web.folder / "noise.tif", noise, **tiles, **PLACE)
    options = "-s 2 -m rrlfn --allow-remote -srcwin 0 0 100 90"
    result = srx(f"upscale {web.url}/noise.tif part.tif", *options.split(), code=0)
    assert "that of this part alone, as the file is on the network" in result.err
    assert web.requests.count("/noise.tif") < 20  # of a hundred blocks
