"""Several batches at once on processors give the pixels of one after the other."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from skimage import data

from srcli.inference import lanes
from srcli.inference.blending import Blender
from srcli.inference.device import EngineOptions
from srcli.inference.engines import EnginePool, enlarge_array
from srcli.inference.stream import array_job, run_stream
from srcli.inference.tiling import Tiling

pytestmark = pytest.mark.numbers


@pytest.fixture
def two_threads(monkeypatch):
    """Let PyTorch have two threads, wherever they run."""
    monkeypatch.setattr(lanes, "allowed_processors", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lanes_seen(monkeypatch):
    """The lanes in which copies of networks were used."""
    seen = set()
    original = lanes.NetworkCopies.of_this_thread

    def of_this_thread(self):
        seen.add(lanes.current_lane())
        return original(self)

    monkeypatch.setattr(lanes.NetworkCopies, "of_this_thread", of_this_thread)
    return seen


def pictures():
    """Return parts of photographs, of different sizes."""
    coffee = data.coffee()
    sizes = [(48, 60), (32, 32), (60, 40), (33, 47), (36, 36)]
    return [
        np.ascontiguousarray(
            coffee[20 * number : 20 * number + height, 100 : 100 + width]
        )
        for number, (height, width) in enumerate(sizes)
    ]


def jobs_of(arrays, scale, tile):
    """Return jobs by tiles, and what they write."""
    jobs = []
    for number, array in enumerate(arrays):
        grid = Tiling(tile=tile, overlap=8).grid(*array.shape[:2])
        jobs.append(array_job(array, grid, name=str(number), scale=scale))
    return jobs


@pytest.mark.parametrize(
    ("model", "tile"), [("g-idrn", 200), ("rrlfn", 32), ("rrlfn", 200), ("ddsr", 32)]
)
def test_pixels_are_those_of_one_batch_after_the_other(
    two_threads, lanes_seen, model, tile
):
    engine = EnginePool(model, 2, EngineOptions(device="cpu")).engine(8)
    beside = jobs_of(pictures(), 2, tile)
    finished = list(run_stream(engine, [job for job, _ in beside]))
    assert {job.name for job in finished} == set("01234")
    assert len(lanes_seen - {0}) == 2
    torch.set_num_threads(1)
    for (_, enlarged), (job, expected) in zip(
        beside, jobs_of(pictures(), 2, tile), strict=True
    ):
        list(run_stream(engine, [job]))
        assert_array_equal(enlarged, expected)
        assert expected.std() > 10


def test_a_single_picture_is_computed_by_all_threads(two_threads, lanes_seen):
    engine = EnginePool("rrlfn", 2, EngineOptions(device="cpu")).engine(8)
    enlarge_array(engine, pictures()[0])
    assert lanes_seen == {0}


def test_rows_are_blended_by_one_thread(two_threads, monkeypatch):
    threads = []
    original = Blender.add

    def add(self, tile, *, row, column):
        threads.append(torch.get_num_threads())
        return original(self, tile, row=row, column=column)

    monkeypatch.setattr(Blender, "add", add)
    engine = EnginePool("bicubic", 2, EngineOptions(device="cpu", batch=1)).engine(8)
    ((job, _),) = jobs_of([data.coffee()[:90, :120]], 2, 32)
    list(run_stream(engine, [job]))
    assert set(threads) == {1}
    assert torch.get_num_threads() == 2


def test_one_picture_that_fails_leaves_the_others_alone(two_threads, monkeypatch):
    engine = EnginePool("rrlfn", 2, EngineOptions(device="cpu")).engine(8)
    start = type(engine).start

    def fail_of_small(self, tiles, *args):
        if tiles[0].shape[0] == 32:
            raise ValueError("no pixels")
        return start(self, tiles, *args)

    monkeypatch.setattr(type(engine), "start", fail_of_small)
    jobs = [job for job, _ in jobs_of(pictures(), 2, 200)]
    errors = {job.name: job.error for job in run_stream(engine, jobs)}
    assert "no pixels" in str(errors.pop("1"))
    assert set(errors.values()) == {None}


def test_threads_that_upscale_at_once_share_the_lanes(two_threads):
    engine = EnginePool("rrlfn", 2, EngineOptions(device="cpu")).engine(8)
    results = [jobs_of(pictures(), 2, 32) for _ in range(3)]

    def upscale(jobs):
        list(run_stream(engine, [job for job, _ in jobs]))

    threads = [threading.Thread(target=upscale, args=(jobs,)) for jobs in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for others in zip(*results, strict=True):
        assert_array_equal(others[0][1], others[1][1])
        assert_array_equal(others[0][1], others[2][1])


@pytest.mark.parametrize(
    ("threads", "batch_bytes", "free", "count"),
    [
        (2, 192 * 192 * 2, 8e9, 2),
        (16, 192 * 192 * 2, 64e9, 16),
        (16, 512 * 512 * 2, 64e9, 2),
        (16, 512 * 512 * 4, 64e9, 1),
        (16, 192 * 192 * 2, 7e9, 4),
        (16, 192 * 192 * 2, 1e9, 1),
        (4, 64 * 64 * 2, None, 4),
    ],
)
def test_lanes_fit_into_memory(monkeypatch, threads, batch_bytes, free, count):
    monkeypatch.setattr(lanes, "free_memory", lambda: free and int(free))
    monkeypatch.setattr(lanes, "allowed_processors", lambda: 16)
    assert lanes.choose_lane_count(threads, batch_bytes) == count


@pytest.mark.parametrize(
    ("threads", "processors", "allowed", "count"),
    [
        (16, 16, 1, 1),  # OMP_PROC_BIND=true
        (16, 32, 8, 1),  # OMP_PLACES=sockets
        (2, 16, 2, 2),
        (4, 2, 2, 4),  # more threads than processors, by OMP_NUM_THREADS
    ],
)
def test_no_lanes_where_a_thread_is_bound_to_fewer_processors(
    monkeypatch, threads, processors, allowed, count
):
    monkeypatch.setattr(lanes, "free_memory", lambda: None)
    monkeypatch.setattr(lanes, "allowed_processors", lambda: allowed)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert lanes.choose_lane_count(threads, 192 * 192 * 2) == count


AT_THE_END = """
import threading, numpy, srcli, torch
from srcli.inference import lanes
lanes.allowed_processors = lambda: 2
torch.set_num_threads(2)
picture = numpy.zeros((96, 96, 3), numpy.uint8)

def upscale():
    return srcli.upscale(picture, scale=2, model="rrlfn", tile=48, overlap=8)

def after_the_main_thread():
    threading.main_thread().join()
    print(upscale().shape)

"""


@pytest.mark.parametrize("is_open", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "way",
    [
        "threading.Thread(target=after_the_main_thread).start()",
        "import atexit\natexit.register(lambda: print(upscale().shape))",
    ],
)
def test_pictures_are_upscaled_after_the_main_thread_has_ended(
    forking_python, way, is_open
):
    code = AT_THE_END + ("upscale()\n" if is_open else "") + way
    done = forking_python.run(code)
    assert done.stdout == "(192, 192, 3)\n", done.stderr


def test_lanes_that_cannot_start_leave_batches_to_the_thread_that_asks(monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    before = torch.get_num_threads()
    monkeypatch.setattr(threading.Thread, "start", start)
    closed = lanes.Lanes(2, 1)
    assert closed.submit(lanes.current_lane).result() == 0
    assert torch.get_num_threads() == before

    def fail():
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        closed.submit(fail).result()
