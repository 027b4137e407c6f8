"""Event files of TensorBoard, read back by TensorBoard itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srcli.errors import DataError, UsageError
from srcli.training.log import EventFiles, rewind, write_entry

PLACE = {"stage": 0, "step": 0, "elapsed": 1.0}


def train(total, loss):
    return {"event": "train", "total": total, "loss": loss, "rate": 1e-3, "iterations": 50, **PLACE}


def validation(total, **sets):
    return {"event": "validation", "total": total, "psnr": 30.0, "sets": sets, **PLACE}


def read(folder):
    """Values by tag: pairs of iteration and value."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def test_entries_become_curves_by_name_and_iteration(tmp_path):
    events = EventFiles(tmp_path / "events")
    events.write(train(50, 0.5))
    events.write(train(100, 0.25))
    events.write(validation(100, **{"held-out": 30.5, "Set5": 32.25}))
    events.close()
    found = read(tmp_path / "events")
    assert found["train/loss"] == [(50, 0.5), (100, 0.25)]
    assert found["train/rate"] == [(50, pytest.approx(1e-3)), (100, pytest.approx(1e-3))]
    assert found["validation/held-out"] == [(100, 30.5)]
    assert found["validation/Set5"] == [(100, 32.25)]
    assert len(found) == 4


def test_a_resumed_training_replaces_what_came_after_its_checkpoint(tmp_path):
    killed = EventFiles(tmp_path)
    for total in (50, 100, 150):
        killed.write(train(total, 9.0))
    killed.close()
    resumed = EventFiles(tmp_path)
    resumed.write(train(100, 1.0))
    resumed.close()
    assert read(tmp_path)["train/loss"] == [(50, 9.0), (100, 1.0)]


def test_nothing_is_made_before_there_is_something_to_write(tmp_path):
    EventFiles(tmp_path / "events").close()
    assert not (tmp_path / "events").exists()


def test_without_the_extra_one_line_tells_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        EventFiles(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    file = tmp_path / "bad.jpg"
    file.touch()
    with pytest.raises(UsageError, match=r"--tensorboard .*bad\.jpg: is a file; give a folder"):
        EventFiles(file)
    with pytest.raises(UsageError, match=r"--tensorboard .*below: .*bad\.jpg is a file"):
        EventFiles(file / "below")


@pytest.mark.skipif(sys.platform != "linux", reason="nobody may write in /proc")
def test_an_unwritable_place_is_refused_and_named():
    with pytest.raises(DataError, match=r"--tensorboard /proc/events: cannot be written \("):
        EventFiles(Path("/proc/events"))


def test_a_place_that_is_lost_on_the_way_is_named(tmp_path):
    events = EventFiles(tmp_path / "events")
    (tmp_path / "events").touch()
    with pytest.raises(DataError, match=r"--tensorboard .*events: cannot be written \("):
        events.write(train(50, 0.5))


def test_rewinding_drops_later_and_broken_lines(tmp_path):
    log = tmp_path / "log.jsonl"
    rewind(log, 3)  # nothing there: nothing to do
    for total in range(1, 6):
        write_entry(log, {"total": total})
    with log.open("ab") as file:
        file.write(b'{"total": 2, "loss": 0.')
    rewind(log, 3)
    assert [json.loads(line)["total"] for line in log.read_text().splitlines()] == [1, 2, 3]


def test_the_log_stays_valid_json_whatever_comes(tmp_path):
    log = tmp_path / "log.jsonl"
    write_entry(log, {"total": 1, "psnr": float("inf"), "loss": 0.5})
    line = json.loads(log.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert line == {"total": 1, "psnr": None, "loss": 0.5}
