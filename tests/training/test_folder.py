"""The folder of a training: what may be begun, joined, refused; its log, and TensorBoard's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from srcli.errors import CheckpointError, DataError, UsageError
from srcli.recipes.files import RECIPES
from srcli.training.checkpoint import Position, write_entry
from srcli.training.folder import EventFiles, RunFolder, RunRecord

G_IDRN, G_IDRN_SHORT = RECIPES["g-idrn"], RECIPES["g-idrn-short"]

RECORD = RunRecord(recipe_name="g-idrn", scale=2, seed=0, data="d", budget="9", threads=1)


def test_a_begun_folder_holds_recipe_and_record_and_no_old_log(tmp_path):
    folder = RunFolder(tmp_path / "a" / "b")
    folder.path.mkdir(parents=True)
    folder.log.write_text("old\n")
    folder.begin(G_IDRN, RECORD)
    assert json.loads(folder.recipe.read_text())["stages"][0]["batch"] == 32
    assert json.loads(folder.run.read_text())["data"] == "d"
    assert not folder.log.exists()
    folder.check(resume=False)  # no weights and no state: may be begun again


@pytest.mark.parametrize("name", ["state", "best", "last"])
def test_a_folder_with_a_training_is_only_resumed(tmp_path, name):
    folder = RunFolder(tmp_path)
    getattr(folder, name).touch()
    with pytest.raises(UsageError, match="--resume"):
        folder.check(resume=False)
    folder.check(resume=True)


def test_joining_keeps_budget_and_init_and_says_what_changed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, replace(RECORD, init="w"))
    joined, notes = folder.resume(G_IDRN, replace(RECORD, budget=None))
    assert (joined.budget, joined.init, notes) == ("9", "w", [])
    joined, notes = folder.resume(G_IDRN, replace(RECORD, budget="20", precision="bf16", threads=2))
    assert joined.budget == "20"
    assert len(notes) == 3
    _, notes = folder.resume(G_IDRN, replace(RECORD, budget="20", precision="bf16", threads=2))
    assert notes == []


def test_a_finished_training_takes_a_longer_budget_only(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, replace(RECORD, budget="60s"))
    before = folder.run.read_bytes()
    end = Position(stage=len(G_IDRN.stages), step=50, total=50, elapsed=60.1)
    for other in ("59s", "50"):
        with pytest.raises(UsageError, match=rf"--budget {other}: .* is finished after 50 iter"):
            folder.resume(G_IDRN, replace(RECORD, budget=other), finished=end)
    assert folder.run.read_bytes() == before
    for same in ("60s", "1m", None):
        assert folder.resume(G_IDRN, replace(RECORD, budget=same), finished=end)[1] == []
    for other, was in (("90s", "1m"), ("51", "90s")):
        merged, (note,) = folder.resume(G_IDRN, replace(RECORD, budget=other), finished=end)
        assert merged.budget == other
        assert f"the budget was {was} and is {other} now: the schedule is stretched" in note


@pytest.mark.parametrize("change", [{"scale": 3}, {"seed": 1}, {"data": "e"}, {"init": "v"}])
def test_another_training_is_not_joined(tmp_path, change):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    with pytest.raises(CheckpointError, match="holds another training"):
        folder.resume(G_IDRN, replace(RECORD, **change))


def test_another_recipe_is_not_joined_and_the_field_is_named(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    with pytest.raises(CheckpointError, match=r"stages\.0\.losses|stages\.0\.optimizer"):
        folder.resume(G_IDRN_SHORT, RECORD)


def test_a_recipe_stored_before_a_field_existed_is_still_the_same(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    stored = json.loads(folder.recipe.read_text())
    del stored["stages"][0]["optimizer"]["nesterov"]
    folder.recipe.write_text(json.dumps(stored))
    assert folder.resume(G_IDRN, RECORD)[1] == []
    stored["stages"][0]["optimizer"]["gone"] = 1
    folder.recipe.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"optimizer\.gone"):
        folder.resume(G_IDRN, RECORD)


def test_the_set_that_chooses_the_best_weights_stays(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    chosen = replace(RECORD, best_by="Set5 (abc)")
    folder.resume(G_IDRN, chosen)  # nothing chose before
    for other in (RECORD, replace(RECORD, best_by="Set14 (def)")):
        with pytest.raises(CheckpointError, match=r"Set5 \(abc\).*--validate"):
            folder.resume(G_IDRN, other)
    assert folder.resume(G_IDRN, chosen)[1] == []


@pytest.mark.parametrize("text", ["", "[]", '{"scale": 2}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    folder.run.write_text(text)
    with pytest.raises(DataError, match=r"run\.json"):
        folder.resume(G_IDRN, RECORD)


def test_one_training_at_a_time_writes_there(tmp_path):
    folder, same = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with folder.locked():
        with pytest.raises(UsageError, match="another training writes there; wait for it"):
            same.locked().__enter__()
        folder.begin(G_IDRN, RECORD)
    with same.locked():  # free again, though the file of the lock is there
        assert same.lock.is_file()
        same.check(resume=False)  # a lock is no training
        assert not same.check(resume=True)


def test_a_claim_that_nothing_was_written_under_leaves_nothing(tmp_path):
    with RunFolder(tmp_path / "a" / "b").locked():
        assert (tmp_path / "a" / "b").is_dir()
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "own.txt").touch()
    with RunFolder(tmp_path).locked():
        pass
    assert (tmp_path / "own.txt").is_file()


def test_what_cannot_be_claimed_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match=r"--out .*file: is a file"):
        RunFolder(file).locked().__enter__()
    with pytest.raises(DataError, match=r"--out .*run: cannot be written \(Not a directory\)"):
        RunFolder(file / "run").locked().__enter__()


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


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    file = tmp_path / "bad.jpg"
    file.touch()
    with pytest.raises(UsageError, match=r"--tensorboard .*bad\.jpg: is a file; give a folder"):
        EventFiles(file)
    with pytest.raises(DataError, match=r"--tensorboard .*below: cannot be written"):
        EventFiles(file / "below")


def test_a_place_that_is_lost_on_the_way_is_named(tmp_path):
    events = EventFiles(tmp_path / "events")
    (tmp_path / "events").rmdir()
    (tmp_path / "events").touch()
    with pytest.raises(DataError, match=r"--tensorboard .*events: cannot be written \("):
        events.write(train(50, 0.5))


def test_the_log_stays_valid_json_whatever_comes(tmp_path):
    log = tmp_path / "log.jsonl"
    write_entry(log, {"total": 1, "psnr": float("inf"), "loss": 0.5})
    line = json.loads(log.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert line == {"total": 1, "psnr": None, "loss": 0.5}
