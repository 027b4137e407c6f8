"""Perceptual metrics through a library: refused in words without it, called with tensors."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from srcli.errors import UsageError
from srcli.metrics import perceptual
from srcli.metrics.perceptual import WEIGHTS, perceptual_distance, require_perceptual


@pytest.fixture
def piq(monkeypatch, tmp_path):
    """A stand-in for the library, and an empty cache folder."""

    class Distance(torch.nn.Module):
        def forward(self, x, y):
            assert x.shape == (1, 3, 4, 5)
            return (x - y).abs().max()

    module = ModuleType("piq")
    module.LPIPS = module.DISTS = Distance  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "piq", module)
    monkeypatch.setattr(perceptual, "find_spec", lambda name: module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    perceptual._measure.cache_clear()
    yield tmp_path / "checkpoints"
    perceptual._measure.cache_clear()


def test_without_the_library_its_extra_is_named(monkeypatch):
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    require_perceptual(())
    with pytest.raises(UsageError, match="pip install piq"):
        require_perceptual(["lpips"])


def test_missing_weights_are_named_with_their_place(piq):
    with pytest.raises(UsageError, match=r"vgg16.* and dists_weights\.pt into .*points"):
        require_perceptual(["dists"])
    piq.mkdir()
    for file in WEIGHTS["dists"]:
        (piq / file).touch()
    require_perceptual(["dists"])


@pytest.mark.usefixtures("piq")
def test_pictures_are_compared_between_0_and_1():
    black, white = np.zeros((4, 5, 3), np.uint8), np.full((4, 5, 3), 255, np.uint8)
    assert perceptual_distance("lpips", black, white) == 1.0
    assert perceptual_distance("dists", white, white) == 0.0
