"""The torch engine: tiled equals whole, precisions, layouts, gray, 16 bit, non-finite values.

Networks that stretch a map over what they see are told where their tiles lie.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.errors import InferenceError
from srcli.imaging.resize import resize
from srcli.inference.building import enlarge_array
from srcli.inference.device import EngineOptions
from srcli.inference.engine import TorchEngine
from srcli.inference.fusing.convolutions import keep_half_weights
from srcli.inference.raster_engine import RasterEngine
from srcli.inference.tiling import Tiling
from srcli.layers.network import Network
from srcli.layers.tiles import StretchedMap
from srcli.models.g_idrn import GIDRN
from srcli.models.weights import load_model
from srcli.ports.image import Values
from srcli.threads import hold_setting

CPU = torch.device("cpu")


class Convolutions(Network):
    """Nine random 3x3 convolutions after a nearest-neighbour enlargement's first step."""

    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        torch.manual_seed(1)
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(9))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x) + x * 0.7
        x = x.sigmoid()
        return x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


@pytest.fixture(scope="module")
def photo():
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[20:191, 100:313])


def test_tiled_equals_whole_once_the_overlap_covers_the_receptive_field(photo):
    engine = TorchEngine(Convolutions(), device=CPU)
    # A quarter of the overlap is context that gets no weight: 36 / 4 = 9 layers.
    grid = Tiling(tile=80, overlap=36).grid(*photo.shape[:2])
    assert len(grid.tops) >= 3
    assert len(grid.lefts) >= 4
    whole = enlarge_array(engine, photo)
    tiled = enlarge_array(engine, photo, grid)
    assert whole.std() > 1  # a flat output would prove nothing
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    exact = photo.astype(np.float32) / 255
    np.testing.assert_allclose(
        enlarge_array(engine, exact), enlarge_array(engine, exact, grid), atol=1e-5
    )


def test_sixteen_bits_agree_with_eight_and_are_finer(photo):
    engine = TorchEngine(Convolutions(), device=CPU)
    eight = enlarge_array(engine, photo)
    sixteen = enlarge_array(engine, photo.astype(np.uint16) * 257)
    assert sixteen.dtype == np.uint16
    assert np.abs(sixteen / 257 - eight).max() <= 0.5001
    assert len(np.unique(sixteen)) > 2 * len(np.unique(eight))


def test_gray_goes_in_and_out_as_one_channel(photo):
    engine = TorchEngine(Convolutions(), device=CPU)
    gray = photo[:, :, :1]
    out = enlarge_array(engine, gray)
    colour = enlarge_array(engine, gray.repeat(3, axis=2)).astype(float)
    assert out.shape == (gray.shape[0] * 2, gray.shape[1] * 2, 1)
    expected = colour @ [0.299, 0.587, 0.114]
    assert np.abs(out[:, :, 0] - expected).max() <= 1.0


def test_self_ensemble_is_the_mean_over_flips_and_rotations():
    class Shift(Network):
        scale = 1

        def forward(self, x):
            return torch.roll(x, 1, dims=3)

    picture = np.zeros((5, 5, 3), np.float32)
    picture[2, 2] = 1.0
    out = enlarge_array(
        TorchEngine(Shift(), EngineOptions(tta=True), device=CPU), picture
    )
    assert out[2, 2].max() == 0
    for y, x in [(1, 2), (3, 2), (2, 1), (2, 3)]:
        np.testing.assert_allclose(out[y, x], 0.25)


class Fragile(Network):
    """Overflows in half precision only, or always."""

    scale = 1

    def __init__(self, always=False):
        super().__init__()
        self.always = always

    def forward(self, x):
        half = torch.is_autocast_enabled(x.device.type)
        return x / 0 if self.always or half else x


def test_a_card_that_cannot_do_fp16_is_given_it_twice(photo, caplog):
    halves = []

    class Watched(Fragile):
        def forward(self, x):
            halves.append(torch.is_autocast_enabled(x.device.type))
            return super().forward(x)

    engine = TorchEngine(Watched(), device=CPU, half=torch.float16)
    for _ in range(4):
        np.testing.assert_array_equal(enlarge_array(engine, photo), photo)
    assert halves == [True, False, True, False, False, False]
    assert len(caplog.records) == 1


def test_what_is_not_finite_in_fp32_fails_with_a_clear_line(photo):
    engine = TorchEngine(Fragile(always=True), device=CPU, half=torch.bfloat16)
    with pytest.raises(InferenceError, match="not finite"):
        enlarge_array(engine, photo)


@pytest.mark.parametrize("chosen", ["tf32", "none", "ieee"])
def test_networks_run_without_tf32_and_the_setting_is_put_back(photo, chosen):
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    network, seen = Convolutions(), []
    network.register_forward_pre_hook(
        lambda *_: seen.append(convolutions.fp32_precision)
    )
    with hold_setting(convolutions, "fp32_precision", chosen):  # as other programs may
        before = convolutions.fp32_precision
        with ThreadPoolExecutor(3) as pool:
            engines = [TorchEngine(network, device=CPU) for _ in range(3)]
            list(pool.map(lambda engine: enlarge_array(engine, photo), engines))
        assert convolutions.fp32_precision == before
    assert seen == ["ieee"] * 3


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


@pytest.fixture
def noise():
    return np.random.default_rng(0).random((200, 240, 3), dtype=np.float32)


def placed_grid(step=STEP):
    return Tiling(tile=80, overlap=32, step=step).grid(200, 240)


@pytest.mark.parametrize("tta", [False, True])
def test_tiles_give_the_whole_picture(noise, tta):
    engine = TorchEngine(Stretched(), EngineOptions(tta=tta), device=CPU)
    whole = enlarge_array(engine, noise)
    np.testing.assert_allclose(
        enlarge_array(engine, noise, placed_grid()), whole, atol=1e-5
    )
    assert (
        np.abs(enlarge_array(engine, noise, placed_grid(step=1)) - whole).mean() > 0.01
    )


@pytest.mark.parametrize("overlaps", [False, True])
def test_tiles_that_fail_in_half_precision_keep_their_places(noise, overlaps):
    class FragileWhereWhite(Stretched):
        def forward(self, x):
            return super().forward(
                x / (x < 1) if torch.is_autocast_enabled("cpu") else x
            )

    noise[:40, :40] = 1
    half = TorchEngine(
        FragileWhereWhite(), EngineOptions(batch=5), device=CPU, half=torch.bfloat16
    )
    half.runs_ahead = overlaps
    whole = enlarge_array(TorchEngine(Stretched(), device=CPU), noise)
    np.testing.assert_allclose(
        enlarge_array(half, noise, placed_grid()), whole, atol=0.01
    )


def test_every_group_of_bands_has_its_tile_s_place():
    pixels = np.random.default_rng(0).integers(0, 256, (200, 240, 4), dtype=np.uint8)
    values = Values(dtype=np.dtype(np.uint8), ranges=((0, 255),))
    for groups in (((0, 1, 2), (3,)), ((3,), (1,), (2,), (0,))):
        inner = TorchEngine(Stretched(), EngineOptions(batch=3), device=CPU)
        engine = RasterEngine(inner, groups=groups, values=values)
        whole = enlarge_array(engine, pixels).astype(int)
        tiled = enlarge_array(engine, pixels, placed_grid()).astype(int)
        assert np.abs(tiled - whole).max() <= 1  # gray is rounded


@pytest.fixture(scope="module")
def edges():
    """A photograph (96, 132, 3) with every kind of edge."""
    from skimage.data import coffee

    return np.ascontiguousarray(coffee()[100:196, 200:332])


class Dark(Network):
    """Pixels repeated, and darker than they should be."""

    multiple_of = 4

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3) * 0.9


@pytest.mark.parametrize(
    ("tta", "half", "scale"),
    [(False, None, 2), (False, None, 3), (False, None, 4), (True, torch.bfloat16, 2)],
)
def test_the_engine_corrects_odd_sizes_by_tiles_as_whole(edges, tta, half, scale):
    picture, tiles = edges[:45, :61], Tiling(tile=24, overlap=8).grid(45, 61)
    plain, engine = (
        TorchEngine(
            Dark(scale),
            EngineOptions(tta=tta, back_project="bicubic" if back else ""),
            device=CPU,
            half=half,
        )
        for back in (False, True)
    )
    outs = [
        enlarge_array(*each) for each in ((engine, picture), (engine, picture, tiles))
    ]
    for out in outs:
        assert (
            np.abs(resize(out, Fraction(1, scale)).astype(int) - picture).mean() < 0.5
        )
    assert np.abs(outs[0].astype(int) - outs[1]).max() <= 2
    darker = resize(enlarge_array(plain, picture), Fraction(1, scale)).astype(int)
    assert np.abs(darker - picture).mean() > 5


def tiny():
    """A small network of the flagship's class, not trained."""
    torch.manual_seed(0)
    return GIDRN(scale=2, channels=16, num_blocks=2, num_groups=1).eval()


@pytest.mark.parametrize(
    ("load", "options"),
    [
        pytest.param(lambda: load_model("g-idrn", 2), EngineOptions(), id="plain"),
        pytest.param(tiny, EngineOptions(tta=True, back_project="bicubic"), id="all"),
    ],
)
def test_a_form_for_half_precision_gives_the_same_by_tiles_and_way_to_fp32(
    photo, load, options
):
    picture = photo[:26, :26]
    tiles = Tiling(tile=16, overlap=6, edge=4).grid(26, 26)
    assert len(tiles.tops) > 1
    network = load().for_inference()
    kept: Any = copy.deepcopy(network)
    keep_half_weights(kept, torch.bfloat16)
    exact = TorchEngine(network, options, device=CPU)
    half = TorchEngine(kept, options, device=CPU, half=torch.bfloat16)
    expected, found = (
        enlarge_array(each, picture, tiles).astype(int) for each in (exact, half)
    )
    assert 0 < np.abs(found - expected).max() <= 4
    for value in kept.merged.buffers():
        value.mul_(float("nan"))
    half = TorchEngine(kept, options, device=CPU, half=torch.bfloat16)
    assert np.abs(enlarge_array(half, picture, tiles).astype(int) - expected).max() <= 1
