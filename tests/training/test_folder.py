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


def test_a_recipe_stored_before_a_field_existed_is_still_the_same(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    stored = json.loads(folder.recipe.read_text())
    del stored["stages"][0]["optimizer"]["nesterov"]
    former = {"attention_weight": 0.0, "distillation": None, "vary_levels": 0.0}
    stored["stages"][0] |= former
    folder.recipe.write_text(json.dumps(stored))
    assert folder.resume(G_IDRN, RECORD)[1] == []
    stored["stages"][0]["optimizer"]["gone"] = 1
    folder.recipe.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"no field 'gone' in stages\.0\.optimizer"):
        folder.resume(G_IDRN, RECORD)


@pytest.mark.parametrize("text", ["", "[]", '{"scale": 2}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    folder.run.write_text(text)
    with pytest.raises(DataError, match=r"run\.json"):
        folder.resume(G_IDRN, RECORD)


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


def read(folder):
    """Values by tag: pairs of iteration and value."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


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
    for place in (file, file / "below"):
        with pytest.raises(DataError, match=rf"--tensorboard {place}: cannot be made \("):
            EventFiles(place)


def test_the_log_stays_valid_json_whatever_comes(tmp_path):
    log = tmp_path / "log.jsonl"
    write_entry(log, {"total": 1, "psnr": float("inf"), "loss": 0.5})
    line = json.loads(log.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert line == {"total": 1, "psnr": None, "loss": 0.5}
