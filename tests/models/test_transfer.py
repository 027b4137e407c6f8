"""Weights are stored deployed and trained with branches; one scale begins another one well."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest
import torch

from srcli.layers.resize import bicubic_resize
from srcli.models import build_network
from srcli.models.storage import read_weights
from srcli.models.weights import weights_path
from srcli.pipelines.train.network import to_deployed, warm_start
from tests.fixtures.cases import CASES

SMALL = {"channels": 8, "num_blocks": 1, "esa_channels": 4}


def build(scale=2, **options):
    """A small rrlfn in evaluation mode."""
    torch.manual_seed(0)
    return build_network("rrlfn", scale=scale, options=SMALL | options).eval()


def test_what_is_stored_is_the_deployed_form_of_a_state():
    network = build(bn=True)
    state = copy.deepcopy(network.state_dict())
    averages = copy.deepcopy(state)
    for value in averages.values():
        if value.is_floating_point():
            value.mul_(1.5)
    tensors, options = to_deployed(network, averages, SMALL | {"bn": True})
    torch.testing.assert_close(network.state_dict(), state, atol=0, rtol=0)
    assert options == SMALL | {"bn": True, "deployed": True}
    stored = build_network("rrlfn", scale=2, options=options).eval()
    stored.load_state_dict(tensors)
    network.load_state_dict(averages)
    x = torch.rand(1, 3, 17, 16)
    with torch.no_grad():
        torch.testing.assert_close(stored(x), network(x), atol=1e-5, rtol=0)


def psnr(network, picture, scale):
    with torch.no_grad():
        enlarged = network.eval()(bicubic_resize(picture, Fraction(1, scale)))
    error = (enlarged - picture)[:, :, 6:-6, 6:-6].square().mean()
    return float(-10 * torch.log10(error))


@pytest.mark.parametrize(
    ("name", "former", "scale"),
    [("g-idrn", 2, 4), ("g-idrn", 4, 3), ("rrlfn", 3, 2), ("rrlfn", 2, 3)],
)
def test_shipped_weights_begin_another_scale_above_bicubic_start(
    astronaut, name, former, scale
):
    piece = torch.from_numpy(astronaut[:96, :96].copy())
    pixels = piece.permute(2, 0, 1)[None].float() / 255
    torch.manual_seed(0)
    network = build_network(name, scale=scale, options={})
    network.start_from_bicubic()
    new = psnr(network, pixels, scale)
    warm_start(network, read_weights(weights_path(name, former))[0])
    assert psnr(network, pixels, scale) > new + 0.5


@pytest.mark.parametrize(("former", "scale"), [(2, 4), (3, 2), (4, 3), (2, 3)])
def test_every_position_begins_between_those_around_it(former, scale):
    network = build_network(
        "rrlfn", scale=scale, options={"channels": 12, "num_blocks": 1}
    )
    tensors = {"up.bias": torch.arange(3 * former**2).float()}
    picture = torch.pixel_shuffle(tensors["up.bias"].view(1, -1, 1, 1), former)
    assert warm_start(network, tensors)[0] == 1
    bias = network.state_dict()["up.bias"].view(1, -1, 1, 1)
    expected = torch.nn.functional.interpolate(
        picture, size=(scale, scale), mode="bilinear"
    )
    torch.testing.assert_close(torch.pixel_shuffle(bias, scale), expected)


@pytest.mark.parametrize(
    ("name", "wide", "narrow", "scales"),
    [
        # ratios of widths that are those of scales, too: 256 : 64 and 64 : 16 are x4 : x2
        ("edsr", {"channels": 32}, {"channels": 8}, (2, 2)),
        ("edsr", {"channels": 18}, {"channels": 8}, (3, 2)),
        ("rfdn", {"channels": 64}, {"channels": 16}, (2, 4)),
        ("srvgg", {"channels": 36}, {"channels": 16}, (3, 2)),
    ],
)
def test_of_a_network_of_another_width_no_tensor_is_interpolated(
    name, wide, narrow, scales
):
    small = CASES[name].small
    former = build_network(name, scale=scales[0], options=small | wide)
    network = build_network(name, scale=scales[1], options=small | narrow)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    warm_start(network, former.state_dict())
    for key, value in former.state_dict().items():
        if value.shape != before[key].shape:
            now = network.state_dict()[key]
            torch.testing.assert_close(now, before[key], atol=0, rtol=0)


def test_what_begins_anew_is_told(notes):
    former = build_network("edsr", scale=2, options=CASES["edsr"].small)
    deeper = CASES["edsr"].small | {"num_blocks": 3}
    network = build_network("edsr", scale=2, options=deeper)
    assert warm_start(network, former.state_dict(), notes) == (16, 20)
    assert notes.warnings == [
        "4 of 20 tensors do not fit and begin anew, first body.2.conv1.weight, which the "
        "file lacks"
    ]
    narrow = build_network("edsr", scale=2, options={"channels": 4, "num_blocks": 2})
    assert warm_start(narrow, former.state_dict(), notes)[0] == 0
    assert (
        "first head.weight, there (8, 3, 3, 3), here (4, 3, 3, 3)" in notes.warnings[1]
    )
