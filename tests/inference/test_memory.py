"""Memory of a GPU: batches fit into it, and one that did not is given up before the next try."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from numpy.testing import assert_array_equal

from srcli.inference.engines import enlarge_array
from srcli.inference.memory import bytes_per_pixel
from srcli.inference.stream import array_job, run_stream
from srcli.inference.tiling import Tiling
from srcli.inference.values import PixelEncoder
from srcli.layers.colour import as_rgb_network
from srcli.layers.network import Network
from srcli.models import build_network
from tests.fixtures.engines import (
    byte_engine,
    cpu_engine,
    doubled,
    random_levels,
    repeated,
)

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),  # AcceleratorError is such
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    ),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GiB)"),
]


class Limited(Network):
    """Has memory for so many maps, two of each tile; raises as a GPU does."""

    scale = 2

    def __init__(self, most, error=ERRORS[0]):
        super().__init__()
        self.most = most
        self.error = error
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.batches: list[int] = []
        """Tiles of each pass."""
        self.before: list[int] = []
        """Maps that were alive before each pass."""

    def forward(self, x):
        self.batches.append(len(x))
        self.before.append(len(self.alive))
        maps = []
        for _ in range(2):
            if sum(map(len, self.alive)) + len(x) > self.most:
                raise self.error
            maps.append(x.clone())
            self.alive.add(maps[-1])
        return repeated(sum(maps) / 2)


@pytest.fixture
def pixels():
    return random_levels(64, 64, 3)


GRID = Tiling(tile=16, overlap=0).grid(64, 64)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:20])
@pytest.mark.parametrize("runs_ahead", [False, True])
@pytest.mark.parametrize("bands", [3, 4])
def test_nothing_of_a_failed_batch_is_alive_at_the_next_which_the_engine_remembers(
    pixels, error, bands, runs_ahead
):
    network = Limited(9, error)
    torch_engine = cpu_engine(network, batch=16)
    torch_engine.runs_ahead = runs_ahead
    engine: Any = torch_engine
    if bands == 4:
        pixels = random_levels(64, 64, 4)
        engine = byte_engine(torch_engine, (0, 1, 2), (3,))
    for _ in range(2):
        enlarged = enlarge_array(engine, pixels, GRID)
        assert_array_equal(enlarged, doubled(pixels))
    assert network.batches[:3] == [16, 8, 4]
    assert set(network.batches[3:]) == {4}
    assert set(network.before) == {0}
    assert torch_engine.batch_size(8, 8) == 16  # of what fits, smaller tiles are more


class Filling(Network):
    """Has memory for so many enlarged tiles, those of batches before included."""

    scale = 2

    def __init__(self, most):
        super().__init__()
        self.most = most
        self.alive: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self.batches = []
        """Tiles of each pass."""
        self.before = []
        """Enlarged tiles that were alive before each pass."""

    def forward(self, x):
        enlarged = repeated(x)
        alive = sum(memory.nbytes() for memory in self.alive)
        before = alive // enlarged[0].nbytes
        self.batches.append(len(x))
        self.before.append(before)
        if before + len(x) > self.most:
            raise ERRORS[0]
        self.alive.add(enlarged.untyped_storage())
        return enlarged


@pytest.mark.parametrize("most", [4, 5, 8, 11])
def test_a_batch_that_does_not_fit_beside_another_is_tried_again_alone(pixels, most):
    network = Filling(most)
    engine = cpu_engine(network, batch=4)
    engine.runs_ahead = True
    enlarged = enlarge_array(engine, pixels, GRID)
    assert_array_equal(enlarged, doubled(pixels))
    assert 0 < max(network.before) <= 4
    is_tried_again = sum(network.batches) > 16
    assert is_tried_again is (most < 8)


def test_other_errors_stay_what_they_are(pixels):
    engine = cpu_engine(Limited(0, RuntimeError("CUDA error: misaligned")))
    with pytest.raises(RuntimeError, match="misaligned"):
        engine.start([pixels])


def test_blending_for_which_memory_is_short_asks_for_smaller_tiles(pixels, monkeypatch):
    def full(self, block):
        raise ERRORS[0]

    monkeypatch.setattr(PixelEncoder, "encode", full)
    job, _ = array_job(pixels, GRID, name="a.png", scale=2)
    (finished,) = run_stream(cpu_engine(Limited(99)), [job])
    assert "out of memory; use a smaller --tile" in str(finished.error)


GIB = 2**30
OF_64_TILES = {"g-idrn": 9.5, "ddsr": 27.4, "edsr": 76.5}
"""GiB at most of 64 tiles of 192x192 in fp32, x4."""
OF_OUTPUTS = 2 * 3 * 4**2 * 4
"""Bytes an input pixel of two batches that come out, in fp32."""


@pytest.mark.parametrize("name", OF_64_TILES)
def test_a_batch_on_a_gpu_is_what_fits_into_free_memory(name, monkeypatch):
    network = build_network(name, scale=4).for_inference()
    counted = bytes_per_pixel(as_rgb_network(network)) * 64 * 192**2 / GIB
    assert counted == pytest.approx(OF_64_TILES[name], rel=0.02)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: GIB)
    needed = OF_64_TILES[name] + 64 * 192**2 * OF_OUTPUTS / GIB
    for free in (8, 24, 140):
        information = (free * GIB, 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, i=information: i)
        engine = cpu_engine(network)
        engine.device = torch.device("cuda", 0)
        expected = min(64, int(64 * 0.6 * (free + 1) / needed))
        assert abs(engine.batch_size(192, 192) - expected) <= 1
        assert engine.batch_size(96, 96) == 64 or expected < 17
        assert engine.batch_size(2000, 2000) >= 1


def test_the_memory_of_networks_that_branch_on_values_is_taken_for_much():
    class Branching(Network):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    assert bytes_per_pixel(Branching()) > 30_000
