"""Networks are built without numbers where these are not looked at."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def _no_numbers(monkeypatch):
    """Draw no weights, which takes seconds: parameters are only counted."""
    for layer in (torch.nn.Linear, torch.nn.modules.conv._ConvNd):
        monkeypatch.setattr(layer, "reset_parameters", lambda _: None)
