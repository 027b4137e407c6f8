"""Networks of spandrel, stood in for by a small module with its interface."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from srcli.errors import ModelError
from srcli.inference.engines import EngineOptions, EnginePool, choose_tiling, enlarge_array
from srcli.models.weights import default_scale, load_model


class Descriptor:
    """As spandrel describes a network: x3, sides of multiples of 4, no bf16, not to be cut."""

    scale, input_channels, output_channels = 3, 3, 3
    supports_half, supports_bfloat16 = True, False
    size_requirements = SimpleNamespace(minimum=8, multiple_of=4, square=False)
    tiling = SimpleNamespace(name="DISCOURAGED")
    architecture = SimpleNamespace(name="Fake")

    def __init__(self) -> None:
        self.model = torch.nn.Upsample(scale_factor=3.0)

    def __call__(self, x):
        assert x.dtype == torch.float32
        assert x.shape[0] == 1
        return self.model(x).clamp(0, 1)


@pytest.fixture
def spandrel(monkeypatch):
    """A library that knows files with a tensor "fake"."""
    module = ModuleType("spandrel")

    class Loader:
        def load_from_state_dict(self, state):
            if "fake" not in state:
                raise ValueError("unsupported")
            return Descriptor()

    for name, value in {
        "ModelLoader": Loader,
        "ImageModelDescriptor": Descriptor,
        "canonicalize_state_dict": dict,
    }.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fake.pth"
    torch.save({"params": {"fake": torch.zeros(2)}}, path)
    return str(path)


def test_its_needs_are_respected(spandrel, file):
    network = load_model(file)
    assert default_scale([file]) == network.scale == 3
    assert (network.minimum, network.multiple_of) == (8, 4)
    assert choose_tiling(file, network).tile > 100_000
    assert choose_tiling(file, network, 64).tile == 64
    pool = EnginePool(file, 3, EngineOptions(device="cpu", precision="bf16", engine="torch"))
    pixels = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    enlarged = enlarge_array(pool.engine(8), pixels)
    assert np.array_equal(enlarged, pixels.repeat(3, 0).repeat(3, 1))


def test_it_must_be_for_the_scale_and_for_rgb(spandrel, file, monkeypatch):
    with pytest.raises(ModelError, match="for scale 3, not 2"):
        load_model(file, 2)
    monkeypatch.setattr(Descriptor, "input_channels", 1)
    with pytest.raises(ModelError, match="is of Fake, which does not turn RGB into RGB"):
        load_model(file)


def test_what_it_does_not_know_or_cannot_be_imported_is_told(spandrel, tmp_path, file, monkeypatch):
    torch.save({"x": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"x\.pth: does not say .*spandrel knows none, either"):
        load_model(str(tmp_path / "x.pth"))
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ModelError, match=r"pip install 'spandrel' reads"):
        load_model(file)
