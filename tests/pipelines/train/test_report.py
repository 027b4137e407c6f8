"""The page of a training shows its log while it runs."""

from __future__ import annotations

import time
from typing import Any

import pytest

from srcli.pipelines.train import report
from srcli.training.folder import RunFolder, write_entry

COMMON: dict[str, Any] = {"stage": 0, "elapsed": 60.0}


@pytest.fixture
def write(tmp_path):
    """Log two entries of an iteration, and give them to a page."""
    folder = RunFolder(tmp_path)
    page = report.ReportPage(folder, "tiny ×2")

    def call(total):
        train = {"event": "train", "total": total, "step": total, **COMMON, "loss": 1 / total}
        train |= {"rate": 1e-3, "per_second": 2.0, "iterations": 100}
        sets = {"held-out": 30 + total / 100, "<Set5>": 31.0}
        validation = {"event": "validation", "total": total, "step": total, **COMMON}
        validation |= {"psnr": sets["held-out"], "sets": sets, "best": total < 200}
        for entry in (train, validation):
            write_entry(folder.log, entry)
            page.write(entry)
        return page

    return call


def test_the_page_has_a_curve_for_loss_rate_and_each_set_and_grows(write, tmp_path, monkeypatch):
    write(100)
    assert not (tmp_path / "report.html").exists()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + report.LEAST_SECONDS)
    page = write(200)
    text = (tmp_path / "report.html").read_text()
    assert 'http-equiv="refresh"' in text
    page.close()
    text = (tmp_path / "report.html").read_text()
    headings = ("Validation: held-out, PSNR-Y in dB", "Loss", "Learning rate")
    assert sorted(headings, key=text.index) == [*headings]
    for part in ("tiny ×2", "200 iterations, 1 min", "iteration 100: held-out 31.000 dB", "Set5"):
        assert part in text
    assert "refresh" not in text
    assert "Set5>" not in text.replace("&lt;Set5&gt;", "")
    assert "per_second" not in text


def test_a_page_that_cannot_be_written_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(report, "LEAST_SECONDS", -1)
    report.ReportPage(RunFolder(tmp_path / "gone"), "").write({"event": "validation"})
    assert "report.html cannot be written" in caplog.text
