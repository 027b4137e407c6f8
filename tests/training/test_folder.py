"""The folder of a training: what may be begun, joined, refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from srcli.errors import CheckpointError, DataError, UsageError
from srcli.recipes.files import RECIPES
from srcli.training.folder import RunFolder, RunRecord, file_digest
from srcli.training.state import Position

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
    with pytest.raises(UsageError, match=r"is finished; --init .*last.safetensors --out NEW"):
        folder.resume(G_IDRN, replace(RECORD, budget="90s"), finished=replace(end, step=0))
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


def test_another_number_of_processes_is_told_of(tmp_path):
    folder = RunFolder(tmp_path)
    folder.begin(G_IDRN, RECORD)
    _, (note,) = folder.resume(G_IDRN, replace(RECORD, processes=2))
    assert "processes was 1 and is 2" in note


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


def test_a_digest_follows_the_content(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    assert file_digest(a) != file_digest(b)
    b.write_bytes(b"1")
    assert file_digest(a) == file_digest(b)
    with pytest.raises(DataError, match="cannot be read"):
        file_digest(tmp_path / "c")


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
