"""Pixel losses by hand."""

from __future__ import annotations

import pytest
import torch

from srcli.losses.pixel import L1Loss, L2Loss

SR = torch.tensor([0.0, 0.5, 1.0, 0.25]).reshape(1, 1, 2, 2)
HR = torch.tensor([0.1, 0.5, 0.6, 0.75]).reshape(1, 1, 2, 2)


def test_l1_is_the_mean_of_distances():
    assert float(L1Loss()(SR, HR)) == pytest.approx((0.1 + 0 + 0.4 + 0.5) / 4)


def test_l2_is_the_mean_of_squares():
    assert float(L2Loss()(SR, HR)) == pytest.approx((0.01 + 0 + 0.16 + 0.25) / 4)
