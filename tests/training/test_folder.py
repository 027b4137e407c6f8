"""The folder of a training: what may be begun, joined, refused; its log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srcli.errors import CheckpointError, DataError, UsageError
from srcli.recipes.files import RECIPES
from srcli.training.folder import (
    Position,
    RunFolder,
    RunRecord,
    append_log_entry,
    read_state,
    write_state,
)
from tests.fixtures.progress import Notes

G_IDRN = RECIPES["g-idrn"]

RECORD = RunRecord(
    recipe_name="g-idrn", scale=2, seed=0, data="d", budget="9", threads=1
)


def begun(path, record=RECORD, position=None):
    """A folder with a checkpoint."""
    folder = RunFolder(path)
    folder.write_settings(G_IDRN, record, {})
    write_state(folder.state, position or Position(), {})
    return folder


def joined(folder, **changes):
    """The record to go on with, and what is warned of."""
    notes = Notes()
    record = folder.resumed_record(G_IDRN, replace(RECORD, **changes), notes)
    folder.write_settings(G_IDRN, record, {})
    return record, notes.warnings


def test_a_begun_folder_holds_recipe_and_record_and_no_old_log(tmp_path):
    folder = RunFolder(tmp_path / "a" / "b")
    folder.path.mkdir(parents=True)
    folder.log.write_text("old\n")
    folder.write_settings(G_IDRN, RECORD, {"scale": 2})
    assert json.loads(folder.recipe.read_text())["stages"][0]["batch"] == 32
    assert json.loads(folder.run.read_text())["data"] == "d"
    assert json.loads(folder.options.read_text()) == {"scale": 2}
    assert not folder.log.exists()
    folder.has_checkpoint(resume=False)  # no weights and no state: may be begun again


def test_a_checkpoint_is_not_held_open_by_the_tensors_read_from_it(tmp_path):
    file = tmp_path / "state.safetensors"
    write_state(file, Position(total=7), {"a": torch.arange(2.0**16)})
    position, tensors = read_state(file)
    assert (position.total, float(tensors["a"][-1])) == (7, 2.0**16 - 1)
    if Path("/proc/self/maps").exists():  # elsewhere the next line alone tells
        assert file.name not in Path("/proc/self/maps").read_text()
    write_state(file, Position(), tensors)  # Windows replaces no file that is mapped


def test_joining_keeps_budget_and_init_and_says_what_changed(tmp_path):
    folder = begun(tmp_path, replace(RECORD, init="w"))
    record, notes = joined(folder, budget=None)
    assert (record.budget, record.init, notes) == ("9", "w", [])
    changes = {"budget": "20", "precision": "bf16", "threads": 2}
    record, notes = joined(folder, **changes)
    assert (record.budget, len(notes)) == ("20", 3)
    assert joined(folder, **changes)[1] == []


def test_a_finished_training_takes_a_longer_budget_only(tmp_path):
    end = Position(stage=len(G_IDRN.stages), step=50, total=50, elapsed=60.1)
    folder = begun(tmp_path, replace(RECORD, budget="60s"), end)
    for budget in ("59s", "50"):
        with pytest.raises(
            UsageError, match=rf"--budget {budget}: .* is finished after 50 iter"
        ):
            joined(folder, budget=budget)
    for same in ("60s", "1m", None):
        assert joined(folder, budget=same)[1] == []
    for budget, was in (("90s", "1m"), ("51", "90s")):
        record, (note,) = joined(folder, budget=budget)
        assert record.budget == budget
        assert (
            f"the budget was {was} and is {budget} now: the schedule is that of the new"
            in note
        )


def test_a_recipe_stored_before_a_field_existed_is_still_the_same(tmp_path):
    folder = begun(tmp_path)
    stored = json.loads(folder.recipe.read_text())
    del stored["stages"][0]["optimizer"]["nesterov"]
    folder.recipe.write_text(json.dumps(stored))
    assert joined(folder)[1] == []
    stored["stages"][0]["optimizer"]["gone"] = 1
    folder.recipe.write_text(json.dumps(stored))
    with pytest.raises(
        CheckpointError, match=r"no field 'gone' in stages\.0\.optimizer"
    ):
        joined(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"scale": 2}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    folder = begun(tmp_path)
    folder.run.write_text(text)
    with pytest.raises(DataError, match=r"run\.json"):
        joined(folder)


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
    with pytest.raises(
        DataError, match=r"run.*: cannot be written \(Not a directory\)"
    ):
        RunFolder(file / "run").locked().__enter__()


def test_the_log_stays_valid_json_whatever_comes(tmp_path):
    log = tmp_path / "log.jsonl"
    append_log_entry(log, {"total": 1, "psnr": float("inf"), "loss": 0.5})
    line = json.loads(log.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert line == {"total": 1, "psnr": None, "loss": 0.5}
