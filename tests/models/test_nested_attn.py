"""The nested attention network: where its ReLUs stand."""

from __future__ import annotations

import torch
from torch import nn

from srcli.models.nested_attn import NestedAttention


def test_relus_stand_behind_every_convolution_but_those_that_end_a_branch():
    plain, rectified = NestedAttention(levels=2), NestedAttention(levels=2, activations="all")
    counts = [sum(isinstance(m, nn.ReLU) for m in each.modules()) for each in (plain, rectified)]
    assert counts[1] - counts[0] == 1 + 1 + 2  # the first, the loop's 1x1, two steps of x2
    rectified.load_state_dict({k.replace("up.2", "up.3"): v for k, v in plain.state_dict().items()})
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(plain(x), rectified(x))
