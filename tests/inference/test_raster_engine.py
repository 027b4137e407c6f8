"""Rasters through networks: groups of bands, ranges of values, outliers, and resumed runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.errors import InferenceError
from srcli.imaging.resize import resize
from srcli.inference.building import choose_tiling, enlarge_array
from srcli.inference.device import EngineOptions
from srcli.inference.engine import TorchEngine
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.stream import ArraySource, ImageJob, run_stream
from srcli.inference.tiling import Tiling, tile_rows
from srcli.layers.network import Network
from srcli.models.bicubic import Bicubic
from srcli.models.weights import load_model
from srcli.ports.image import Values
from tests.fixtures.geotiffs import FOUR_BANDS, SIXTEEN_BITS
from tests.fixtures.photographs import read_by_gdal

CPU = torch.device("cpu")
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


class Turn(Network):
    """Repeats pixels, turns R, G, B into B, R, G; keeps what it saw."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x.clone())
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, [2, 0, 1]]


@pytest.fixture(scope="module")
def aerial(geotiffs):
    """A picture of four bands, (46, 40, 4) uint8."""
    return read_by_gdal(geotiffs / FOUR_BANDS)[100:146, 200:240].copy()


@pytest.fixture(scope="module")
def deep(geotiffs):
    """A picture of three bands, (46, 40, 3) uint16, about 200 to 2000."""
    return read_by_gdal(geotiffs / SIXTEEN_BITS)[100:146, 200:240].copy()


def make_engine(groups, dtype="uint8", low=0.0, high=255.0, network=None, batch=None):
    inner = TorchEngine(network or Turn(), EngineOptions(batch=batch), device=CPU)
    values = Values(
        dtype=np.dtype(dtype),
        ranges=tuple(zip(np.ravel(low), np.ravel(high), strict=True)),
    )
    return RasterEngine(inner, groups=groups, values=values)


class Rows:
    """A sink that keeps what it gets, and checks the order."""

    def __init__(self):
        self.tops, self.parts, self.end = [], [], None

    def write(self, top, rows):
        assert self.end is None or top == self.end
        self.end = top + len(rows)
        self.tops.append(top)
        self.parts.append(rows)


def enlarge(engine, pixels, tiling=None, tiles=None):
    """Number of the first row that comes out, and the rows."""
    rows = Rows()
    tiling = tiling or Tiling(tile=16, overlap=6)
    source, (height, width) = ArraySource(pixels), pixels.shape[:2]
    grid = tiling.padded_grid(height, width)
    work = ImageJob(
        name="a.tif", source=source, write=rows.write, grid=grid, tile_rows=tiles
    )
    (done,) = run_stream(engine, [work])
    if done.error is not None:
        raise done.error
    return rows.tops[0], np.concatenate(rows.parts)


@pytest.mark.parametrize(
    ("groups", "order"),
    [
        (((0, 1, 2), (3,)), [2, 0, 1, 3]),
        (((3,), (2, 0, 1)), [2, 0, 1, 3]),
        (((0,), (1,), (2,), (3,)), [0, 1, 2, 3]),
        (((1, 3, 2), (0,)), [0, 2, 3, 1]),
    ],
)
def test_bands_of_a_group_go_through_the_network_as_rgb_others_as_gray(
    aerial, groups, order
):
    engine = make_engine(groups)
    _, got = enlarge(engine, aerial)
    np.testing.assert_array_equal(got, aerial[:, :, order].repeat(2, 0).repeat(2, 1))
    assert all(seen.shape[1] == 3 for seen in engine.engine.network.seen)


@pytest.mark.parametrize(("bands", "tiles"), [(1, 16), (8, 16), (32, 4), (300, 1)])
def test_many_bands_take_no_more_memory_than_few(bands, tiles):
    engine = make_engine(tuple((band,) for band in range(bands)), batch=16)
    assert engine.batch_size(64, 64) == tiles


def test_plain_rgb_is_what_photographs_are(aerial):
    rgb = np.ascontiguousarray(aerial[:, :, :3])
    network = load_model("g-idrn", 2)
    photograph = enlarge_array(TorchEngine(network, device=CPU), rgb)
    engine = make_engine(((0, 1, 2),), network=network)
    np.testing.assert_array_equal(enlarge_array(engine, rgb), photograph)
    gray = make_engine(((0,),), network=network)
    one = np.ascontiguousarray(aerial[:, :, 3:])
    expected = enlarge_array(TorchEngine(network, device=CPU), one)
    np.testing.assert_array_equal(enlarge_array(gray, one), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_network_sees_the_range_and_values_come_back(dtype):
    random = np.random.default_rng(0)
    pixels = random.integers(-20, 101, (20, 23, 4)).clip(0 if dtype[0] == "u" else -20)
    pixels = pixels.astype(dtype)
    engine = make_engine(((0, 1, 2), (3,)), dtype, float(pixels.min()), 100.0)
    _, got = enlarge(engine, pixels)
    seen = torch.stack([each for part in engine.engine.network.seen for each in part])
    assert (float(seen.min()), float(seen.max())) == (0, 1)
    assert got.dtype == dtype
    expected = pixels[:, :, [2, 0, 1, 3]].repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(got, expected, atol=1e-4 if dtype[0] == "f" else 0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_values_outside_the_range_are_kept_by_bicubic_interpolation(dtype, aerial):
    # Bicubic interpolation is linear: with it as the network too, clipping must leave
    # no trace.
    factor = {"uint8": 1, "uint16": 200, "int32": 8_000_000}.get(dtype, 1.25)
    pixels = (aerial[:, :, :3] * np.float64(factor)).astype(dtype)
    low, high = 60.0 * factor, 120.0 * factor
    assert (pixels < low).any()
    assert (pixels > high).any()
    engine = make_engine(((0, 1, 2),), dtype, low, high, network=Bicubic(scale=2))
    got = enlarge(engine, pixels, Tiling(tile=64, overlap=0))[1].astype(float)
    expected = resize(pixels.astype(float), 2)
    if got.dtype.kind in "ui":
        expected = expected.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    # Inside the range the network's fp32 has 24 bits.
    exact = (0.51 if dtype[0] in "ui" else 0) + (high - low) * 3e-7
    assert np.abs(got - expected).max() <= exact


def test_one_group_that_is_not_finite_fails_the_tile(aerial):
    class Fragile(Turn):
        def forward(self, x):
            return super().forward(x) / (x[:, :1, :1, :1] < 0.9)

    bad = np.zeros((8, 8, 4), np.uint8)
    bad[:, :, 3] = 255
    with pytest.raises(InferenceError, match="not finite"):
        enlarge(make_engine(((0, 1, 2), (3,)), network=Fragile()), bad)
    with pytest.raises(InferenceError, match="not finite"):
        enlarge(make_engine(((3,), (0, 1, 2)), network=Fragile()), bad)


CASES = [
    pytest.param(
        "g-idrn", "aerial", "uint8", (0.0, 255.0), (24, 8), id="g-idrn, RGB and one"
    ),
    pytest.param(
        "g-idrn", "deep", "uint16", (300.0, 900.0), (20, 5), id="g-idrn, 16 bits"
    ),
    pytest.param(
        "rrlfn", "aerial", "uint8", (0.0, 255.0), (36, 8), id="rrlfn, RGB and one"
    ),
    pytest.param(
        "bicubic", "aerial", "uint8", (0.0, 255.0), (16, 7), id="bicubic, 8 bits"
    ),
    pytest.param(
        "bicubic", "aerial", "int16", (40.0, 100.0), (11, 0), id="bicubic, no overlap"
    ),
    pytest.param(
        "bicubic", "deep", "float32", (300.0, 900.0), (13, 3), id="bicubic, floats"
    ),
    pytest.param(
        "bicubic", "deep", "int32", (300.0, 900.0), (64, 8), id="bicubic, one tile"
    ),
]


@pytest.mark.parametrize(("model", "picture", "dtype", "span", "cut"), CASES)
def test_resumed_at_any_row_the_bytes_are_the_same(
    model, picture, dtype, span, cut, request
):
    pixels = request.getfixturevalue(picture).astype(dtype)
    groups = ((0, 1, 2), (3,))[: pixels.shape[2] - 2]
    network = load_model(model, 2)
    tiling = choose_tiling(model, network, *cut)
    height, width = pixels.shape[:2]
    grid = tiling.padded_grid(height, width)
    runs = {}
    for row in range(len(grid.tops)):
        # A new engine each time, as in a new process.
        engine = make_engine(groups, dtype, span[0], span[1], network=network, batch=4)
        runs[row] = enlarge(engine, pixels, tiling, range(row, len(grid.tops)))
    whole = runs[0][1].tobytes()
    assert runs[0][1].std() > 1
    stride = len(whole) // (2 * height)
    for wanted in range(2 * height):
        top, rows = runs[tile_rows(grid, range(wanted, 2 * height), scale=2).start]
        assert top <= wanted
        assert rows[wanted - top :].tobytes() == whole[wanted * stride :]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gpu_gives_what_the_cpu_gives(aerial, dtype):
    pixels = (aerial // 2).astype(dtype)
    got = []
    for device in ("cpu", "cuda"):
        inner = TorchEngine(Bicubic(scale=2), device=torch.device(device))
        values = Values(dtype=np.dtype(dtype), ranges=((30.0, 70.0),))
        engine = RasterEngine(inner, groups=((0, 1, 2), (3,)), values=values)
        got.append(enlarge(engine, pixels)[1].astype(float))
    assert np.abs(got[0] - got[1]).max() <= (1 if dtype.find("int") >= 0 else 1e-3)
    assert (got[0] != got[1]).mean() < (0.01 if dtype.find("int") >= 0 else 1.1)
