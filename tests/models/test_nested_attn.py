"""The nested attention network: derived counts, its nesting, and its start as bicubic."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.metrics.efficiency import count_parameters
from srcli.models.nested_attn import NestedAttention

SMALL = {"channels": 16, "levels": 2, "branches": 2, "reduction": 2}


def small(**options):
    """A network of little work."""
    torch.manual_seed(0)
    return NestedAttention(**(SMALL | options))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 1_777_395),
        ({"levels": 2}, 654_191),
        ({"levels": 4}, 6_270_211),
        ({"ca": False}, 1_768_003),
        ({"pool": "max"}, 1_777_347),
        ({"pool": "avg"}, 1_777_347),
        # One step of x2 less than x4; one of x3 instead of two of x2.
        ({"scale": 2}, 1_777_395 - 147_712),
        ({"scale": 3}, 1_777_395 - 2 * 147_712 + 64 * 9 * 576 + 576),
        # No 1x1 fusion: 5 of them at level 3.
        ({"accumulate": "sum"}, 1_777_395 - 5 * (64 * 5 * 64 + 64)),
        ({"activations": "all"}, 1_777_395),
        ({"levels": 1}, 1_792 + 74_443 + 2 * 147_712 + 1_731),
    ],
)
def test_every_variant_has_its_parameters(options, count):
    with torch.device("meta"):
        assert count_parameters(NestedAttention(**options)) == count


def test_relus_stand_behind_every_convolution_but_those_that_end_a_branch():
    plain, rectified = NestedAttention(levels=2), NestedAttention(levels=2, activations="all")
    counts = [sum(isinstance(m, nn.ReLU) for m in each.modules()) for each in (plain, rectified)]
    assert counts == [0, 1 + 1 + 2]  # the first, the loop's 1x1, two steps of x2
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


@pytest.mark.parametrize("options", [{"levels": 0}, {"branches": 0}])
def test_sizes_that_build_nothing_are_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        small(**options)


def test_known_weights_give_known_values():
    # Numbers of this implementation, kept so that a change of the arithmetic shows.
    network = NestedAttention(scale=2, levels=2).eval()
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            k = torch.arange(p.numel(), dtype=torch.float64)
            fan = p[0].numel() if p.ndim > 1 else 400
            p.copy_((torch.sin(0.7 * k + i) / fan**0.5).reshape(p.shape))
        out = network(torch.linspace(0, 1, 105).reshape(1, 3, 5, 7))
    assert float(out.std()) == pytest.approx(0.3314, abs=2e-4)
    found = torch.stack([out[0, :, 0, 0], out[0, :, 4, 6], out[0, :, 9, 13]])
    expected = torch.tensor(
        [[-0.0809, 0.3491, 0.7428], [0.0631, 0.3903, 0.7970], [0.3227, 0.6240, 0.9588]]
    )
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)
