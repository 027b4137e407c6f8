"""What one scale has learnt begins another one well."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from srcli.layers.resize import bicubic_resize
from srcli.models import build_network
from srcli.models.scales import to_scale
from srcli.models.weights import read_weights, warm_start, weights_path


def psnr(network, picture, scale):
    with torch.no_grad():
        found = network.eval()(bicubic_resize(picture, Fraction(1, scale)))
    return float(-10 * torch.log10(((found - picture)[:, :, 6:-6, 6:-6] ** 2).mean()))


@pytest.mark.parametrize(("former", "scale"), [(2, 4), (2, 3), (3, 4), (4, 2), (4, 3), (3, 2)])
@pytest.mark.parametrize("name", ["g-idrn", "rrlfn"])
def test_shipped_weights_begin_another_scale_above_bicubic_start(astronaut, name, former, scale):
    pixels = torch.from_numpy(astronaut[:96, :96].copy()).permute(2, 0, 1)[None].float() / 255
    torch.manual_seed(0)
    network = build_network(name, scale=scale, options={})
    network.start_from_bicubic()
    new = psnr(network, pixels, scale)
    tensors = network.training_state(read_weights(weights_path(name, former))[0])
    warm_start(network, to_scale(network, tensors))
    assert psnr(network, pixels, scale) > new + 0.5


@pytest.mark.parametrize(("former", "scale"), [(2, 4), (3, 2), (4, 3), (2, 3)])
def test_every_position_begins_between_those_around_it(former, scale):
    network = build_network("rrlfn", scale=scale, options={"channels": 12, "num_blocks": 1})
    tensors = {"up.bias": torch.arange(3 * former**2).float()}
    picture = torch.pixel_shuffle(tensors["up.bias"].view(1, -1, 1, 1), former)
    found = torch.pixel_shuffle(to_scale(network, tensors)["up.bias"].view(1, -1, 1, 1), scale)
    wanted = torch.nn.functional.interpolate(picture, size=(scale, scale), mode="bilinear")
    torch.testing.assert_close(found, wanted)


def test_other_tensors_stay_as_they_are():
    network = build_network(
        "g-idrn", scale=4, options={"channels": 16, "num_blocks": 2, "num_groups": 1}
    )
    own = network.state_dict()
    given = {
        **own,
        "up.bias": torch.zeros(13),  # of no scale
        "other": torch.zeros(3),
    }
    found = to_scale(network, given)
    assert found.keys() == given.keys()
    assert all(found[key] is given[key] for key in given)
    assert to_scale(network, {**own, "direct.bias": torch.ones(12)})["direct.bias"].shape == (48,)
