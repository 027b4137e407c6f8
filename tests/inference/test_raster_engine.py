"""Rasters through networks: groups of bands, ranges of values, outliers, and resumed runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from srcli.errors import InferenceError
from srcli.imaging.pixels.resize import resize
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import enlarge_array
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import ArraySource, ImageJob, run_stream
from srcli.inference.tiling import Tiling, choose_tiling, tile_rows
from srcli.layers.network import Network
from srcli.models.bicubic import Bicubic
from srcli.models.loading import load_model
from tests.fixtures.engines import (
    byte_engine,
    cpu_engine,
    doubled,
    random_levels,
    repeated,
    values_of,
)
from tests.fixtures.geotiffs import FOUR_BANDS, SIXTEEN_BITS
from tests.fixtures.photographs import read_by_gdal

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
RGB = (0, 1, 2)


class Turn(Network):
    """Repeats pixels, turns R, G, B into B, R, G; keeps what it saw."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.inputs = []

    def forward(self, x):
        self.inputs.append(x.clone())
        return repeated(x)[:, [2, 0, 1]]


@pytest.fixture(scope="module")
def aerial(geotiffs):
    """A picture of four bands, (46, 40, 4) uint8."""
    return read_by_gdal(geotiffs / FOUR_BANDS)[100:146, 200:240].copy()


@pytest.fixture(scope="module")
def deep(geotiffs):
    """A picture of three bands, (46, 40, 3) uint16, about 200 to 2000."""
    return read_by_gdal(geotiffs / SIXTEEN_BITS)[100:146, 200:240].copy()


def enlarge(engine, pixels, tiling=None, tile_rows=None):
    """Number of the first row that comes out, and the rows."""
    tiling = tiling or Tiling(tile=16, overlap=6)
    pieces = []
    job = ImageJob(
        name="a.tif",
        source=ArraySource(pixels),
        write=lambda top, rows: pieces.append((top, rows)),
        grid=tiling.padded_grid(*pixels.shape[:2]),
        tile_rows=tile_rows,
    )
    list(run_stream(engine, [job]))
    if job.error is not None:
        raise job.error
    first_row = pieces[0][0]
    end = first_row
    for top, rows in pieces:
        assert top == end
        end += len(rows)
    return first_row, np.concatenate([rows for _, rows in pieces])


@pytest.mark.parametrize(
    ("groups", "order"),
    [
        ((RGB, (3,)), [2, 0, 1, 3]),
        (((3,), (2, 0, 1)), [2, 0, 1, 3]),
        (((0,), (1,), (2,), (3,)), [0, 1, 2, 3]),
        (((1, 3, 2), (0,)), [0, 2, 3, 1]),
    ],
)
def test_bands_of_a_group_go_through_the_network_as_rgb_others_as_gray(
    aerial, groups, order
):
    network = Turn()
    _, enlarged = enlarge(byte_engine(cpu_engine(network), *groups), aerial)
    expected = doubled(aerial[:, :, order])
    assert_array_equal(enlarged, expected)
    assert {x.shape[1] for x in network.inputs} == {3}


@pytest.mark.parametrize(("bands", "tiles"), [(1, 16), (8, 16), (32, 4), (300, 1)])
def test_many_bands_take_no_more_memory_than_few(bands, tiles):
    groups = [(band,) for band in range(bands)]
    engine = byte_engine(cpu_engine(Turn(), batch=16), *groups)
    assert engine.batch_size(64, 64) == tiles


@pytest.mark.parametrize("group", [RGB, (0,)])
def test_plain_rgb_and_gray_are_what_photographs_are(aerial, group):
    picture = np.ascontiguousarray(aerial[:, :, group])
    engine = cpu_engine(load_model("g-idrn", 2))
    photograph = enlarge_array(engine, picture)
    raster = enlarge_array(byte_engine(engine, group), picture)
    assert_array_equal(raster, photograph)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_network_sees_the_range_and_values_come_back(dtype):
    least = 0 if dtype.startswith("u") else -20
    tolerance = 1e-4 if dtype.startswith("f") else 0
    pixels = random_levels(20, 23, 4, least=least, most=100, dtype=dtype)
    network = Turn()
    values = values_of(dtype, float(pixels.min()), 100.0)
    engine = RasterEngine(cpu_engine(network), groups=(RGB, (3,)), values=values)
    _, enlarged = enlarge(engine, pixels)
    assert min(float(x.min()) for x in network.inputs) == 0
    assert max(float(x.max()) for x in network.inputs) == 1
    assert enlarged.dtype == dtype
    expected = doubled(pixels[:, :, [2, 0, 1, 3]])
    assert_allclose(enlarged, expected, atol=tolerance)


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        ("uint8", 1),
        ("uint16", 200),
        ("int32", 8_000_000),
        ("float32", 1.25),
        ("float64", 1.25),
    ],
)
def test_values_outside_the_range_are_kept_by_bicubic_interpolation(
    dtype, factor, aerial
):
    # Bicubic interpolation is linear: with it as the network too, clipping must leave
    # no trace.
    pixels = (aerial[:, :, :3] * np.float64(factor)).astype(dtype)
    low = 60.0 * factor
    high = 120.0 * factor
    assert (pixels < low).any()
    assert (pixels > high).any()
    engine = RasterEngine(
        cpu_engine(Bicubic(scale=2)), groups=(RGB,), values=values_of(dtype, low, high)
    )
    _, enlarged = enlarge(engine, pixels, Tiling(tile=64, overlap=0))
    expected = resize(pixels.astype(float), 2)
    # Inside the range the network's fp32 has 24 bits.
    tolerance = (high - low) * 3e-7
    if "int" in dtype:
        expected = expected.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
        tolerance += 0.51
    assert np.abs(enlarged.astype(float) - expected).max() <= tolerance


@pytest.mark.parametrize("groups", [(RGB, (3,)), ((3,), RGB)])
def test_one_group_that_is_not_finite_fails_the_tile(groups):
    class Fragile(Turn):
        def forward(self, x):
            corner = x[:, :1, :1, :1]
            return super().forward(x) / (corner < 0.9)

    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :, 3] = 255
    with pytest.raises(InferenceError, match="not finite"):
        enlarge(byte_engine(cpu_engine(Fragile()), *groups), pixels)


CASES = [
    ("g-idrn", "aerial", "uint8", (0.0, 255.0), (24, 8)),
    ("g-idrn", "deep", "uint16", (300.0, 900.0), (20, 5)),
    ("rrlfn", "aerial", "uint8", (0.0, 255.0), (36, 8)),
    ("bicubic", "aerial", "uint8", (0.0, 255.0), (16, 7)),
    ("bicubic", "aerial", "int16", (40.0, 100.0), (11, 0)),
    ("bicubic", "deep", "float32", (300.0, 900.0), (13, 3)),
    ("bicubic", "deep", "int32", (300.0, 900.0), (64, 8)),
]
"""The last three: without overlap, of floats, and of one tile."""


@pytest.mark.parametrize(("model", "picture", "dtype", "span", "cut"), CASES)
def test_resumed_at_any_row_the_bytes_are_the_same(
    model, picture, dtype, span, cut, request
):
    pixels = request.getfixturevalue(picture).astype(dtype)
    groups = (RGB, (3,))[: pixels.shape[2] - 2]
    network = load_model(model, 2)
    tiling = choose_tiling(model, network, *cut)
    height, width = pixels.shape[:2]
    grid = tiling.padded_grid(height, width)
    count = len(grid.tops)
    runs = []
    for row in range(count):
        # A new engine each time, as in a new process.
        engine = RasterEngine(
            cpu_engine(network, batch=4), groups=groups, values=values_of(dtype, *span)
        )
        runs.append(enlarge(engine, pixels, tiling, range(row, count)))
    _, expected = runs[0]
    assert expected.std() > 1
    for wanted in range(2 * height):
        rows_of_tiles = tile_rows(grid, range(wanted, 2 * height), scale=2)
        top, rows = runs[rows_of_tiles.start]
        assert top <= wanted
        assert rows[wanted - top :].tobytes() == expected[wanted:].tobytes()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gpu_gives_what_the_cpu_gives(aerial, dtype):
    pixels = (aerial // 2).astype(dtype)
    results = []
    for device in ("cpu", "cuda"):
        engine = RasterEngine(
            TorchEngine(Bicubic(scale=2), device=torch.device(device)),
            groups=(RGB, (3,)),
            values=values_of(dtype, 30.0, 70.0),
        )
        results.append(enlarge(engine, pixels)[1].astype(float))
    differences = np.abs(results[0] - results[1])
    if "int" in dtype:
        assert differences.max() <= 1
        assert (differences > 0).mean() < 0.01
    else:
        assert differences.max() <= 1e-3
