"""What layers are told holds within its block, and never cuts a compiled network in two."""

from __future__ import annotations

import pytest
import torch

from srcli.layers.context import Context
from srcli.models import build_network


def test_it_is_said_until_the_block_ends_whatever_ends_it():
    context: Context[str] = Context("colour")

    def stop_within():
        with context.saying("inner"):
            assert context.said() == "inner"
            raise ValueError("stop")

    assert context.said() is None
    with context.saying("outer"):
        with pytest.raises(ValueError, match="stop"):
            stop_within()
        assert context.said() == "outer"
        with context.saying(None):
            assert context.said() is None
    assert context.said() is None


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rrlfn", {"channels": 4, "num_blocks": 1, "esa_channels": 2}),
        ("g-idrn", {"channels": 8, "group_width": 4, "num_blocks": 2, "num_groups": 1}),
        ("nested-attn", {"channels": 4, "reduction": 2, "levels": 2, "branches": 1}),
    ],
)
def test_networks_that_ask_are_compiled_in_one_piece(name, options):
    network = build_network(name, scale=2, options=options).eval()
    x = torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))
