"""Merged convolutions, full precision within autocast, and uploads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.layers.network import full_precision, upload


def test_autocast_is_off_inside_a_block_of_full_precision_and_on_again_after():
    a = torch.rand(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(a.device):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16
    with full_precision(torch.device("meta")):
        assert (torch.empty(2, 2, device="meta") @ torch.empty(2, 2, device="meta")).is_meta


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_uploads_keep_numbers_and_layout(device):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(upload(array, torch.device(device)).cpu().numpy(), array)
    last = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    found = upload(last, torch.device(device))
    assert torch.equal(found.cpu(), last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.device.type == device
