"""Curves and times out of the log of a training."""

from __future__ import annotations

import json

import pytest

from srcli.pipelines.ablate.results import Trained, read_training


def test_curves_by_set_and_the_median_time(tmp_path):
    entries = [
        {"event": "train", "total": 50, "per_second": 10.0},
        {"event": "validation", "total": 50, "sets": {"held-out": 30.5, "Set5": 31.0}},
        {"event": "train", "total": 100, "per_second": 8.0},
        {"event": "train", "total": 150, "per_second": 2.0, "iterations": 50},
        {"event": "train", "total": 151, "per_second": 0.1, "iterations": 1},
        {"event": "train", "total": 152, "per_second": 0.1, "iterations": 1},
        {"event": "validation", "total": 150, "sets": {"held-out": 31.5, "Set5": None}},
    ]
    file = tmp_path / "log.jsonl"
    lines = [json.dumps(entry) for entry in entries]
    file.write_text("\n".join([*lines, "[]", '{"event": "val']), encoding="utf-8")
    log = read_training(file, 152)
    assert log.curves == {"held-out": ((50, 30.5), (150, 31.5)), "Set5": ((50, 31.0),)}
    assert log.iterations == 152
    assert log.seconds == pytest.approx(1 / 8)


def test_no_log_tells_nothing(tmp_path):
    assert read_training(tmp_path / "log.jsonl", 3) == Trained(
        iterations=3, curves={}, seconds=None
    )
