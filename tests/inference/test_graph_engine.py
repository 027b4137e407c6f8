"""CUDA graphs give what the torch engine gives; on a processor with a capture that calls again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from srcli.errors import InferenceError, UsageError
from srcli.inference import graph_engine as module
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import EngineOptions, EnginePool, enlarge_array
from srcli.inference.graph_engine import GraphEngine
from srcli.inference.tiling import Tiling
from srcli.layers.network import Network
from srcli.layers.placement import StretchedMap
from srcli.layers.pooling import GlobalPool

STEP = 4
CPU = torch.device("cpu")


class Tiny(Network):
    """Holds calibrations and positions."""

    scale = 2
    pools_globally = True
    tile_step = STEP

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = torch.nn.Conv2d(3, 12, 3, padding=1)
        self.pool = GlobalPool("contrast")
        self.stretch = StretchedMap(step=STEP, minimum=STEP)

    def forward(self, x):
        deep = self.head(x)
        means = self.stretch(F.avg_pool2d(deep, STEP), (x.shape[2], x.shape[3]))
        return F.pixel_shuffle(deep * self.pool(deep) + means, 2)


@pytest.fixture
def photo():
    return np.random.default_rng(0).random((70, 99, 3), dtype=np.float32)


@pytest.fixture
def captured(monkeypatch):
    """Output memory of what was captured, on a machine without CUDA."""
    found = []

    def capture(call, _):
        out = torch.full_like(call(), torch.nan)  # capturing computes nothing
        found.append(out)
        return out, lambda: out.copy_(call())

    monkeypatch.setattr(module, "capture", capture)
    return found


def test_replayed_batches_come_out_as_without_graphs(photo, captured, monkeypatch):
    grid = Tiling(tile=40, overlap=8, step=STEP).grid(70, 99)
    expected = enlarge_array(TorchEngine(Tiny(), device=CPU, batch=1), photo, grid)
    engine = GraphEngine(Tiny(), device=CPU, batch=1)
    for brighter in (1.0, 0.5):  # of another picture, calibration and inputs differ
        picture = photo * np.float32(brighter)
        expected = enlarge_array(TorchEngine(Tiny(), device=CPU, batch=1), picture, grid)
        np.testing.assert_array_equal(enlarge_array(engine, picture, grid), expected)
        assert len(captured) == 1  # all tiles have one shape; calibrations are not captured
    monkeypatch.setattr(module, "MOST_GRAPHS", 1)
    for _ in range(3):
        enlarge_array(engine, photo[:30])
    assert len(captured) == 1


def test_a_network_that_cannot_be_captured_is_refused_with_the_remedy(photo, monkeypatch):
    def capture(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(module, "capture", capture)
    engine = GraphEngine(Tiny(), device=CPU)
    enlarge_array(engine, photo)
    with pytest.raises(InferenceError, match=r"torch-graphs: this .* captured \(operation not"):
        enlarge_array(engine, photo)


def test_graphs_need_cuda():
    with pytest.raises(UsageError, match=r"torch-graphs needs a CUDA device, not cpu; use --engin"):
        EnginePool("bicubic", 2, EngineOptions(device="cpu", engine="torch-graphs"))


@pytest.mark.gpu
def test_graphs_give_what_the_gpu_gives_without(photo):
    device, grid = torch.device("cuda"), Tiling(tile=40, overlap=8, step=STEP).grid(70, 99)
    expected = enlarge_array(TorchEngine(Tiny(), device=device, half=torch.float16), photo, grid)
    engine = GraphEngine(Tiny(), device=device, half=torch.float16)
    for _ in range(3):
        np.testing.assert_allclose(enlarge_array(engine, photo, grid), expected, atol=2e-3)
