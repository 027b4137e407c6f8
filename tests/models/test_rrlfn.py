"""RRLFN against published and derived counts; its two forms; small inputs; its bicubic start."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.metrics.efficiency import count_parameters
from srcli.models.rrlfn import RRLFN

SMALL = {"channels": 16, "num_blocks": 2, "esa_channels": 4}


def small(scale=2, **options):
    """A network of little work."""
    torch.manual_seed(0)
    return RRLFN(scale=scale, **(SMALL | options))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"channels": 52, "deployed": True}, 526_856),  # RLFN
        ({"num_blocks": 5, "deployed": True}, 383_404),
        ({"pointwise_branch": False}, 454_620),
        ({"identity_branch": True}, 496_956),
        # Normalised, the convolutions of 18 units have no bias: 48 and 48 less, 96 and 96 more.
        ({"bn": True}, 496_956 + 18 * 96),
        ({"bn": True, "identity_branch": True}, 496_956 + 18 * 192),
    ],
)
def test_variants_have_their_parameters(options, count):
    with torch.device("meta"):
        assert count_parameters(RRLFN(scale=2, **options)) == count


def test_small_pictures_are_continued_by_their_outermost_pixels():
    network = small().eval()
    x = torch.rand(1, 3, 4, 6)
    rows = torch.arange(15).clamp(max=3)
    columns = torch.arange(15).clamp(max=5)
    with torch.no_grad():
        expected = network(x[:, :, rows][:, :, :, columns])[:, :, :8, :12]
        assert torch.equal(network(x), expected)


def test_the_bicubic_start_keeps_a_little_of_the_deep_path():
    network = small()
    tail = network.tail.weight.detach().clone()
    network.start_from_bicubic()
    torch.testing.assert_close(network.tail.weight.detach(), tail * 0.1)
    assert count_parameters(network) == count_parameters(small())
    with pytest.raises(ModelError, match="12 channels"):
        small(channels=11).start_from_bicubic()
