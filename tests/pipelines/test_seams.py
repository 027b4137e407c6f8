"""The seam figure: invisible at the defaults, large without overlap."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.errors import UsageError
from srcli.models.weights import load_model
from srcli.pipelines.engines import EngineOptions, choose_tiling, make_engine
from srcli.pipelines.seams import seam_figure


@pytest.fixture(scope="module")
def large():
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[:, :600])


@pytest.mark.parametrize("precision", [pytest.param("fp32", marks=pytest.mark.slow), "auto"])
def test_seams_of_the_flagship_are_below_two_hundredths_of_a_level(large, precision):
    engine = make_engine(load_model("g-idrn", 2), EngineOptions(precision=precision))
    tiling = choose_tiling("g-idrn", engine.network)
    picture = large[:, :580]  # 3 x 4 tiles at the defaults
    with_overlap = seam_figure(engine, picture, tile=tiling.tile, overlap=tiling.overlap)
    assert with_overlap < 0.02
    if precision == "auto":
        assert seam_figure(engine, picture, tile=tiling.tile, overlap=0) > 2 * with_overlap


def test_a_picture_with_too_few_tiles_is_refused(large):
    engine = make_engine(load_model("bicubic", 2), EngineOptions())
    with pytest.raises(UsageError, match="4x3 tiles"):
        seam_figure(engine, large[:100, :100], tile=64, overlap=8)
