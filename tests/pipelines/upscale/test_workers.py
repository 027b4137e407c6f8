"""Upscaling by an executor: the same files and reports as in one process, whoever dies."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from PIL import Image

from srcli.errors import UsageError
from srcli.files import hidden_name
from srcli.pipelines.executors.processes import RelayedProgress, Slot, try_unit
from srcli.pipelines.upscale import workers as upscale_workers
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.reporter import Item
from srcli.pipelines.upscale.run import upscale_files
from srcli.pipelines.upscale.workers import UpscaleShare, upscale_share
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.workers import SimulatedExecutor

OPTIONS = settle(Asked(model="bicubic", scale=2, tile=32, overlap=8))
BLOCKS = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "32"}
"""Creation options by which parts are low, which hold whole rows of blocks."""
HERE = Slot(device="cpu", threads=1)


def parts_of(*units):
    parts: list[int] = []
    for unit in units:
        parts += chain(*getattr(unit, "runs", ()))
    return parts


@pytest.fixture
def folder(tmp_path, astronaut):
    """Photographs of several depths, a raster, and a file that is no picture."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i, name in enumerate("abcdefgh"):
        Image.fromarray(astronaut[i : 40 + i, : 40 + 3 * i]).save(
            folder / f"{name}.png"
        )
    Image.fromarray(astronaut[:50, :60, 0].astype(np.uint16) * 257).save(
        folder / "deep.png"
    )
    (folder / "broken.png").write_text("no picture")
    write_by_gdal(folder / "map.tif", astronaut[:50, :60], **PLACE)
    return folder


def test_shares_give_the_files_and_reports_of_one_process(folder, tmp_path, notes):
    alone = upscale_files([folder], tmp_path / "alone", OPTIONS)
    reports: list[Any] = []
    shared = upscale_files(
        [folder], tmp_path / "shared", OPTIONS, progress=notes, on_file=reports.append,
        executor=SimulatedExecutor(2),
    )  # fmt: skip
    assert shared.files == reports
    expected = {report.source: report for report in alone.files}
    assert len(reports) == len(expected) == 11
    for report in reports:
        target = expected[report.source].target
        seconds = expected[report.source].seconds
        assert (
            replace(report, target=target, seconds=seconds) == expected[report.source]
        )
        if report.state == "done":
            assert report.target.read_bytes() == target.read_bytes()
    (task,) = notes.tasks
    assert task[0] == "upscaling"
    _, work, texts = notes.closed[0]
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert work == pytest.approx(sum(grown))
    again = upscale_files(
        [folder], tmp_path / "shared", OPTIONS, executor=SimulatedExecutor(2)
    )
    assert (again.counts["skipped"], again.counts["failed"]) == (10, 1)


def test_a_picture_that_kills_its_worker_fails_alone(folder, tmp_path):
    def holds_b(unit):
        return any(item.source.name == "b.png" for item in getattr(unit, "items", ()))

    summary = upscale_files(
        [folder], tmp_path / "out", OPTIONS, executor=SimulatedExecutor(2, holds_b)
    )
    errors = {report.source.name: report.error for report in summary.files}
    assert errors["b.png"].endswith("b.png: its process was killed")
    assert errors["broken.png"]
    assert (summary.counts["done"], summary.counts["failed"]) == (9, 2)


def test_options_that_do_not_fit_the_devices_end_the_run(folder, tmp_path):
    options = replace(OPTIONS, precision="fp16")
    with pytest.raises(UsageError, match="--precision fp16 needs a GPU"):
        upscale_files(
            [folder], tmp_path / "out", options, executor=SimulatedExecutor(2)
        )


def test_a_share_that_is_stopped_leaves_nothing_half_written(folder, tmp_path):
    items = []
    for name in ("a.png", "b.png"):
        items += [Item(source=folder / name, target=tmp_path / name, format="png")]
    share = UpscaleShare(items, OPTIONS)
    progress = RelayedProgress(lambda event: None, lambda: True)
    ended = try_unit(upscale_share, share, HERE, progress, lambda: True)
    assert ended == (None, "interrupted")
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.slow
def test_processes_give_the_files_of_one(srx, folder, tmp_path):
    for name, devices in (("one", "cpu"), ("two", "cpu,cpu")):
        words = f"-m g-idrn --device {devices}".split()
        result = srx("upscale", folder, tmp_path / name, *words)
        assert (result.code, result.out.split(";")[0]) == (1, "10 done, 1 failed")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A raster with nodata, whose parts are low."""
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)
    monkeypatch.setattr("srcli.imaging.rasters.parts._PART_HEIGHT", 32)
    # that each worker takes a part of it
    monkeypatch.setattr(upscale_workers, "LARGE_OUTPUT", 50_000)
    pixels = np.random.default_rng(0).integers(1, 255, (320, 50, 3), dtype=np.uint8)
    pixels[100:180, :30] = 0
    return write_by_gdal(tmp_path / "scene.tif", pixels, nodata=0, **PLACE)


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "model", ["bicubic", pytest.param("g-idrn", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("lost", [None, 3])
def test_runs_of_parts_give_the_file_of_one_process(
    scene, tmp_path, notes, model, lost
):
    options = replace(OPTIONS, model=model, creation=BLOCKS)
    alone = upscale_files([scene], tmp_path / "alone", options)
    dying = iter([lost])
    executor = SimulatedExecutor(
        3, lambda unit: lost in parts_of(unit) and next(dying, None)
    )
    shared = upscale_files(
        [scene], tmp_path / "shared", options, progress=notes, executor=executor
    )
    assert digest(tmp_path / "alone/scene.tif") == digest(tmp_path / "shared/scene.tif")
    assert sorted(set(parts_of(*executor.units))) == list(range(20))
    assert (len(parts_of(*executor.units)) == 20) == (lost is None)
    expected = alone.files[0]
    (report,) = shared.files
    assert (report.state, report.size) == ("done", expected.size)
    assert report.warnings == expected.warnings
    assert expected.tiles < report.tiles <= expected.tiles * 1.25
    _, work, texts = notes.closed[0]
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert work == pytest.approx(sum(grown))
    (told,) = [line for line in notes.details if "waited" in line]
    assert f"for {report.tiles} tiles" in told  # of all workers together
    assert re.search(r"\d s for reading, .* for the network, .* for writing; ", told)
    assert list((tmp_path / "shared").iterdir()) == [report.target]


def test_parts_of_a_lost_worker_are_what_the_next_run_makes(scene, tmp_path, notes):
    options = replace(OPTIONS, creation=BLOCKS)
    summary = upscale_files(
        [scene],
        tmp_path / "out",
        options,
        executor=SimulatedExecutor(3, lambda unit: 15 in parts_of(unit)),
    )
    (report,) = summary.files
    assert report.error == f"{scene}: its process was killed"
    assert hidden_name(tmp_path / "out/scene.tif", ".parts").is_dir()
    again = SimulatedExecutor(3)
    summary = upscale_files(
        [scene], tmp_path / "out", options, progress=notes, executor=again
    )
    assert summary.exit_code == 0
    assert 15 in parts_of(*again.units)
    assert len(parts_of(*again.units)) < 12
    assert "parts are kept from an earlier run" in "\n".join(notes.messages)
    upscale_files([scene], tmp_path / "alone", options)
    assert digest(tmp_path / "alone/scene.tif") == digest(tmp_path / "out/scene.tif")


def test_what_cannot_be_done_is_reported_once(scene, tmp_path):
    (tmp_path / "broken.tif").write_bytes(scene.read_bytes()[:3000])
    asked = replace(OPTIONS, srcwin=(0, 0, 40, 200))
    summary = upscale_files(
        [scene, tmp_path / "broken.tif", tmp_path / "scene.tif"], tmp_path / "out", asked,
        executor=SimulatedExecutor(0),
    )  # fmt: skip
    states = {(report.source.name, report.state) for report in summary.files}
    assert states == {("scene.tif", "done"), ("broken.tif", "failed")}
    assert len(summary.files) == 2
