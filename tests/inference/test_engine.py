"""The torch engine: tiled equals whole, precisions, layouts, gray, 16 bit, non-finite values.

Networks that stretch a map over what they see are told where their tiles lie.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from srcli.errors import InferenceError
from srcli.imaging.pixels.resize import resize
from srcli.inference.engines import enlarge_array
from srcli.inference.fusing.convolutions import keep_half_weights
from srcli.inference.tiling import Tiling
from srcli.layers.global_pools import StretchedMap
from srcli.layers.network import Network
from srcli.models.g_idrn import GIDRN
from srcli.models.loading import load_model
from srcli.threads import hold_setting
from tests.fixtures.engines import (
    byte_engine,
    cpu_engine,
    grid_of,
    random_floats,
    random_levels,
    repeated,
)


def differences(enlarged, expected):
    """Absolute differences of arrays of any dtype, in levels."""
    return np.abs(enlarged.astype(float) - expected)


class Convolutions(Network):
    """Nine random 3x3 convolutions after a nearest-neighbour enlargement's first step."""

    scale = 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.ModuleList()
        for _ in range(9):
            self.layers.append(nn.Conv2d(3, 3, 3, padding=1))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x) + x * 0.7
        return repeated(x.sigmoid())


@pytest.fixture(scope="module")
def photo():
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[20:191, 100:313])


def test_tiled_equals_whole_once_the_overlap_covers_the_receptive_field(photo):
    engine = cpu_engine(Convolutions())
    # A quarter of the overlap is context that gets no weight: 36 / 4 = 9 layers.
    grid = grid_of(photo, tile=80, overlap=36)
    assert len(grid.tops) >= 3
    assert len(grid.lefts) >= 4
    enlarged = enlarge_array(engine, photo)
    tiled = enlarge_array(engine, photo, grid)
    assert enlarged.std() > 1  # a flat output would prove nothing
    assert differences(tiled, enlarged).max() <= 1
    exact = photo.astype(np.float32) / 255
    enlarged = enlarge_array(engine, exact)
    tiled = enlarge_array(engine, exact, grid)
    assert_allclose(tiled, enlarged, atol=1e-5)


def test_sixteen_bits_agree_with_eight_and_are_finer(photo):
    engine = cpu_engine(Convolutions())
    eight = enlarge_array(engine, photo)
    sixteen = enlarge_array(engine, photo.astype(np.uint16) * 257)
    assert sixteen.dtype == np.uint16
    assert differences(sixteen / 257, eight).max() <= 0.5001
    assert len(np.unique(sixteen)) > 2 * len(np.unique(eight))


def test_gray_goes_in_and_out_as_one_channel(photo):
    engine = cpu_engine(Convolutions())
    gray = photo[:, :, :1]
    enlarged = enlarge_array(engine, gray)
    colour = enlarge_array(engine, gray.repeat(3, axis=2)).astype(float)
    assert enlarged.shape == (gray.shape[0] * 2, gray.shape[1] * 2, 1)
    expected = colour @ [0.299, 0.587, 0.114]
    assert differences(enlarged[:, :, 0], expected).max() <= 1.0


def test_self_ensemble_is_the_mean_over_flips_and_rotations():
    class Shift(Network):
        scale = 1

        def forward(self, x):
            return torch.roll(x, 1, dims=3)

    picture = np.zeros((5, 5, 3), np.float32)
    picture[2, 2] = 1.0
    enlarged = enlarge_array(cpu_engine(Shift(), tta=True), picture)
    assert enlarged[2, 2].max() == 0
    assert_allclose(enlarged[[1, 3, 2, 2], [2, 2, 1, 3]], 0.25)


class Fragile(Network):
    """Overflows in half precision only, or always."""

    scale = 1

    def __init__(self, always=False):
        super().__init__()
        self.always = always
        self.halves: list[bool] = []

    def forward(self, x):
        half = torch.is_autocast_enabled(x.device.type)
        self.halves.append(half)
        if self.always or half:
            return x / 0
        return x


def test_a_card_that_cannot_do_fp16_is_given_it_twice(photo, caplog):
    network = Fragile()
    engine = cpu_engine(network, torch.float16)
    for _ in range(4):
        assert_array_equal(enlarge_array(engine, photo), photo)
    assert network.halves == [True, False, True, False, False, False]
    assert len(caplog.records) == 1


def test_what_is_not_finite_in_fp32_fails_with_a_clear_line(photo):
    engine = cpu_engine(Fragile(always=True), torch.bfloat16)
    with pytest.raises(InferenceError, match="not finite"):
        enlarge_array(engine, photo)


@pytest.mark.parametrize("chosen", ["tf32", "none", "ieee"])
def test_networks_run_without_tf32_and_the_setting_is_put_back(photo, chosen):
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    network = Convolutions()
    settings = []
    network.register_forward_pre_hook(
        lambda *_: settings.append(convolutions.fp32_precision)
    )
    with hold_setting(convolutions, "fp32_precision", chosen):  # as other programs may
        before = convolutions.fp32_precision
        engines = [cpu_engine(network) for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(partial(enlarge_array, pixels=photo), engines))
        assert convolutions.fp32_precision == before
    assert settings == ["ieee"] * 3


STEP = 4


class Stretched(Network):
    """Gives means of 4x4 pixels, but for the last ones, stretched over what it sees."""

    scale = 1
    tile_step = STEP

    def __init__(self):
        super().__init__()
        self.stretch = StretchedMap(step=STEP, minimum=2 * STEP)

    def forward(self, x):
        means = F.avg_pool2d(x, STEP)[:, :, :-1, :-1]
        return self.stretch(means, (x.shape[2], x.shape[3]))


class FragileWhereWhite(Stretched):
    """Overflows in half precision where a picture is white."""

    def forward(self, x):
        if torch.is_autocast_enabled("cpu"):
            x = x / (x < 1)
        return super().forward(x)


@pytest.fixture
def noise():
    return random_floats(200, 240, 3)


def placed_grid(step=STEP):
    return Tiling(tile=80, overlap=32, step=step).grid(200, 240)


@pytest.mark.parametrize("tta", [False, True])
def test_tiles_give_the_whole_picture(noise, tta):
    engine = cpu_engine(Stretched(), tta=tta)
    enlarged = enlarge_array(engine, noise)
    tiled = enlarge_array(engine, noise, placed_grid())
    assert_allclose(tiled, enlarged, atol=1e-5)
    misplaced = enlarge_array(engine, noise, placed_grid(step=1))
    assert differences(misplaced, enlarged).mean() > 0.01


@pytest.mark.parametrize("runs_ahead", [False, True])
def test_tiles_that_fail_in_half_precision_keep_their_places(noise, runs_ahead):
    noise[:40, :40] = 1
    engine = cpu_engine(FragileWhereWhite(), torch.bfloat16, batch=5)
    engine.runs_ahead = runs_ahead
    expected = enlarge_array(cpu_engine(Stretched()), noise)
    tiled = enlarge_array(engine, noise, placed_grid())
    assert_allclose(tiled, expected, atol=0.01)


@pytest.mark.parametrize("groups", [((0, 1, 2), (3,)), ((3,), (1,), (2,), (0,))])
def test_every_group_of_bands_has_its_tile_s_place(groups):
    pixels = random_levels(200, 240, 4)
    engine = byte_engine(cpu_engine(Stretched(), batch=3), *groups)
    enlarged = enlarge_array(engine, pixels)
    tiled = enlarge_array(engine, pixels, placed_grid())
    assert differences(tiled, enlarged).max() <= 1  # gray is rounded


@pytest.fixture(scope="module")
def edges():
    """A photograph (45, 61, 3) with every kind of edge."""
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[100:145, 200:261])


class Dark(Network):
    """Pixels repeated, and darker than they should be."""

    multiple_of = 4

    def forward(self, x):
        return repeated(x, self.scale) * 0.9


@pytest.mark.parametrize(
    ("tta", "half", "scale"),
    [(False, None, 2), (False, None, 3), (False, None, 4), (True, torch.bfloat16, 2)],
)
def test_the_engine_corrects_odd_sizes_by_tiles_as_whole(edges, tta, half, scale):
    grid = grid_of(edges, tile=24, overlap=8)
    smaller = partial(resize, scale=Fraction(1, scale))
    plain = cpu_engine(Dark(scale), half, tta=tta)
    engine = cpu_engine(Dark(scale), half, tta=tta, back_project="bicubic")
    enlarged = enlarge_array(engine, edges)
    tiled = enlarge_array(engine, edges, grid)
    assert differences(smaller(enlarged), edges).mean() < 0.5
    assert differences(smaller(tiled), edges).mean() < 0.5
    assert differences(tiled, enlarged).max() <= 2
    assert differences(smaller(enlarge_array(plain, edges)), edges).mean() > 5


def tiny():
    """A small network of the flagship's class, not trained."""
    torch.manual_seed(0)
    return GIDRN(scale=2, channels=16, num_blocks=2, num_groups=1).eval()


@pytest.mark.parametrize(
    ("load", "options"),
    [
        pytest.param(lambda: load_model("g-idrn", 2), {}, id="plain"),
        pytest.param(tiny, {"tta": True, "back_project": "bicubic"}, id="all"),
    ],
)
def test_a_form_for_half_precision_gives_the_same_by_tiles_and_way_to_fp32(
    photo, load, options
):
    picture = photo[:26, :26]
    grid = grid_of(picture, tile=16, overlap=6)
    assert len(grid.tops) > 1
    network = load().for_inference()
    fast: Any = copy.deepcopy(network)
    keep_half_weights(fast, torch.bfloat16)
    expected = enlarge_array(cpu_engine(network, **options), picture, grid)
    half = cpu_engine(fast, torch.bfloat16, **options)
    tiled = enlarge_array(half, picture, grid)
    assert 0 < differences(tiled, expected).max() <= 4
    for value in fast.merged.buffers():
        value.mul_(float("nan"))
    half = cpu_engine(fast, torch.bfloat16, **options)
    tiled = enlarge_array(half, picture, grid)
    assert differences(tiled, expected).max() <= 1
