"""The seam figure: invisible at the defaults, large without overlap."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srcli.errors import UsageError
from srcli.inference.device import EngineOptions
from srcli.inference.engines import make_engine
from srcli.inference.tiling import Tiling, choose_tiling
from srcli.models.loading import load_model

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "seams.py"


@pytest.fixture(scope="module")
def seam_figure():
    """The function of the benchmark."""
    spec = importlib.util.spec_from_file_location("benchmark_of_seams", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.seam_figure


@pytest.fixture(scope="module")
def large():
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[:, :600])


@pytest.mark.slow
def test_seams_of_the_flagship_are_below_two_hundredths_of_a_level(seam_figure, large):
    engine = make_engine(load_model("g-idrn", 2), EngineOptions())
    tiling = replace(choose_tiling("g-idrn", engine.network), tile=48, whole=0)
    picture = large[100:212, 100:250]  # 3 x 4 tiles with the overlap of the defaults
    with_overlap = seam_figure(engine, picture, tiling)
    assert with_overlap < 0.02
    assert seam_figure(engine, picture, replace(tiling, overlap=0)) > 2 * with_overlap


def test_a_picture_with_too_few_tiles_is_refused(seam_figure, large):
    engine = make_engine(load_model("bicubic", 2), EngineOptions())
    with pytest.raises(UsageError, match="4x3 tiles"):
        seam_figure(engine, large[:100, :100], Tiling(tile=64, overlap=8))
