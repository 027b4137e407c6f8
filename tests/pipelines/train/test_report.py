"""The page of a training shows its log while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from srcli.pipelines.train import report
from srcli.training.folder import RunFolder
from srcli.training.log import EventFiles, write_entry

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_the_page_has_a_curve_for_loss_rate_and_each_set(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    told: list[Mapping[str, Any]] = []

    events = EventFiles(tmp_path / "events")
    monkeypatch.setattr(events, "write", told.append)
    write = report.report_writer(folder, events)
    common: dict[str, Any] = {"stage": 0, "elapsed": 1.0}
    for total in (100, 200):
        entry = {"event": "train", "total": total, "step": total, **common, "loss": 1 / total}
        write_entry(folder.log, entry | {"rate": 1e-3, "per_second": 2.0, "iterations": 100})
        entry = {"event": "validation", "total": total, "step": total, **common}
        entry |= {"sets": {"held-out": 30 + total / 100, "<Set5>": 31.0}}
        write_entry(folder.log, entry)
        write(entry)
        assert (tmp_path / "report.html").exists() == (total == 200)
        monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    assert len(told) == 2
    page = (tmp_path / "report.html").read_text()
    for part in ("Learning rate", "Loss", "Validation, PSNR in dB", "&lt;Set5&gt;", "200 iterat"):
        assert part in page
    assert "Set5>" not in page.replace("&lt;Set5&gt;", "")
    assert "per_second" not in page


def test_a_page_that_cannot_be_written_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(report, "FIRST_SECONDS", -1)
    report.report_writer(RunFolder(tmp_path / "gone"), None)({"event": "validation"})
    assert "report.html cannot be written" in caplog.text
