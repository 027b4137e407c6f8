"""Memory of a GPU: batches fit into it, and one that did not is given up before the next try."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch

from srcli.inference.building import enlarge_array
from srcli.inference.device import EngineOptions
from srcli.inference.engine import TorchEngine
from srcli.inference.memory import bytes_per_pixel
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import ArraySource, ImageJob, run_stream, write_into
from srcli.inference.tiling import Tiling
from srcli.inference.values import PixelEncoder
from srcli.layers.colour import as_rgb_network
from srcli.layers.network import Network
from srcli.models import build_network
from srcli.ports.image import Values

CPU = torch.device("cpu")
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
        self.most, self.error = most, error
        self.alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        self.passes: list[tuple[int, int]] = []

    def forward(self, x):
        self.passes.append((len(x), len(self.alive)))
        maps = []
        for _ in range(2):
            if sum(map(len, self.alive)) + len(x) > self.most:
                raise self.error
            maps.append(x.clone())
            self.alive.add(maps[-1])
        return (sum(maps) / 2).repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


GRID = Tiling(tile=16, overlap=0).grid(64, 64)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:20])
@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("bands", [3, 4])
def test_nothing_of_a_failed_batch_is_alive_at_the_next_which_the_engine_remembers(
    pixels, error, bands, overlaps
):
    network = Limited(9, error)
    torch_engine = TorchEngine(network, EngineOptions(batch=16), device=CPU)
    torch_engine.runs_ahead = overlaps
    engine: TorchEngine | RasterEngine = torch_engine
    if bands == 4:
        pixels = np.concatenate([pixels, pixels[:, :, :1]], axis=2)
        values = Values(dtype=pixels.dtype, ranges=((0, 255),))
        engine = RasterEngine(torch_engine, groups=((0, 1, 2), (3,)), values=values)
    for _ in range(2):
        out = enlarge_array(engine, pixels, GRID)
        np.testing.assert_array_equal(out, pixels.repeat(2, 0).repeat(2, 1))
    tried = [count for count, _ in network.passes]
    assert tried[:3] == [16, 8, 4]
    assert set(tried[3:]) == {4}
    assert {alive for _, alive in network.passes} == {0}
    assert torch_engine.batch_size(8, 8) == 16  # of what fits, smaller tiles are more


class Filling(Network):
    """Has memory for so many enlarged tiles, those of batches before included."""

    scale = 2

    def __init__(self, most):
        super().__init__()
        self.most, self.passes = most, []
        self.alive: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def forward(self, x):
        out = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        tiles = sum(each.nbytes() for each in self.alive) // out[0].nbytes
        self.passes.append((len(x), tiles))
        if tiles + len(x) > self.most:
            raise ERRORS[0]
        self.alive.add(out.untyped_storage())
        return out


@pytest.mark.parametrize("most", [4, 5, 8, 11])
def test_a_batch_that_does_not_fit_beside_another_is_tried_again_alone(pixels, most):
    network = Filling(most)
    engine = TorchEngine(network, EngineOptions(batch=4), device=CPU)
    engine.runs_ahead = True
    out = enlarge_array(engine, pixels, GRID)
    np.testing.assert_array_equal(out, pixels.repeat(2, 0).repeat(2, 1))
    beside = [count for count, tiles in network.passes if tiles]
    assert beside
    assert max(tiles for _, tiles in network.passes) <= 4
    tried_again = sum(count for count, _ in network.passes) > 16
    assert tried_again is (most < 8)


def test_other_errors_stay_what_they_are(pixels):
    engine = TorchEngine(Limited(0, RuntimeError("CUDA error: misaligned")), device=CPU)
    with pytest.raises(RuntimeError, match="misaligned"):
        engine.start([pixels])


def test_blending_for_which_memory_is_short_asks_for_smaller_tiles(pixels, monkeypatch):
    def full(self, block):
        raise ERRORS[0]

    monkeypatch.setattr(PixelEncoder, "encode", full)
    write = write_into(np.empty((128, 128, 3), pixels.dtype))
    job = ImageJob(name="a.png", source=ArraySource(pixels), write=write, grid=GRID)
    (done,) = run_stream(TorchEngine(Limited(99), device=CPU), [job])
    assert "out of memory; use a smaller --tile" in str(done.error)


GIB = 2**30
OF_64_TILES = {"g-idrn": 9.5, "ddsr": 27.4, "edsr": 76.5}
"""GiB at most of 64 tiles of 192x192 in fp32, x4."""
OF_OUTPUTS = 2 * 3 * 4**2 * 4
"""Bytes an input pixel of two batches that come out, in fp32."""


@pytest.mark.parametrize("name", OF_64_TILES)
def test_a_batch_on_a_gpu_is_what_fits_into_free_memory(name, monkeypatch):
    network = build_network(name, scale=4).for_inference()
    each = bytes_per_pixel(as_rgb_network(network))
    assert each * 64 * 192**2 / GIB == pytest.approx(OF_64_TILES[name], rel=0.02)
    for free in (8, 24, 140):
        engine = TorchEngine(network, device=CPU)
        engine.device = torch.device("cuda", 0)
        monkeypatch.setattr(
            torch.cuda, "mem_get_info", lambda _, free=free: (free * GIB, 0)
        )
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2 * GIB)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: GIB)
        needed = OF_64_TILES[name] + 64 * 192**2 * OF_OUTPUTS / GIB
        expected = min(64, int(64 * 0.6 * (free + 1) / needed))
        assert abs(engine.batch_size(192, 192) - expected) <= 1
        assert engine.batch_size(96, 96) == 64 or expected < 17
        assert engine.batch_size(2000, 2000) >= 1


def test_the_memory_of_networks_that_branch_on_values_is_taken_for_much():
    class Branching(Network):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    assert bytes_per_pixel(Branching()) > 30_000
