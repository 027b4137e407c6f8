"""Rows come back late from a GPU, in order and complete; from a processor at once."""

from __future__ import annotations

import numpy as np
import torch

from srcli.inference import band as module
from srcli.inference.band import Downloads

ROWS = [(top, torch.full((2, 3, 1), top, dtype=torch.uint8)) for top in (0, 2, 4)]


def test_rows_of_a_processor_come_back_at_once():
    copies = Downloads(torch.device("cpu"))
    for top, rows in ROWS:
        ((found, pixels),) = copies.exchange([(top, rows)])
        assert found == top
        np.testing.assert_array_equal(pixels, rows.numpy())
    assert copies.finish() == []


def test_rows_of_a_gpu_come_back_with_the_next_ones(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"stream of {device}")
    monkeypatch.setattr(
        module, "start_copy", lambda piece, stream: (piece.clone(), lambda: waited.append(stream))
    )
    copies = Downloads(torch.device("cuda"))
    empty = np.zeros((2, 3, 1), np.uint8)  # rows without pixels are not of the device
    got = [copies.exchange(rows) for rows in (ROWS[:2], [(6, empty)], ROWS[2:])]
    assert [[top for top, _ in rows] for rows in (*got, copies.finish())] == [[], [0, 2], [6], [4]]
    assert got[1][1][1].max() == 2
    assert waited == ["stream of cuda"] * 3
