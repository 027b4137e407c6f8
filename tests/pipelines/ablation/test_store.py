"""The folder of results: what goes in comes out, damage and failures are told."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from srcli.errors import DataError
from srcli.pipelines.ablation.record import AblationRun, SeedKeys, VariantKeys
from srcli.pipelines.ablation.store import Store, load_results
from srcli.recipes.files import plain_recipe, read_recipe
from srcli.recipes.table import RECIPES


def record(written, **conditions):
    keys = tuple(
        VariantKeys(cost=f"c{i}", seeds=(SeedKeys(seed=0, training=f"t{i}", scores={"Set5": "s"}),))
        for i in range(len(written.variants))
    )
    return AblationRun(
        ablation=written.ablation, conditions=replace(written.conditions, **conditions), keys=keys
    )


def test_figures_are_kept_by_key(tmp_path):
    store = Store(tmp_path / "new")
    assert store.get("ab12") == {}
    assert not store.has("ab12")
    store.put("ab12", {"value": [1, 2.5, None]})
    assert Store(tmp_path / "new").get("ab12") == {"value": [1, 2.5, None]}
    assert store.has("ab12")


def test_failures_are_shown_and_made_again(tmp_path):
    store = Store(tmp_path)
    store.put("ab12", {"failure": "out of memory"})
    assert store.get("ab12") == {"failure": "out of memory"}
    assert not store.has("ab12")


@pytest.mark.parametrize("damage", ["", "{", "[1]", "\xff"])
def test_a_damaged_figure_counts_as_none(tmp_path, damage):
    store = Store(tmp_path)
    store.put("ab12", {"value": 1})
    (file,) = tmp_path.rglob("ab12.json")
    file.write_bytes(damage.encode("latin-1"))
    assert store.get("ab12") == {}
    assert not store.has("ab12")


def test_recipes_can_be_trained_from(tmp_path):
    store = Store(tmp_path)
    file = store.put_recipe(RECIPES["attentive-gan-short"])
    assert plain_recipe(read_recipe(file)) == plain_recipe(RECIPES["attentive-gan-short"])
    assert store.put_recipe(RECIPES["attentive-gan-short"]) == file
    assert store.put_recipe(RECIPES["attentive-gan"]) != file


def test_a_run_comes_back_whole(tmp_path, written):
    store = Store(tmp_path)
    store.put_run(record(written))
    (found,) = store.runs()
    assert found == record(written)


def test_the_newest_run_counts_and_one_that_trained_before_one_that_did_not(
    tmp_path, written, monkeypatch
):
    store, clock = Store(tmp_path), iter(range(9))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    store.put_run(record(written, budget="10"))
    store.put_run(record(written, budget="20"))
    store.put_run(record(written, trained=False))
    (found,) = load_results(tmp_path)
    assert found.conditions.budget == "20"
    every = load_results(tmp_path, every=True)
    assert sorted(r.conditions.trained for r in every) == [False, True, True]
    store.put_run(record(written, budget="10", seeds=5))  # the same conditions: it replaces
    (found,) = load_results(tmp_path)
    assert (found.conditions.budget, found.conditions.seeds) == ("10", 5)
    assert len(load_results(tmp_path, every=True)) == 3


def test_names_choose(tmp_path, written):
    store = Store(tmp_path)
    for name in ("b/two", "a/one"):
        own = replace(written, ablation=replace(written.ablation, name=name))
        store.put_run(record(own))
    assert [r.ablation.name for r in load_results(tmp_path)] == ["a/one", "b/two"]
    assert [r.ablation.name for r in load_results(tmp_path, ["b/two", "c"])] == ["b/two"]
    assert load_results(tmp_path / "nothing") == []


@pytest.mark.parametrize("change", ["{", "[]", '{"written": 1}'])
def test_a_damaged_run_is_named(tmp_path, written, change):
    store = Store(tmp_path)
    store.put_run(record(written))
    (file,) = (tmp_path / "runs").iterdir()
    file.write_text(change, encoding="utf-8")
    with pytest.raises(DataError, match=rf"{file.name}: not a run of this version .*delete it"):
        load_results(tmp_path)


def test_a_run_with_an_unknown_field_is_named(tmp_path, written):
    store = Store(tmp_path)
    store.put_run(record(written))
    (file,) = (tmp_path / "runs").iterdir()
    content = json.loads(file.read_text(encoding="utf-8"))
    content["conditions"]["moon"] = "full"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="moon"):
        load_results(tmp_path)


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "figures").write_text("a file", encoding="utf-8")
    with pytest.raises(DataError, match=r"--store .*: cannot be written"):
        Store(tmp_path).put("ab12", {"value": 1})
