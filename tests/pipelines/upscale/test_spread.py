"""Upscaling by an executor: the same files and reports as in one process, whoever dies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from PIL import Image

from srcli.errors import UsageError
from srcli.inference.engines import EngineOptions
from srcli.pipelines.executors.make import make_executor
from srcli.pipelines.executors.processes import SerialExecutor
from srcli.pipelines.upscale.naming import Item
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.run import upscale_files
from srcli.pipelines.upscale.spread import UpscaleShare, upscale_share
from srcli.ports.executor import Place, UnitResult

if TYPE_CHECKING:
    from srcli.pipelines.upscale.reporter import FileReport

OPTIONS = UpscaleOptions(model="bicubic", scale=2, tile=32, overlap=8)
HERE = Place(device="cpu", threads=1)


class Shared(SerialExecutor):
    """Two workers, as far as the shares show it."""

    def __init__(self):
        super().__init__(HERE, slots=2)


class Dying(Shared):
    """Loses the workers of shares that hold a certain picture."""

    def run(self, work, units, *, progress, stop, shared=()):
        for index, unit in enumerate(units):
            items = unit.items if isinstance(unit, UpscaleShare) else ()
            if any(item.source.name == "b.png" for item in items):
                yield UnitResult(index=index, result=None, failure="its process was killed")
            else:
                (done,) = super().run(work, [unit], progress=progress, stop=stop)
                yield replace(done, index=index)


@pytest.fixture
def folder(tmp_path, astronaut):
    """Photographs of several depths, a raster, and a file that is no picture."""
    place = tmp_path / "in"
    place.mkdir()
    for i, name in enumerate("abcdefgh"):
        Image.fromarray(astronaut[i : 40 + i, : 40 + 3 * i]).save(place / f"{name}.png")
    Image.fromarray(astronaut[:50, :60, 0].astype(np.uint16) * 257).save(place / "deep.png")
    (place / "broken.png").write_text("no picture")
    profile = {"driver": "GTiff", "height": 50, "width": 60, "count": 3, "dtype": "uint8"}
    where = rasterio.transform.from_origin(500_000, 5_200_000, 0.2, 0.2)
    with rasterio.open(place / "map.tif", "w", crs=25832, transform=where, **profile) as file:
        file.write(astronaut[:50, :60].transpose(2, 0, 1))
    return place


def test_shares_give_the_files_and_reports_of_one_process(folder, tmp_path, notes):
    alone = upscale_files([folder], tmp_path / "alone", OPTIONS)
    told: list[FileReport] = []
    shared = upscale_files(
        [folder], tmp_path / "shared", OPTIONS, progress=notes, on_file=told.append,
        executor=Shared(),
    )  # fmt: skip
    assert shared.files == told
    plain = [
        sorted((f.source, f.state, f.tiles, f.size, f.warnings, f.error) for f in summary.files)
        for summary in (alone, shared)
    ]
    assert plain[0] == plain[1]
    names = sorted(path.name for path in (tmp_path / "alone").iterdir())
    assert len(names) == 10
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()
    assert [label for label, _, _ in notes.tasks] == ["upscaling"]
    assert notes.closed[0][:2] == ("upscaling", pytest.approx(100))
    again = upscale_files([folder], tmp_path / "shared", OPTIONS, executor=Shared())
    assert (again.count("skipped"), again.count("failed")) == (10, 1)


def test_a_picture_that_kills_its_worker_fails_alone(folder, tmp_path):
    summary = upscale_files([folder], tmp_path / "out", OPTIONS, executor=Dying())
    failed = {file.source.name: file.error for file in summary.files if file.state == "failed"}
    assert sorted(failed) == ["b.png", "broken.png"]
    assert failed["b.png"].endswith("b.png: its process was killed")
    assert summary.count("done") == 9


def test_options_that_do_not_fit_the_devices_end_the_run(folder, tmp_path):
    options = replace(OPTIONS, engine=EngineOptions(precision="fp16"))
    with pytest.raises(UsageError, match="--precision fp16 needs a GPU"):
        upscale_files([folder], tmp_path / "out", options, executor=Shared())


def test_a_share_that_is_stopped_leaves_nothing_half_written(folder, tmp_path, notes):
    items = [
        Item(source=folder / f"{name}.png", target=tmp_path / f"{name}.png", format="png")
        for name in "ab"
    ]
    found = upscale_share(UpscaleShare(items, OPTIONS), HERE, notes, lambda: True)
    assert found == {"files": [], "rasters": []}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.slow
def test_processes_give_the_files_of_one(srx, folder, tmp_path):
    for name, devices in (("one", "cpu"), ("two", "cpu,cpu")):
        words = ("-m", "g-idrn", "--engine", "torch", "--device", devices)
        done = srx("upscale", folder, tmp_path / name, *words)
        assert (done.code, done.out.split(";")[0]) == (1, "10 done, 1 failed")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert make_executor("cpu,cpu").slots == 2
