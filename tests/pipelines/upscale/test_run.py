"""The upscale pipeline without a terminal: reports, memory limits, depths mixed in one folder."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from srcli.errors import UsageError
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import EngineOptions
from srcli.pipelines.upscale.options import Naming, RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.run import upscale_files
from srcli.ports.engine import OutOfMemory
from srcli.ports.progress import NoProgress, NoTask

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import FileReport


class Recorder(NoProgress):
    """Keeps what a pipeline says."""

    def __init__(self):
        self.lines, self.warnings, self.tasks = [], [], {}

    def task(self, label, *, total=None, unit=""):
        self.tasks[label] = Counter(total or 0)
        return self.tasks[label]

    def message(self, text):
        self.lines.append(text)

    def warn(self, text):
        self.warnings.append(text)


class Counter(NoTask):
    """Counts."""

    def __init__(self, total):
        self.total, self.done, self.closed = total, 0.0, False

    def grow(self, amount):
        self.total += amount

    def advance(self, amount=1.0):
        self.done += amount

    def close(self):
        self.closed = True


@pytest.fixture
def folder(tmp_path, astronaut):
    """8- and 16-bit, gray and colour, mixed."""
    place = tmp_path / "in"
    place.mkdir()
    Image.fromarray(astronaut[:70, :90]).save(place / "a.png")
    Image.fromarray(astronaut[:50, :60, 0].astype(np.uint16) * 257).save(place / "b.png")
    Image.fromarray(astronaut[:40, :30]).save(place / "c.png")
    Image.fromarray(astronaut[:40, :30, 1]).save(place / "d.png")
    return place


OPTIONS = UpscaleOptions(model="bicubic", scale=2, tile=32, overlap=8)


def test_progress_and_reports_add_up(folder, tmp_path):
    progress = Recorder()
    told: list[FileReport] = []
    summary = upscale_files(
        [folder], tmp_path / "out", OPTIONS, progress=progress, on_file=told.append
    )
    assert summary.exit_code == 0
    assert sorted(f.source.name for f in summary.files) == ["a.png", "b.png", "c.png", "d.png"]
    assert told == summary.files
    tiles, files = progress.tasks["tiles"], progress.tasks["files"]
    assert tiles.done == tiles.total == sum(f.tiles for f in summary.files) > 4
    assert files.done == files.total == 4
    assert tiles.closed
    assert files.closed
    assert summary.megapixels == pytest.approx(4 * (70 * 90 + 50 * 60 + 40 * 30 + 40 * 30) / 1e6)
    with Image.open(tmp_path / "out/b.png") as deep:
        assert deep.mode.startswith("I;16")


def test_options_of_rasters_are_not_for_the_photographs_of_a_folder(folder, tmp_path):
    progress = Recorder()
    asked = replace(OPTIONS, raster=RasterOptions(nodata=0, overviews=True))
    summary = upscale_files([folder], tmp_path / "out", asked, progress=progress)
    assert summary.exit_code == 0
    plain = upscale_files([folder], tmp_path / "plain", OPTIONS)
    for one, other in zip(summary.files, plain.files, strict=True):
        assert one.target.read_bytes() == other.target.read_bytes()
    (told,) = progress.lines
    assert told.startswith("4 photographs are upscaled without --nodata, --overviews")


@pytest.mark.parametrize("batch", [None, 1, 7])
def test_results_do_not_depend_on_the_batch(folder, tmp_path, batch):
    for name, engine in (("one", EngineOptions(batch=1)), ("many", EngineOptions(batch=batch))):
        options = UpscaleOptions(model="bicubic", scale=2, tile=32, overlap=8, engine=engine)
        upscale_files([folder], tmp_path / name, options)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()


def test_out_of_memory_goes_on_with_smaller_tiles_and_says_so_once(folder, tmp_path, monkeypatch):
    real = TorchEngine.run

    def limited(self, tiles, calibration=None, positions=None):
        if tiles.shape[1] * tiles.shape[2] * len(tiles) > 40 * 40:
            raise OutOfMemory
        return real(self, tiles, calibration, positions)

    monkeypatch.setattr(TorchEngine, "run", limited)
    progress = Recorder()
    options = UpscaleOptions(model="bicubic", scale=2, tile=64, overlap=8)
    summary = upscale_files([folder], tmp_path / "out", options, progress=progress)
    assert [f.state for f in summary.files] == ["done"] * 4
    assert len([w for w in progress.warnings if "out of memory" in w]) == 1
    monkeypatch.undo()
    upscale_files([folder], tmp_path / "free", options)
    for path in (tmp_path / "free").iterdir():
        a, b = (np.asarray(Image.open(p)).astype(int) for p in (path, tmp_path / "out" / path.name))
        assert np.abs(a - b).max() <= a.max() / 255  # blending of rounded tiles: one level at most


def test_memory_that_is_never_enough_fails_the_file_with_the_remedy(folder, tmp_path, monkeypatch):
    def never(self, tiles, calibration=None, positions=None):
        raise OutOfMemory

    monkeypatch.setattr(TorchEngine, "run", never)
    summary = upscale_files([folder / "a.png"], tmp_path / "out", OPTIONS)
    (report,) = summary.files
    assert report.state == "failed"
    assert "--tile" in report.error
    assert summary.exit_code == 2
    assert not list((tmp_path / "out").glob("*"))


def test_warnings_name_the_file_and_stand_in_its_report(tmp_path, astronaut):
    Image.fromarray(astronaut[:30, :30]).convert("CMYK").save(tmp_path / "print.jpg")
    progress = Recorder()
    options = UpscaleOptions(model="bicubic", scale=2, naming=Naming(format="png"))
    summary = upscale_files([tmp_path / "print.jpg"], tmp_path / "out", options, progress=progress)
    assert any("CMYK" in w for w in summary.files[0].warnings)
    assert any("print.jpg" in w for w in progress.warnings)


def test_an_output_too_large_for_memory_fails_alone(folder, tmp_path, monkeypatch):
    real = np.empty

    def small_only(shape, *args, **kwargs):
        if np.prod(shape) > 100 * 120 * 3:
            raise MemoryError
        return real(shape, *args, **kwargs)

    monkeypatch.setattr("srcli.inference.memory.np.empty", small_only)
    summary = upscale_files([folder], tmp_path / "out", OPTIONS)
    states = {f.source.name: f.state for f in summary.files}
    assert states == {"a.png": "failed", "b.png": "done", "c.png": "done", "d.png": "done"}
    (error,) = [f.error for f in summary.files if f.error]
    assert "a.png: does not fit into memory" in error


def test_a_folder_that_cannot_be_made_is_told_before_any_work(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="file/out: this folder cannot be made"):
        upscale_files([folder], tmp_path / "file" / "out", OPTIONS)


def test_names_that_are_no_unicode_keep_their_own_pictures(tmp_path):
    levels = {os.fsdecode(b"photo_" + bytes([byte]) + b".png"): byte for byte in range(232, 240)}
    (tmp_path / "in").mkdir()
    for name, level in levels.items():
        with (tmp_path / "in" / name).open("wb") as file:
            Image.new("L", (90, 80), level).save(file, "PNG")
    summary = upscale_files([tmp_path / "in"], tmp_path / "out", OPTIONS)
    assert summary.count("done") == len(levels)
    for name, level in levels.items():
        with (tmp_path / "out" / name).open("rb") as file:
            assert Image.open(file).getextrema() == (level, level)


def test_folders_that_cannot_be_looked_into_count_as_failed(folder, tmp_path, monkeypatch):
    (folder / "sub").mkdir()
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    options = replace(OPTIONS, naming=Naming(recursive=True))
    summary = upscale_files([folder], tmp_path / "out", options)
    assert summary.count("failed") == 1
    assert summary.exit_code == 1
    (failed,) = [report for report in summary.files if report.state == "failed"]
    assert failed.error == f"{folder / 'sub'}: cannot be looked into (Permission denied)"


def test_an_output_that_is_a_folder_is_no_finished_picture(folder, tmp_path):
    first = sorted(path for path in folder.iterdir() if path.suffix == ".png")[0]
    (tmp_path / "out" / first.name).mkdir(parents=True)
    (report,) = [
        one
        for one in upscale_files([folder], tmp_path / "out", OPTIONS).files
        if one.source == first
    ]
    assert (report.state, report.error) == (
        "failed",
        f"{tmp_path / 'out' / first.name}: is a folder; take another name",
    )
