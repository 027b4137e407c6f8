"""Rasters come out enlarged with everything that belongs to them, whatever happens on the way."""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from skimage import data

import srcli
from srcli.errors import PictureError
from srcli.imaging.pixels.resize import resize
from srcli.imaging.rasters.parts import Parts
from srcli.pipelines.upscale import rasters, writing_forecast
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.python_options import FractionTask
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.geotiffs import FOUR_BANDS, SIXTEEN_BITS, WITH_NODATA
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.fixtures.pictures import read_pixels

BICUBIC = settle(Asked(model="bicubic", scale=2, tile=64, overlap=8))
MERGE = "srcli.pipelines.upscale.rasters.publish"
BLOCKS = {"BLOCKXSIZE": "64", "BLOCKYSIZE": "64"}


def enlarge(source, target, options=BICUBIC, **raster):
    """Run one raster; returns its report."""
    options = replace(options, **raster)
    return upscale_files([source], target, options).files[0]


def pixels_of(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.fixture
def interrupt(monkeypatch):
    """Interrupt a run when all parts of its output are made."""

    def interrupted(*_):
        raise KeyboardInterrupt

    def run(source, target, options=BICUBIC):
        with monkeypatch.context() as patch:
            patch.setattr(MERGE, interrupted)
            with pytest.raises(KeyboardInterrupt):
                enlarge(source, target, options)

    return run


@pytest.fixture
def crop(geotiffs, tmp_path):
    """Cut a window out of a GeoTIFF."""

    def cut(name: str, col: int, row: int, width: int, height: int):
        with rasterio.open(geotiffs / name) as dataset:
            window = rasterio.windows.Window(col, row, width, height)
            colours = "MINISBLACK" if dataset.count == 4 else "RGB"
            return write_by_gdal(
                tmp_path / f"part_{name}", dataset.read(window=window).transpose(1, 2, 0),
                crs=dataset.crs, transform=dataset.window_transform(window),
                nodata=dataset.nodata, tiled=True, blockxsize=64, blockysize=64,
                photometric=colours,
                alpha="UNSPECIFIED",  # GDAL takes a fourth band for alpha else
            )  # fmt: skip

    return cut


def test_a_band_order_is_kept_and_a_wrong_one_refused(crop, tmp_path):
    source = crop(FOUR_BANDS, 100, 100, 70, 70)
    bands = pixels_of(enlarge(source, tmp_path / "a").target)
    report = enlarge(source, tmp_path / "b", bands=(4, 2))
    assert np.abs(pixels_of(report.target).astype(int) - bands[[3, 1]]).max() <= 1
    assert "5" in enlarge(source, tmp_path / "c", bands=(5,)).error
    assert not (tmp_path / "c" / source.name).exists()


def test_16_bit_values_keep_their_levels(crop, tmp_path):
    source = crop(SIXTEEN_BITS, 250, 240, 96, 96)
    before = read_by_gdal(source)
    assert before.min() >= 200
    # over the whole range the network rounds after both passes, as MATLAB does for
    # integers
    for values, pixels in (("auto", before.astype(float)), ("dtype", before)):
        report = enlarge(source, tmp_path / values, values=values)
        after = read_by_gdal(report.target)
        assert after.dtype == np.uint16
        expected = resize(pixels, 2).clip(1, 65_535)  # 0 is nodata
        assert np.abs(after - expected.astype(float)).max() <= 1


@pytest.fixture
def _low_parts(monkeypatch):
    """Parts of 256 rows, however narrow."""
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)


@pytest.mark.usefixtures("_low_parts")
@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt, OSError(28, "No space left on device")]
)
def test_an_interrupted_run_goes_on_where_it_stopped(
    crop, tmp_path, monkeypatch, stop, notes
):
    source = crop(SIXTEEN_BITS, 200, 0, 128, 512)
    expected = enlarge(source, tmp_path / "whole", creation=BLOCKS)
    add = Parts.add
    calls = count(1)

    def interrupted(self, *arguments):
        if next(calls) == 3:
            raise stop
        add(self, *arguments)

    monkeypatch.setattr(Parts, "add", interrupted)
    out = tmp_path / "out"
    if stop is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            enlarge(source, out, creation=BLOCKS)
    else:
        assert "the disk is full" in enlarge(source, out, creation=BLOCKS).error
    monkeypatch.setattr(Parts, "add", add)
    assert not (out / source.name).exists()
    assert leftovers(out) != []
    options = replace(BICUBIC, creation=BLOCKS)
    (report,) = upscale_files([source], out, options, progress=notes).files
    assert report.tiles < expected.tiles
    message = ": 2 of 4 parts are kept from an earlier run"
    assert message in "\n".join(notes.messages)
    assert np.array_equal(pixels_of(report.target), pixels_of(expected.target))
    assert leftovers(out) == []


@pytest.mark.usefixtures("_low_parts")
def test_any_missing_parts_are_made_again(crop, tmp_path, monkeypatch, interrupt):
    """Also of a network that measures the whole picture."""
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 64)
    # no part is in the canvas before the end
    monkeypatch.setattr(writing_forecast, "append_behind", lambda *_: nullcontext())
    source = crop(FOUR_BANDS, 0, 0, 20, 150)
    options = replace(BICUBIC, model="g-idrn", tile=48, creation=BLOCKS)
    expected = enlarge(source, tmp_path / "whole", options)
    interrupt(source, tmp_path / "out", options)
    (folder,) = (tmp_path / "out").glob(".*.parts")
    parts = sorted(folder.glob("part-*"))
    assert len(parts) == 5
    parts[0].unlink()
    parts[4].unlink()
    report = enlarge(source, tmp_path / "out", options)
    assert 0 < report.tiles < expected.tiles
    np.testing.assert_array_equal(pixels_of(report.target), pixels_of(expected.target))


@pytest.mark.parametrize(
    ("correction", "name"),
    [
        ({"denoise": 0.5}, "noise 0.5"),
        ({"back_project": "area"}, "area"),
    ],
)
def test_corrections_are_named_alike_by_every_process(
    crop, tmp_path, interrupt, correction, name
):
    """Or a run that goes on later throws away what is finished."""
    source = crop(FOUR_BANDS, 0, 0, 20, 20)
    options = replace(BICUBIC, model="rrlfn", **correction)
    interrupt(source, tmp_path / "out", options)
    (plan,) = (tmp_path / "out").glob(".*.parts/*.json")
    assert json.loads(plan.read_bytes())["corrections"] == [name]


@pytest.fixture
def disk(monkeypatch):
    """A disk whose free bytes a test says."""
    disk = SimpleNamespace(free=10**12)
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk)
    return disk


def test_too_little_disk_is_said_before_work(crop, tmp_path, disk):
    source = crop(FOUR_BANDS, 0, 0, 100, 90)
    (foreseen,) = upscale_files([source], tmp_path / "out", BICUBIC, dry_run=True).files
    assert foreseen.likely_bytes < foreseen.bytes
    disk.free = foreseen.likely_bytes // 4
    error = enlarge(source, tmp_path / "out").error
    assert (
        f"are free in {tmp_path / 'out'}; make room, take another folder or a part"
        in error
    )
    assert "--no-disk-check goes on" in error
    assert not any((tmp_path / "out").glob("*.tif"))
    report = enlarge(source, tmp_path / "out", replace(BICUBIC, disk_check=False))
    assert report.state == "done", report.error
    assert "parts and result may take" in "\n".join(report.warnings)


def test_what_is_compressed_well_needs_little_disk(tmp_path, disk):
    """Regions of a class map, whose parts and result take a hundredth of their pixels."""
    regions = np.add.outer(np.arange(1200) // 311, np.arange(1000) // 173) % 5
    source = write_by_gdal(tmp_path / "classes.tif", regions.astype(np.uint8), **PLACE)
    disk.free = 1200 * 1000 * 4 // 10
    report = enlarge(source, tmp_path / "out", classes="yes")
    assert (report.state, report.warnings) == ("done", ())


CORNER = (
    '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename>'
    '<SourceBand>1</SourceBand><DstRect xOff="{0}" yOff="{0}" xSize="99" ySize="99"/>'
    "</SimpleSource>"
)


def test_a_mosaic_with_holes_needs_what_its_files_need(tmp_path, disk):
    """Two sheets in opposite corners; the corners of windows over all are where they lie."""
    noise = np.random.default_rng(3).integers(0, 255, (99, 99, 1), np.uint8)
    write_by_gdal(tmp_path / "a.tif", noise, **PLACE)
    mosaic = tmp_path / "mosaic.vrt"
    mosaic.write_text(
        '<VRTDataset rasterXSize="9999" rasterYSize="9999"><SRS>EPSG:32632</SRS>'
        "<GeoTransform>5e5, 0.5, 0, 5200000, 0, -0.5</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>255</NoDataValue>'
        f"{CORNER.format(0)}{CORNER.format(9900)}</VRTRasterBand></VRTDataset>"
    )
    disk.free = 8_000_000
    out = tmp_path / "out.tif"
    (foreseen,) = upscale_files([mosaic], out, BICUBIC, dry_run=True).files
    assert not foreseen.error
    assert foreseen.bytes > 4 * 10**8
    assert foreseen.likely_bytes < 2 * 12 * 4 * 2 * 99**2 * 1.5


@pytest.mark.parametrize(
    ("compression", "form", "most"),
    [
        ("DEFLATE", {}, 1.3),
        ("JPEG", {}, 1.3),
        ("NONE", {}, 1.3),
        ("DEFLATE", {"overviews": True}, 1.1),
        ("DEFLATE", {"cog": True}, 2.1),
    ],
    ids=str,
)
def test_the_disk_that_is_foreseen_is_the_most_that_a_run_takes(
    tmp_path, monkeypatch, compression, form, most
):
    """Little more than the result, as parts are appended while others are made."""
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 64)
    source = write_by_gdal(tmp_path / "a.tif", data.astronaut(), **PLACE)
    out = tmp_path / "out" / "a.tif"
    blocks = {"BLOCKSIZE": "128"} if form.get("cog") else BLOCKS
    creation = {**blocks, "COMPRESS": compression}
    options = replace(BICUBIC, creation=creation, **form)
    (foreseen,) = upscale_files([source], out, options, dry_run=True).files
    taken = []
    wait = os.fsync

    def weigh(number):
        wait(number)
        files = [path for path in out.parent.rglob("*") if path.is_file()]
        sizes = []
        for path in files:
            with suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        taken.append(sum(sizes))

    monkeypatch.setattr(os, "fsync", weigh)
    # which takes 4 MB for a moment
    monkeypatch.setattr("srcli.imaging.rasters.publishing.check_room", lambda _: None)
    assert enlarge(source, out, options).state == "done"
    size = out.stat().st_size
    assert size < max(taken) < most * size
    assert 0.7 < foreseen.likely_bytes / max(taken) < 1.4
    if not form:
        pixels = 3 * 1024**2
        assert 1.05 < (foreseen.bytes - 2**20) / pixels < 1.1


def test_a_disk_that_will_be_full_is_told_meanwhile(
    crop, tmp_path, disk, notes, monkeypatch
):
    source = crop(FOUR_BANDS, 0, 0, 300, 280)
    make = rasters.MakingStep.run

    def is_told():
        return sum("what is left may take" in line for line in notes.warnings) == 1

    def fill_disk(*step):
        disk.free = 1000
        make(*step)
        end = time.monotonic() + 60
        while not is_told() and time.monotonic() < end:
            time.sleep(0.01)

    monkeypatch.setattr(rasters.MakingStep, "run", fill_disk)
    options = replace(BICUBIC, overviews=True)
    upscale_files([source], tmp_path / "out", options, progress=notes)
    assert is_told()


def test_python_begins_without_a_disk_check(crop, disk):
    source = crop(FOUR_BANDS, 0, 0, 100, 90)
    disk.free = 1000
    with rasterio.open(source) as dataset:
        with pytest.raises(PictureError, match="are free in"):
            srcli.upscale(dataset, "bicubic", 2)
        with srcli.upscale(dataset, "bicubic", 2, disk_check=False) as larger:
            assert larger.shape == (180, 200)


def test_room_for_what_is_finished_is_not_asked_for_again(
    crop, tmp_path, disk, interrupt
):
    source = crop(FOUR_BANDS, 0, 0, 300, 280)
    interrupt(source, tmp_path / "out")
    stored = Parts(tmp_path / "out" / source.name, None).stored_bytes  # type: ignore[arg-type]
    disk.free = stored
    assert enlarge(source, tmp_path / "out").state == "done"


@pytest.mark.parametrize(
    "ending",
    [{"overviews": True}, {"cog": True}, {"creation": {"TILED": "NO"}}],
    ids=str,
)
def test_progress_counts_the_writing_of_the_file(crop, tmp_path, monkeypatch, ending):
    """The tiles are a part of it only, the total is known before, and all is done at 1."""
    source = crop(FOUR_BANDS, 0, 0, 300, 280)
    shares: list[float] = []
    before_writing = []
    begin = writing_forecast.WritingForecast.begin

    def note_shares(forecast):
        begin(forecast)
        before_writing.append(len(shares))

    monkeypatch.setattr(writing_forecast.WritingForecast, "begin", note_shares)
    # as a large one is, of which the files tell how far it has come
    monkeypatch.setattr("srcli.imaging.rasters.publishing._SMALL", 0)
    options = replace(BICUBIC, **ending)
    progress = FractionTask(shares.append)
    upscale_files([source], tmp_path / "out", options, progress=progress)
    while_writing = shares[before_writing[0] : -1]
    assert while_writing
    assert 0 < min(while_writing) <= max(while_writing) < 1
    known = [share for share in shares if share < 1]
    assert known == sorted(known)
    assert shares[-1] == 1


def test_a_mosaic_does_not_replace_what_it_is_made_of(crop, tmp_path):
    source = crop(FOUR_BANDS, 0, 0, 60, 50)
    before = source.read_bytes()
    mosaic = source.with_suffix(".vrt")
    rasterio.shutil.copy(source, mosaic, driver="VRT")
    report = enlarge(mosaic, tmp_path, replace(BICUBIC, overwrite=True))
    assert report.state == "failed"
    assert f"{source} is a part of it and would be overwritten" in report.error
    assert source.read_bytes() == before
    assert enlarge(mosaic, tmp_path, replace(BICUBIC, suffix="_x2")).state == "done"


def test_a_changed_part_of_a_mosaic_of_a_mosaic_starts_over(
    crop, tmp_path, interrupt, notes
):
    source = crop(FOUR_BANDS, 0, 0, 120, 140)
    middle = tmp_path / "middle.vrt"
    top = tmp_path / "top.vrt"
    rasterio.shutil.copy(source, middle, driver="VRT")
    rasterio.shutil.copy(middle, top, driver="VRT")
    interrupt(top, tmp_path / "out")
    with rasterio.open(source, "r+") as file:
        file.write(255 - file.read())
    upscale_files([top], tmp_path / "out", BICUBIC, progress=notes)
    assert "changed: input" in "\n".join(notes.messages)
    enlarge(top, tmp_path / "again")
    np.testing.assert_array_equal(
        pixels_of(tmp_path / "out" / "top.tif"),
        pixels_of(tmp_path / "again" / "top.tif"),
    )


def test_work_left_by_an_interrupted_overwrite_is_told(
    crop, tmp_path, interrupt, notes
):
    source = crop(FOUR_BANDS, 0, 0, 120, 140)
    assert enlarge(source, tmp_path / "out").state == "done"
    interrupt(source, tmp_path / "out", replace(BICUBIC, overwrite=True))
    (report,) = upscale_files([source], tmp_path / "out", BICUBIC, progress=notes).files
    assert report.state == "skipped"
    assert "has left work beside it; --overwrite goes on" in "\n".join(notes.warnings)
    assert enlarge(source, tmp_path / "out", replace(BICUBIC, overwrite=True))
    assert leftovers(tmp_path / "out") == []


def test_holes_stay_holes_in_a_jpeg(crop, tmp_path):
    source = crop(WITH_NODATA, 360, 0, 120, 100)
    with rasterio.open(source) as file:
        holes = file.dataset_mask() == 0
    assert 0 < holes.sum() < holes.size
    for name, creation in (("a.jpg", {}), ("a.tif", {"COMPRESS": "JPEG"})):
        assert enlarge(source, tmp_path / name, creation=creation).state == "done"
        with rasterio.open(tmp_path / name) as file:
            mask = file.dataset_mask() == 0
        np.testing.assert_array_equal(mask, holes.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("picture", "scale", "expected"),
    [
        ({"quality": 30}, 4, ("blocks", "g-idrn-aerial")),
        ({"quality": 30}, 3, ("blocks", "g-idrn-aerial")),
        ({"quality": 98}, 2, ("clean", "g-idrn")),
        # measurements, not a picture
        ({"quality": 30, "dtype": "uint16"}, 2, ("", "g-idrn")),
        ({"quality": 30, "bands": [1]}, 2, ("", "g-idrn")),
    ],
)
def test_an_aerial_picture_that_was_saved_badly_gets_a_model_for_it(
    tmp_path, astronaut, picture, scale, expected
):
    bands = picture.get("bands")
    photograph = Image.fromarray(astronaut[64:128, 96:160])
    photograph.save(tmp_path / "a.jpg", quality=picture["quality"])
    pixels = read_pixels(tmp_path / "a.jpg").astype(picture.get("dtype", "uint8"))
    write_by_gdal(tmp_path / "a.tif", pixels, photometric="RGB", **PLACE)
    options = settle(Asked(model="auto", scale=scale))
    report = enlarge(tmp_path / "a.tif", tmp_path / "b.tif", options, bands=bands)
    assert (report.condition, report.model) == expected
    with rasterio.open(tmp_path / "b.tif") as file:
        assert file.tags()["SRX_MODEL"] == report.model
    again = enlarge(tmp_path / "a.tif", tmp_path / "b.tif", options, bands=bands)
    assert again.state == "skipped"
    options = settle(Asked(model=report.model, scale=scale))
    enlarge(tmp_path / "a.tif", tmp_path / "c.tif", options, bands=bands)
    np.testing.assert_array_equal(
        pixels_of(tmp_path / "b.tif"), pixels_of(tmp_path / "c.tif")
    )
