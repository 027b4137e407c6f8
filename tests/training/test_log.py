"""Meter and log file."""

from __future__ import annotations

import json

import pytest
import torch

from srcli.errors import InferenceError
from srcli.training.log import AverageMeter, LogFile


def test_the_meter_gives_the_mean_since_the_last_report():
    meter = AverageMeter()
    assert meter.take() is None
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(value), "k_t": torch.tensor(value / 10)})
    news = meter.take()
    assert news is not None
    assert news.means == pytest.approx({"loss": 3.0, "k_t": 0.3})
    assert news.per_second > 0
    assert news.iterations == 3
    assert meter.take() is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_meter_refuses_what_is_not_finite(value):
    meter = AverageMeter()
    meter.add({"loss": torch.tensor(1.0), "M": torch.tensor(value)})
    with pytest.raises(InferenceError, match="diverged"):
        meter.take()


def test_rewinding_drops_later_and_broken_lines(tmp_path):
    log = LogFile(tmp_path / "log.jsonl")
    log.rewind(3)  # nothing there: nothing to do
    for total in range(1, 6):
        log.write({"total": total})
    with log.path.open("ab") as file:
        file.write(b'{"total": 2, "loss": 0.')
    log.rewind(3)
    assert [json.loads(line)["total"] for line in log.path.read_text().splitlines()] == [1, 2, 3]


def test_the_log_stays_valid_json_whatever_comes(tmp_path):
    log = LogFile(tmp_path / "log.jsonl")
    log.write({"total": 1, "psnr": float("inf"), "loss": 0.5})
    line = json.loads(log.path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert line == {"total": 1, "psnr": None, "loss": 0.5}
