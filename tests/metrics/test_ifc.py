"""IFC: published values, what it must and must not notice, and the pyramid that it is made of."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import gaussian

from srcli.imaging.pixels.resize import to_dtype
from srcli.imaging.pixels.values import luma
from srcli.metrics.ifc import MINIMUM, edge_bands, ifc

UINT8 = np.dtype(np.uint8)


@pytest.fixture
def picture(astronaut):
    return to_dtype(luma(astronaut), UINT8)


def noisy(picture, sigma, seed=0):
    return picture + np.random.default_rng(seed).normal(0, sigma, picture.shape)


def test_equal_pictures_are_best(picture):
    best = ifc(picture, picture)
    assert np.isfinite(best)
    distortions = [
        noisy(picture, 0.5),
        gaussian(picture.astype(float), 0.5),
        np.roll(picture, 1, axis=1),
        picture // 2 * 2,
        255 - picture,
    ]
    assert max(ifc(distorted, picture) for distorted in distortions) < best


def test_flat_pictures_hold_nothing(picture):
    flat = np.full_like(picture, 100)
    assert ifc(flat, flat) == ifc(flat, picture) == ifc(picture, flat) == 0


def test_partly_flat_and_striped_pictures_are_finite(picture):
    framed = np.pad(picture, 100, mode="constant", constant_values=16)
    stripes = np.repeat(picture[:1], 96, axis=0)  # 3x3 blocks of rank 3
    for original in (framed, stripes):
        value = ifc(noisy(original, 3), original)
        assert np.isfinite(value)
        assert 0 < value < ifc(original, original) < 400


def test_what_cannot_be_judged_is_refused(picture):
    with pytest.raises(ValueError, match="differ in shape"):
        ifc(picture[1:], picture)
    with pytest.raises(ValueError, match="at least 72x72"):
        ifc(picture[: MINIMUM - 1], picture[: MINIMUM - 1])
    with pytest.raises(ValueError, match="got shape"):
        ifc(picture[..., None], picture[..., None])
    assert ifc(picture[:MINIMUM, :MINIMUM], picture[:MINIMUM, :MINIMUM]) > 0
    for value in (np.nan, np.inf):
        broken = picture.astype(np.float64)
        broken[3, 4] = value
        with pytest.raises(ValueError, match="finite"):
            ifc(broken, picture)
        with pytest.raises(ValueError, match="finite"):
            ifc(picture, broken)


def test_values_of_pyrtools(astronaut):
    rounded = np.round(luma(astronaut))
    # Mean squares and the coefficients at row 5, column 7, from SteerablePyramidSpace
    # of pyrtools 1.1.1 (order 5, reflect1), sub-bands 0 and 3 of each level.
    squares = [
        (15.84671, 15.717051),
        (143.583192, 127.804483),
        (1266.082248, 916.207058),
        (7507.214162, 6328.784844),
    ]
    coefficients = [
        (-3.30152489, 2.566554557),
        (3.770061545, 7.356378979),
        (3.635023988, -0.190913511),
        (61.467839491, -194.407941741),
    ]
    bands = edge_bands(rounded)
    np.testing.assert_allclose(
        [[np.mean(band**2) for band in pair] for pair in bands], squares, atol=1e-6
    )
    np.testing.assert_allclose(
        [[band[5, 7] for band in pair] for pair in bands], coefficients, atol=1e-8
    )
