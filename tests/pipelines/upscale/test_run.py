"""The upscale pipeline without a terminal: reports, memory limits, depths mixed in one folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from srcli.errors import PictureError, UsageError
from srcli.imaging.pixels.geometry import Box
from srcli.inference.engine import TorchEngine
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.kinds import open_item
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.reporter import Item
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.geotiffs import WITH_NODATA


@pytest.fixture
def folder(tmp_path, astronaut):
    """8- and 16-bit, gray and colour, mixed."""
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(astronaut[:70, :90]).save(folder / "a.png")
    Image.fromarray(astronaut[:50, :60, 0].astype(np.uint16) * 257).save(
        folder / "b.png"
    )
    Image.fromarray(astronaut[:40, :30]).save(folder / "c.png")
    Image.fromarray(astronaut[:40, :30, 1]).save(folder / "d.png")
    return folder


OPTIONS = settle(Asked(model="bicubic", scale=2, tile=32, overlap=8))
BICUBIC = settle(Asked(model="bicubic", scale=2))


def test_progress_and_reports_add_up(folder, tmp_path, notes):
    told: list[Any] = []
    summary = upscale_files(
        [folder], tmp_path / "out", OPTIONS, progress=notes, on_file=told.append
    )
    assert summary.exit_code == 0
    assert sorted(f.source.name for f in summary.files) == [
        "a.png",
        "b.png",
        "c.png",
        "d.png",
    ]
    assert told == summary.files
    assert sum(f.tiles for f in summary.files) > 4
    assert [(label, unit) for label, _, unit in notes.tasks] == [("upscaling", "%")]
    ((_, work, texts),) = notes.closed
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert work == pytest.approx(sum(grown))
    # of all, from the first picture on: tiles overlap more or less
    assert grown[0] == pytest.approx(work, rel=0.3)
    assert summary.megapixels == pytest.approx(
        4 * (70 * 90 + 50 * 60 + 40 * 30 + 40 * 30) / 1e6
    )
    with Image.open(tmp_path / "out/b.png") as deep:
        assert deep.mode.startswith("I;16")


def test_options_of_rasters_are_not_for_the_photographs_of_a_folder(
    folder, tmp_path, notes
):
    asked = replace(OPTIONS, nodata=0, overviews=True)
    summary = upscale_files([folder], tmp_path / "out", asked, progress=notes)
    assert summary.exit_code == 0
    plain = upscale_files([folder], tmp_path / "plain", OPTIONS)
    for report, expected in zip(summary.files, plain.files, strict=True):
        assert report.target.read_bytes() == expected.target.read_bytes()
    (told,) = notes.warnings
    assert told.startswith("photographs are upscaled without --nodata, --overviews")


def test_memory_that_is_never_enough_fails_the_file_with_the_remedy(
    folder, tmp_path, monkeypatch
):
    def never(self, tiles, calibration=None, positions=None):
        raise MemoryError

    monkeypatch.setattr(TorchEngine, "start", never)
    summary = upscale_files([folder / "a.png"], tmp_path / "out", OPTIONS)
    (report,) = summary.files
    assert report.state == "failed"
    assert "--tile" in report.error
    assert summary.exit_code == 2
    assert not list((tmp_path / "out").glob("*"))


def test_warnings_name_the_file_and_stand_in_its_report(tmp_path, astronaut, notes):
    Image.fromarray(astronaut[:30, :30]).convert("CMYK").save(tmp_path / "print.jpg")
    options = settle(Asked(model="bicubic", scale=2, format="png"))
    summary = upscale_files(
        [tmp_path / "print.jpg"], tmp_path / "out", options, progress=notes
    )
    assert "CMYK" in "\n".join(summary.files[0].warnings)
    assert "print.jpg" in "\n".join(notes.warnings)


def test_a_folder_that_cannot_be_made_is_told_before_any_work(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="file/out: this folder cannot be made"):
        upscale_files([folder], tmp_path / "file" / "out", OPTIONS)


def test_an_output_that_is_a_folder_is_no_finished_picture(folder, tmp_path):
    in_the_way = tmp_path / "out" / "a.png"
    in_the_way.mkdir(parents=True)
    failed, *reports = upscale_files([folder], tmp_path / "out", OPTIONS).files
    assert (failed.state, failed.error) == (
        "failed",
        f"{in_the_way}: is a folder; take another name",
    )
    for report in reports:
        assert report.state == "done"


def is_raster(path, options=BICUBIC, **changes):
    target = path.with_suffix(".out")
    item = Item(source=path, target=target, format="tif", **changes)
    return open_item(item, options).kind.is_raster


def turned(picture, suffix=".jpg"):
    """Save the picture so that EXIF turns it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture.with_name(f"turned{suffix}")
    Image.open(picture).save(path, exif=exif)
    return path


@pytest.fixture
def picture(tmp_path, astronaut):
    path = tmp_path / "a.png"
    Image.fromarray(astronaut).save(path)
    return path


def test_what_goes_by_windows(geotiffs, picture, astronaut):
    for path in geotiffs.iterdir():
        assert is_raster(path)
    tiff = picture.with_suffix(".tif")
    Image.fromarray(astronaut).save(tiff)
    for path in (picture, tiff):
        assert not is_raster(path)
        assert is_raster(path, replace(BICUBIC, srcwin=(0, 0, 5, 5)))
        assert not is_raster(path, replace(BICUBIC, resume=False))
    for path in (picture, tiff, turned(picture)):
        assert not is_raster(path, replace(BICUBIC, whole_pixels=1))


def test_a_plain_tiff_too_large_to_be_a_photograph_does(tmp_path):
    path = tmp_path / "huge.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(
            path, "w", driver="GTiff", width=100_000, height=60_000, count=1, dtype="uint8",
            tiled=True, sparse_ok=True, compress="deflate", bigtiff="yes",
        ),
    ):  # fmt: skip
        pass
    assert is_raster(path)


def test_what_exif_turns_cannot_have_options_of_rasters(picture):
    asked = replace(BICUBIC, overviews=True)
    with pytest.raises(PictureError, match=r"turned\.jpg: EXIF or its sidecar rotates"):
        is_raster(turned(picture), asked)
    for suffix in (".jpg", ".tif"):  # of a folder
        assert not is_raster(turned(picture, suffix), asked, from_folder=True)


def test_what_is_read_by_windows_cannot_be_made_to_fit(geotiffs, picture):
    fitting = replace(BICUBIC, fit=Box(width=100))
    assert not is_raster(picture, fitting)
    assert not is_raster(picture, replace(fitting, whole_pixels=1))
    with pytest.raises(
        PictureError, match=r"with_nodata.*is a raster \(.+\), and --fit"
    ):
        is_raster(geotiffs / WITH_NODATA, fitting)
    with pytest.raises(
        UsageError, match="--fit is for photographs and --srcwin for rasters"
    ):
        settle(Asked(model="bicubic", fit=Box(width=100), srcwin=(0, 0, 5, 5)))


def test_a_scale_that_a_model_lacks_is_told_for_rasters(geotiffs):
    lack = "--model fast enlarges rasters by 2 .*4, not by 8; give --scale "
    asked = Asked(model="fast", scale=8)
    with pytest.raises(
        PictureError, match=rf"with_nodata.*is a raster \(.+\), and {lack}"
    ):
        is_raster(geotiffs / WITH_NODATA, settle(asked))
    with pytest.raises(UsageError, match=f"--srcwin is for rasters, and {lack}"):
        settle(replace(asked, srcwin=(0, 0, 5, 5)))
