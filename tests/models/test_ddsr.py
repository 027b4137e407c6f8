"""DDSR: its bicubic start, and half precision."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.models.ddsr import DDSR

SMALL = {"depth": 4, "channels": 12}


def small(scale=2, **options):
    """A network of little work."""
    torch.manual_seed(0)
    return DDSR(scale=scale, **(SMALL | options))


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
