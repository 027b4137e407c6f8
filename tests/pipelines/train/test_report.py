"""The page of a training shows its log while it runs."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srcli.pipelines.train import report
from srcli.pipelines.train.pictures import ProgressPictures
from srcli.training.folder import RunFolder, append_log_entry

COMMON: dict[str, Any] = {"stage": 0, "elapsed": 60.0}


def write(folder, page, total, *, validated=True):
    """Log the entries of an iteration, and tell a page of them."""
    train = {
        "event": "train",
        "total": total,
        "step": total,
        **COMMON,
        "loss": 1 / total,
    }
    train |= {"rate": 1e-3, "per_second": 2.0, "iterations": 100}
    sets = {"held-out": 30 + total / 100, "<Set5>": 31.0}
    validation = {"event": "validation", "total": total, "step": total, **COMMON}
    validation |= {"psnr": sets["held-out"], "sets": sets, "best": total < 200}
    for entry in (train, validation) if validated else (train,):
        append_log_entry(folder.log, entry)
        page(entry)


def test_the_page_has_a_curve_for_loss_rate_and_each_set_and_grows(
    tmp_path, monkeypatch
):
    folder = RunFolder(tmp_path)
    with report.report_page(folder, "tiny ×2") as page:
        write(folder, page, 100)
        assert not (tmp_path / "report.html").exists()
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + report.LEAST_SECONDS)
        write(folder, page, 200)
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert 'http-equiv="refresh"' in text
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    headings = ("Validation: held-out, PSNR-Y in dB", "Loss", "Learning rate")
    assert sorted(headings, key=text.index) == [*headings]
    for fragment in (
        "tiny ×2",
        "200 iterations, 1 min",
        "iteration 100: held-out 31.000 dB",
        "Set5",
    ):
        assert fragment in text
    assert "refresh" not in text
    assert "Set5>" not in text.replace("&lt;Set5&gt;", "")
    assert "per_second" not in text


class Pictures(ProgressPictures):
    """Stands in for the pictures of a training: its GIF, and what bicubic reaches."""

    def __init__(self, file) -> None:
        self.file = file
        self.bicubic = {"held-out": 30.25, "<Set5>": 29.5}

    def write(self) -> None:
        """Write the GIF."""
        self.file.write_bytes(b"GIF89a turns")


def test_curves_have_titles_a_line_for_bicubic_and_the_turns_beside_them(tmp_path):
    folder = RunFolder(tmp_path)
    pictures = Pictures(tmp_path / "progress.gif")
    with report.report_page(folder, "tiny ×2", pictures) as page:
        start = {"event": "validation", "total": 0, "step": 0, **COMMON}
        start |= {"psnr": 30.5, "sets": {"held-out": 30.5}, "best": True}
        append_log_entry(folder.log, start)
        write(folder, page, 100)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    turns = base64.b64encode(b"GIF89a turns").decode()
    assert f"data:image/gif;base64,{turns}" in text
    charts = []
    for encoded in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", text):
        charts.append(base64.b64decode(encoded).decode())
    other_set, held_out, loss, rate = charts
    for chart, title in (
        (held_out, "PSNR-Y in dB"),
        (loss, "loss"),
        (rate, "Learning rate"),
    ):
        assert f">{title}<" in chart
        assert ">iteration<" in chart
    assert "bicubic, 30.250 dB" in held_out
    assert "the start, 30.500 dB" in held_out
    assert "bicubic, 29.500 dB" in other_set
    assert "bicubic" not in loss + rate


def test_a_training_that_is_resumed_near_its_end_has_a_page(tmp_path):
    folder = RunFolder(tmp_path)
    with report.report_page(folder, "tiny ×2") as page:
        write(folder, page, 100)  # after a minute, most of it in a run before this one
    assert "100 iterations, 1 min" in (tmp_path / "report.html").read_text(
        encoding="utf-8"
    )


def test_a_training_without_validation_has_a_page(tmp_path):
    folder = RunFolder(tmp_path)
    with report.report_page(folder, "tiny ×2") as page:
        write(folder, page, 100, validated=False)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Learning rate" in text
    assert "Validation:" not in text


def test_a_training_of_seconds_needs_no_page(tmp_path, monkeypatch):
    monkeypatch.setitem(COMMON, "elapsed", 5.0)
    folder = RunFolder(tmp_path)
    with report.report_page(folder, "tiny ×2") as page:
        write(folder, page, 100)
    assert not (tmp_path / "report.html").exists()


def test_a_page_that_cannot_be_written_does_not_end_the_training(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(report, "LEAST_SECONDS", -1)
    with report.report_page(RunFolder(tmp_path / "gone"), "") as write:
        write({"event": "validation"})
    assert "report.html and its pictures cannot be written" in caplog.text


def test_a_training_that_is_stopped_before_its_first_entry_has_a_page(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(report, "LEAST_SECONDS", -1)
    with report.report_page(RunFolder(tmp_path), "tiny ×2"):
        pass
    assert "tiny ×2" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not caplog.text


def values(folder):
    """Values by tag of TensorBoard: pairs of iteration and value."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_a_resumed_training_replaces_what_came_after_its_checkpoint(tmp_path):
    common = {"event": "train", "step": 0, "rate": 1e-3, "iterations": 50, **COMMON}
    for totals, loss in (((50, 100, 150), 9.0), ((100,), 1.0)):
        with report.event_files(tmp_path) as write:
            for total in totals:
                write({"total": total, "loss": loss, **common})
    assert values(tmp_path)["train/loss"] == [(50, 9.0), (100, 1.0)]
    assert values(tmp_path).keys() == {"train/loss", "train/rate"}
