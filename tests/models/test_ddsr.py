"""DDSR against derived counts and sizes; its residual; its bicubic start."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from srcli.errors import ModelError
from srcli.models.ddsr import DDSR, deconv_geometry

SMALL = {"depth": 4, "channels": 12}


def small(scale=2, **options):
    """A network of little work."""
    torch.manual_seed(0)
    return DDSR(scale=scale, **(SMALL | options))


def test_the_geometry_is_the_listed_one():
    found = {(k, s): deconv_geometry(k, s) for k in (3, 5, 7) for s in (2, 3, 4)}
    assert found == {
        (3, 2): (1, 1),
        (3, 3): (0, 0),
        (3, 4): (0, 1),
        (5, 2): (2, 1),
        (5, 3): (1, 0),
        (5, 4): (1, 1),
        (7, 2): (3, 1),
        (7, 3): (2, 0),
        (7, 4): (2, 1),
    }


@pytest.mark.parametrize("residual", [False, True])
def test_it_is_the_formula(residual):
    network = small(3, residual=residual).eval()
    w = network.state_dict()
    x = torch.rand(1, 1, 6, 5)

    def prelu(y, slopes):
        return y.clamp(min=0) + slopes.view(-1, 1, 1) * y.clamp(max=0)

    first = F.conv_transpose2d(x, w["up.weight"], w["up.bias"], stride=3)
    first = prelu(first, w["act.weight"])
    deep = first
    for i in range(0, 6, 2):
        deep = F.conv2d(deep, w[f"body.{i}.weight"], w[f"body.{i}.bias"], padding=1)
        deep = prelu(deep, w[f"body.{i + 1}.weight"])
    total = first + deep if residual else deep
    expected = F.conv2d(total, w["last.weight"], w["last.bias"], padding=1)
    torch.testing.assert_close(network(x), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 4, "depth": 6}, "8 layers or more, not 6"),
        ({"scale": 4, "depth": 18, "channels": 35}, "36 channels or more, not 35"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(options, words):
    with pytest.raises(ModelError, match=words):
        DDSR(**options).start_from_bicubic()


def test_half_precision_keeps_what_passes_the_mapping_exact():
    network = small().eval()
    with torch.no_grad():
        for layer in network.body:
            layer.weight.zero_()  # the mapping gives nothing: all comes from F1
        network.last.weight.mul_(100)
        x = torch.rand(1, 1, 9, 9)
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    assert half.dtype == torch.float32
    assert exact.std() > 0.01
    torch.testing.assert_close(half, exact, atol=1e-6, rtol=0)
