"""Units on a Ray cluster of two nodes on this machine, of which one may be lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace as Unit

import numpy as np
import pytest
from PIL import Image

from srcli import __version__
from srcli.errors import DataError, UsageError
from srcli.files import write_whole
from srcli.pipelines.executors.cluster import (
    RAY_SETTINGS,
    RayExecutor,
    do_on_node,
    probe_paths,
)
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.pipelines.executors.units import column, have_met, make_units, run_units


@pytest.fixture(scope="module")
def nodes(work, tmp_path_factory):
    """A cluster of two nodes with a processor each; Ray's messages are no warnings of ours."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in RAY_SETTINGS.items():
            patch.setenv(name, value)
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_units_run_on_all_nodes_and_report(nodes, work, notes, tmp_path):
    units = make_units(2, label="", folder=str(tmp_path))
    outcomes = run_units(RayExecutor("ray"), units, work.meet, notes)
    assert column(outcomes, "met") == [2, 2]
    outcomes = run_units(RayExecutor("ray"), make_units(5), work.double, notes)
    assert column(outcomes, "value") == [0, 2, 4, 6, 8]
    assert set(column(outcomes, "slot")) == {"cpu"}
    assert len({*column(outcomes, "pid")} - {os.getpid()}) <= 3
    # each once, of whichever unit was the first to tell
    assert sorted(text.partition(": ")[2] for text in notes.warnings) == ["even", "odd"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_failures_are_told_and_stopping_ends_what_runs(nodes, work, notes, tmp_path):
    executor = RayExecutor("ray")
    units = [Unit(label=ending, how=ending) for ending in ("exit", "raise", "no")]
    ended, raised, alive = run_units(executor, units, work.die, notes)
    assert ended.failure == "its process ended with code 3"
    reason = "failed: ValueError: no such luck; this is a defect"
    assert raised.failure.startswith(reason)
    assert alive.result == {"alive": True}
    with pytest.raises(DataError, match="the store is full; make room"):
        run_units(executor, [Unit(label="", how="error")], work.die, notes)
    units = make_units(6, folder=str(tmp_path))
    outcomes = run_units(executor, units, work.wait, notes, have_met(tmp_path))
    assert set(column(outcomes, "ended")) == {"stopped"}
    assert len(outcomes) < 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_losing_a_node_changes_no_picture(nodes, astronaut, tmp_path, notes):
    (tmp_path / "in").mkdir()
    for i in range(24):
        Image.fromarray(astronaut[i : i + 60, i : i + 60]).save(
            tmp_path / "in" / f"{i:02}.png"
        )
    write_by_gdal(tmp_path / "in/map.tif", np.tile(astronaut, (10, 1, 1)), **PLACE)
    options = settle(Asked(model="g-idrn", scale=2))
    upscale_files([tmp_path / "in"], tmp_path / "alone", options)
    node = nodes.add_node(num_cpus=1)
    timers: list[threading.Thread] = []

    def lose_node(report):
        if not timers:
            timers.append(threading.Thread(target=nodes.remove_node, args=(node,)))
            timers[0].start()

    executor = RayExecutor("ray")
    summary = upscale_files(
        [tmp_path / "in"], tmp_path / "shared", options, on_file=lose_node, executor=executor,
        progress=notes,
    )  # fmt: skip
    timers[0].join()
    assert summary.counts["done"] == 25
    for path in (tmp_path / "alone").iterdir():
        shared = read_by_gdal(tmp_path / "shared" / path.name)
        # some processors round otherwise where other pictures share a batch
        apart = np.abs(read_by_gdal(path).astype(int) - shared)
        assert apart.max() <= 1
        assert apart.mean() < 1e-3
    assert not list((tmp_path / "shared").glob(".srx-*"))


def test_ray_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        UsageError, match=r"--executor ray: Ray is missing; pip install 'srcli\[ray\]"
    ):
        RayExecutor("ray").slot_count  # noqa: B018 - connects
    with pytest.raises(UsageError, match="--device cuda:1: Ray chooses the GPU"):
        RayExecutor("ray", "cuda:1")


def test_a_node_without_the_files_or_with_another_version_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with probe_paths((tmp_path, tmp_path / "no such model")) as paths:
        (probe,) = paths
        do_nothing = partial(
            do_on_node, lambda *unit: {}, paths, __version__, str(tmp_path), {}
        )
        assert do_nothing() == {}
        probe.unlink()
        with pytest.raises(UsageError, match=f"{tmp_path} is not the same on node "):
            do_nothing()
        monkeypatch.setattr("srcli.__version__", "0.0")
        with pytest.raises(UsageError, match=r"has srcli 0\.0, not "):
            do_nothing()


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    code = (
        "import os, pathlib; from srcli.pipelines.executors.cluster import probe_paths\n"
        "with probe_paths([pathlib.Path.cwd()]): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    (probe,) = tmp_path.iterdir()
    write_whole(tmp_path / "picture", b"done")
    assert not probe.exists()
