"""Half precision is off within the block, also where there is none."""

from __future__ import annotations

import torch

from srcli.layers.network import full_precision


def test_autocast_is_off_inside_and_on_again_after():
    a = torch.rand(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(a.device):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


def test_the_meta_device_needs_nothing():
    with full_precision(torch.device("meta")):
        assert (torch.empty(2, 2, device="meta") @ torch.empty(2, 2, device="meta")).is_meta
