"""The engine on a GPU, from tiles to blended rows: one copy there a batch, kernels a tile."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch

from srcli.inference.blending import Blender
from srcli.inference.device import EngineOptions
from srcli.inference.engine import TorchEngine
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import ArraySource, ImageJob, run_stream
from srcli.inference.tiling import Tiling
from srcli.inference.values import PixelEncoder
from srcli.models import build_network
from srcli.ports import Values
from tests.fixtures.fakecuda import GPU, Watch, fake_cuda

pytestmark = pytest.mark.fakecuda
MOST = {"uint8": 3.7, "uint16": 3.8, "float32": 3.5}
"""Kernels that blending starts for each tile, at most; to be lowered where they
fall."""


@pytest.fixture
def host_copies(monkeypatch):
    """Replace copies to the host, which need a GPU; (what, number) of each that began or ended."""
    copies: list[tuple[str, int]] = []

    class FakeCopy:
        def __init__(self, tensor):
            self.number = len(copies)
            self.shape = tensor.shape
            self.dtype = str(tensor.dtype)[6:]
            copies.append(("begun", self.number))

        def wait(self):
            copies.append(("waited for", self.number))
            return np.ones(self.shape, self.dtype)

    for module in ("blending", "engine"):
        monkeypatch.setattr(f"srcli.inference.{module}.HostCopy", FakeCopy)
    return copies


@pytest.mark.parametrize("half", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("name", ["g-idrn", "rrlfn", "ddsr"])
@pytest.mark.parametrize("bands", [3, 4])
def test_pictures_and_rasters_go_through_with_few_copies(
    name, dtype, half, bands, monkeypatch, host_copies
):
    monkeypatch.setattr("srcli.inference.engine.are_finite", lambda calibration: True)
    network = build_network(name, scale=4).for_inference()
    source = ArraySource(np.zeros((80, 120, bands), dtype))
    grid = Tiling(tile=48, overlap=8, step=network.tile_step).grid(80, 120)
    job = ImageJob(name="a", source=source, write=mock.Mock(), grid=grid)
    with fake_cuda():
        torch_engine = TorchEngine(
            network, EngineOptions(batch=3), device=GPU, half=half
        )
        engine: TorchEngine | RasterEngine = torch_engine
        if bands == 4:
            values = Values(dtype=np.dtype(dtype), ranges=((0, 200),))
            engine = RasterEngine(torch_engine, groups=((0, 1, 2), (3,)), values=values)
        with Watch() as watch:
            (outcome,) = run_stream(engine, [job])
    if outcome.error:
        raise outcome.error
    assert outcome.complete
    # of two batches the second begins before the first is waited for
    assert [event for event, _ in host_copies].index("waited for") == 2 * (bands - 2)
    assert not watch.waits
    assert set(watch.copies) == {"cpu to cuda"}
    # tiles, windows, weights of three columns and of two rows
    assert watch.copies.total() <= 8


@pytest.mark.parametrize("dtype", MOST)
@pytest.mark.usefixtures("host_copies")
def test_blending_starts_few_kernels(dtype):
    grid = Tiling(tile=192, overlap=8).grid(192 * 4, 192 * 12)
    with fake_cuda():
        encoder = PixelEncoder(np.dtype(dtype), None, GPU)
        band = Blender(grid, scale=4, channels=3, encoder=encoder)
        tile = torch.zeros(3, grid.tile_height * 4, grid.tile_width * 4, device=GPU)
        columns = range(len(grid.lefts))
        for column in columns:
            band.add(tile, row=0, column=column)
        with Watch() as watch:
            for column in columns:
                band.add(tile, row=1, column=column)
    per_column = watch.kernels.total() / len(columns)
    assert 0.9 * MOST[dtype] <= per_column <= MOST[dtype]
