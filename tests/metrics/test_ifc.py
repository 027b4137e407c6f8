"""IFC: published values, and what the criterion must and must not notice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from skimage.filters import gaussian

from srcli.imaging.colour import luma
from srcli.imaging.reading import read_photograph
from srcli.imaging.resize import mod_crop, resize, to_dtype
from srcli.metrics.ifc import MINIMUM, IfcReference, block_covariance

UINT8 = np.dtype(np.uint8)


def ifc(sr, hr):
    return IfcReference(hr).score(sr)


@pytest.fixture
def picture(astronaut):
    return to_dtype(luma(astronaut), UINT8)


def noisy(picture, sigma, seed=0):
    return picture + np.random.default_rng(seed).normal(0, sigma, picture.shape)


@pytest.mark.parametrize(("scale", "published"), [(2, 6.083), (3, 3.580), (4, 2.329)])
def test_bicubic_on_set5_as_published(srx_data, scale, published):
    # Y is rounded, made small and large again without rounding, then rounded: the tables of
    # LapSRN (Lai et al. 2017) and others.
    values = []
    for path in sorted((srx_data / "benchmarks" / "Set5").glob("*.png")):
        hr = to_dtype(luma(mod_crop(read_photograph(path).pixels, scale)), UINT8)
        lr = resize(hr.astype(np.float64), Fraction(1, scale))
        sr = to_dtype(resize(lr, scale), UINT8)
        inside = (slice(scale, -scale), slice(scale, -scale))
        values.append(ifc(sr[inside], hr[inside]))
    assert len(values) == 5
    assert np.mean(values) == pytest.approx(published, abs=0.002)


def test_equal_pictures_are_best(picture):
    best = ifc(picture, picture)
    assert np.isfinite(best)
    others = [
        noisy(picture, 0.5),
        gaussian(picture.astype(float), 0.5),
        np.roll(picture, 1, axis=1),
        picture // 2 * 2,
        255 - picture,
    ]
    assert max(ifc(other, picture) for other in others) < best


def test_more_blur_and_more_noise_give_less(picture):
    original = picture.astype(float)
    blurred = [ifc(gaussian(original, sigma), picture) for sigma in (0.5, 1, 2, 4)]
    assert blurred == sorted(blurred, reverse=True)
    assert len(set(blurred)) == 4
    noise = [ifc(noisy(picture, sigma), picture) for sigma in (1, 4, 16, 64)]
    assert noise == sorted(noise, reverse=True)
    assert noise[-1] > 0


def test_brightness_and_orientation_change_nothing(picture):
    sr, hr = noisy(picture, 5), picture.astype(float)
    expected = ifc(sr, hr)
    assert ifc(sr + 20, hr) == pytest.approx(expected, abs=1e-9)
    assert ifc(sr.T, hr.T) == pytest.approx(expected, abs=1e-9)


def test_a_negative_holds_no_information(picture):
    assert ifc(255 - picture, picture) == 0


def test_integers_count_as_their_values(picture):
    sr = np.roll(picture, 1, axis=0)
    assert ifc(sr, picture) == ifc(sr.astype(np.float64), picture.astype(np.float32))


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


def test_block_covariance_is_numpys():
    values = np.random.default_rng(0).normal(3, 10, (30, 21)).cumsum(axis=1)
    blocks = np.lib.stride_tricks.sliding_window_view(values, (3, 3)).reshape(-1, 9)
    np.testing.assert_allclose(
        block_covariance(values), np.cov(blocks, rowvar=False, bias=True), rtol=1e-10
    )


def test_a_reference_serves_many_pictures_and_threads(picture):
    reference = IfcReference(picture)
    pictures = [noisy(picture, 5, seed) for seed in range(6)]
    expected = [ifc(sr, picture) for sr in pictures]
    assert len(set(expected)) == 6
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(reference.score, pictures)) == expected


def test_a_reference_keeps_its_values(picture):
    hr = picture.astype(np.float64)
    reference = IfcReference(hr)
    before = reference.score(picture)
    hr[:] = 0
    assert reference.score(picture) == before


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
