"""G-IDRN: its bicubic start, and options that do not fit together."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srcli.models.g_idrn import GIDRN


def test_from_the_bicubic_start_the_non_local_block_begins_as_nothing_and_learns():
    torch.manual_seed(0)
    network: Any = GIDRN(scale=2, channels=16, num_blocks=4, num_groups=2)
    network.start_from_bicubic()
    features = torch.rand(1, 16, 7, 9)
    torch.testing.assert_close(network.non_local(features), features)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.rand(1, 3, 12, 9)).square().mean().backward()
        optimizer.step()
    moved = [p.grad is not None and bool(p.grad.any()) for p in network.non_local.parameters()]
    # A softmax does not feel a constant added to all its scores: the key's bias has no gradient.
    assert sum(moved) >= len(moved) - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 20}, "group_width"),
        ({"num_blocks": 5}, "num_groups"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        GIDRN(**options)
