"""Uploads give the same numbers on every device, in the layout that they had."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcli.layers.upload import upload


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_numbers_and_layout_are_kept(device):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(upload(array, torch.device(device)).cpu().numpy(), array)
    last = torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    found = upload(last, torch.device(device))
    assert torch.equal(found.cpu(), last)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.device.type == device
