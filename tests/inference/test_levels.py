"""Values of files to numbers of networks and back, for every dtype, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.inference.band import PixelEncoder, is_full_range
from srcli.inference.engine import normalise
from srcli.ports.image import Values

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def values_of(dtype, low, high):
    return Values(dtype=np.dtype(dtype), low=low, high=high)


def decode(dtype, values, block):
    encoder = PixelEncoder(np.dtype(dtype), values)
    pixels = torch.empty(block.shape, dtype=encoder.storage)
    return pixels.copy_(encoder.encode(torch.as_tensor(block))).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(-20.0, 100.0), (3.5, 77.25)])
def test_values_come_back_scaled_rounded_and_clipped(dtype, low, high):
    block = np.random.default_rng(0).uniform(-3, 4, (3, 5, 7))
    block[0, 0, :3] = [-1e12, 1e12, 0.5]
    got = decode(dtype, values_of(dtype, low, high), block)
    expected = block * (high - low) + low
    if got.dtype.kind != "f":
        info = np.iinfo(dtype)
        expected = np.rint(expected).clip(info.min, info.max)
    assert got.dtype == dtype
    np.testing.assert_allclose(got.astype(float), expected, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_levels_survive_the_way_there_and_back(dtype):
    info = np.iinfo(dtype) if dtype.find("int") >= 0 else np.iinfo(np.int32)
    step = max(1, (int(info.max) - int(info.min)) // 70000)
    levels = np.arange(info.min, int(info.max) + 1, step, dtype=np.int64).astype(dtype)
    low, high = float(levels[7]), float(levels[len(levels) // 3])
    values = values_of(dtype, low, high)
    units, excess = normalise(levels, values)
    assert units.dtype == np.float32
    assert (units.min(), units.max()) == (0, 1)
    assert excess is not None
    outside = (levels < levels[7]) | (levels > levels[len(levels) // 3])
    np.testing.assert_array_equal(excess != 0, outside)
    back = decode(dtype, values, units + excess)
    # Inside the range a network's fp32 has 24 bits; outside, nothing is lost.
    wide = np.dtype(dtype).itemsize > 2
    np.testing.assert_allclose(back, levels, rtol=1e-6, atol=(high - low) * 6e-8 * wide)
    if not wide:
        np.testing.assert_array_equal(back, levels)


def test_close_floats_far_from_zero_keep_their_differences():
    heights = 1e6 + np.linspace(0, 1, 9, dtype=np.float64)
    units, excess = normalise(heights, values_of("float64", 1e6, 1e6 + 1))
    assert excess is None
    np.testing.assert_allclose(units, np.linspace(0, 1, 9), atol=1e-7)
    back = decode("float64", values_of("float64", 1e6, 1e6 + 1), units)
    np.testing.assert_allclose(back, heights, rtol=0, atol=1e-6)


@pytest.mark.parametrize("high", [255.0, 254.7, 254.99999999])
def test_nothing_counts_as_outside_by_rounding(high):
    values = values_of("float64", 0.1, high)
    assert normalise(np.array([0.1, 33.3, high]), values)[1] is None
    low = values_of("uint16", 123.4, 3000.0)
    assert normalise(np.array([124, 3000], np.uint16), low)[1] is None


def test_what_is_not_finite_becomes_the_end_of_the_range():
    pixels = np.array([np.nan, np.inf, -np.inf, 5.0], np.float32)
    units, excess = normalise(pixels, values_of("float32", 0, 10))
    np.testing.assert_array_equal(units, [0, 1, 0, 0.5])
    assert excess is None


def test_floats_beyond_their_dtype_stay_finite():
    got = decode("float32", values_of("float32", 0, 3e38), np.array([0.5, 1.5, -2.0]))
    limit = np.finfo(np.float32).max
    np.testing.assert_array_equal(got, np.array([1.5e38, limit, -limit], np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_full_range_is_the_same_with_and_without_values(dtype):
    block = np.random.default_rng(1).uniform(-0.1, 1.1, (3, 40, 40)).astype(np.float32)
    full = values_of(dtype, 0, np.iinfo(dtype).max)
    assert is_full_range(full)
    assert not is_full_range(values_of(dtype, 0, 200))
    got = decode(dtype, None, block)
    np.testing.assert_array_equal(got, decode(dtype, full, block))
    top = np.iinfo(dtype).max
    exact = block.clip(0, 1) * np.float64(top)
    assert np.abs(got - exact).max() <= 0.5 + 2e-5


def test_floats_without_values_are_what_the_network_gave():
    block = np.array([-0.25, 0.1, 7.5], np.float32)
    np.testing.assert_array_equal(decode("float32", None, block), block)


@pytest.mark.parametrize("dtype", ["int64", "complex64", "bool", "float16"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match=f"got {dtype}"):
        PixelEncoder(np.dtype(dtype), values_of(dtype, 0, 1))
    with pytest.raises(ValueError, match=f"got {dtype}"):
        PixelEncoder(np.dtype(dtype))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_impossible_ranges_are_refused(low, high):
    with pytest.raises(ValueError, match="below high"):
        values_of("uint8", low, high)


def test_signed_pixels_need_values():
    with pytest.raises(ValueError, match="values for pixels of int16"):
        PixelEncoder(np.dtype(np.int16))


def test_what_needs_float64_is_not_computed_on_metal():
    metal, cpu = torch.device("mps"), torch.device("cpu")
    assert PixelEncoder(np.dtype(np.uint8)).blending_device(metal) == metal
    assert PixelEncoder(np.dtype(np.uint16)).blending_device(metal) == cpu
    assert PixelEncoder(np.dtype(np.float32)).blending_device(metal) == metal
    assert (
        PixelEncoder(np.dtype(np.float32), values_of("float32", 0, 1)).blending_device(metal) == cpu
    )


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64"])
def test_each_band_has_its_own_range(dtype):
    pixels = np.random.default_rng(0).integers(10, 900, (2, 4, 5, 3)).astype(dtype)
    values = values_of(dtype, (0.0, 50.5, 100.0), (1000.0, 60.5, 5000.0))
    units, excess = normalise(pixels, values)
    assert excess is not None
    assert not excess[..., 0].any()
    for band, (low, high) in enumerate(values.ranges):
        alone, over = normalise(pixels[..., band], values_of(dtype, low, high))
        np.testing.assert_allclose(units[..., band], alone, rtol=0, atol=1e-7)
        expected = np.zeros_like(alone) if over is None else over
        np.testing.assert_allclose(excess[..., band], expected, rtol=1e-6, atol=1e-7)
    whole = (units + excess)[0].transpose(2, 0, 1)
    np.testing.assert_allclose(
        decode(dtype, values, whole), pixels[0].transpose(2, 0, 1), rtol=1e-6
    )
    assert not is_full_range(values)
    with pytest.raises(ValueError, match="finite low below high"):
        values_of(dtype, (0.0, 5.0), (1.0, 5.0))
