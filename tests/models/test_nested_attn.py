"""The nested attention network: derived counts, its nesting, and its start as bicubic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.models.nested_attn import NestedAttention

SMALL = {"channels": 16, "levels": 2, "branches": 2, "reduction": 2}


def small(**options):
    """A network of little work."""
    torch.manual_seed(0)
    return NestedAttention(**(SMALL | options))


def test_relus_stand_behind_every_convolution_but_those_that_end_a_branch():
    plain, rectified = NestedAttention(levels=2), NestedAttention(levels=2, activations="all")
    counts = [sum(isinstance(m, nn.ReLU) for m in each.modules()) for each in (plain, rectified)]
    assert counts[1] - counts[0] == 1 + 1 + 2  # the first, the loop's 1x1, two steps of x2
    rectified.load_state_dict({k.replace("up.2", "up.3"): v for k, v in plain.state_dict().items()})
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(plain(x), rectified(x))


@pytest.mark.parametrize("accumulate", ["concat", "sum"])
def test_a_loop_joins_its_input_and_what_every_module_gave(accumulate):
    network = small(accumulate=accumulate)
    loop = network.body
    x = torch.randn(1, 16, 6, 5)
    kept = [x]
    for block in loop.blocks:
        inner = block.second(torch.relu(block.first(kept[-1])))
        kept.append(inner * block.attention.gate(inner) + kept[-1])
    if accumulate == "sum":
        joined = kept[0] + kept[1] + kept[2]
    else:
        joined = loop.fuse(torch.cat(kept, dim=1))
    torch.testing.assert_close(loop(x), loop.last(joined) + x)
