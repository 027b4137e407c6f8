"""The folder of results: what goes in comes out, damage and failures are told."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from srcli.errors import DataError
from srcli.pipelines.ablate.record import AblationRun, SeedKeys, VariantKeys
from srcli.pipelines.ablate.store import Store, load_results
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


COST = {"parameters": 1, "macs": 1, "memory": []}
TRAINED: dict[str, Any] = {"iterations": 1, "seconds": None, "curves": {}}
SCORES = {"pictures": {"cat": {"psnr": 30.0, "ssim": 0.9}}, "seconds": None}


def seeded(written, seeds, *, code="", **conditions):
    """A record with a training for every seed, whose keys know the code."""
    keys = tuple(
        VariantKeys(
            cost=f"c{i}{code}",
            seeds=tuple(
                SeedKeys(seed=n, training=f"t{i}{n}{code}", scores={"Set5": f"s{i}{n}{code}"})
                for n in range(seeds)
            ),
        )
        for i in range(len(written.variants))
    )
    own = replace(written.conditions, seeds=seeds, sets=("Set5",), **conditions)
    return AblationRun(ablation=written.ablation, conditions=own, keys=keys)


def fill(store, record, *, seeds):
    """Make a store look as if some seeds of a run had been trained and measured."""
    for each in record.keys:
        for seed in each.seeds[:seeds]:
            store.put(seed.training, TRAINED)
            store.put(seed.scores["Set5"], SCORES)


def test_a_smaller_run_hides_no_results(tmp_path, written):
    store, larger = Store(tmp_path), seeded(written, 2)
    store.put_run(larger)
    fill(store, larger, seeds=2)
    store.put_run(seeded(written, 1))
    (found,) = load_results(tmp_path)
    assert (found.conditions.seeds, found.missing) == (2, 0)
    store.put_run(seeded(written, 3))  # as many results, and more seeds
    assert load_results(tmp_path)[0].conditions.seeds == 3


def test_a_run_that_has_come_to_nothing_yet_hides_no_results(tmp_path, written):
    store, former = Store(tmp_path), seeded(written, 1)
    store.put_run(former)
    fill(store, former, seeds=1)
    other = seeded(written, 1, code="new")
    store.put_run(other)
    assert store.runs() == [former]
    fill(store, other, seeds=1)
    store.put_run(other)
    assert store.runs() == [other]


def test_another_question_under_the_same_name_replaces_the_former(tmp_path, written):
    store, former = Store(tmp_path), seeded(written, 2)
    store.put_run(former)
    fill(store, former, seeds=2)
    fewer = replace(written.ablation, variants=written.ablation.variants[:2])
    other = replace(seeded(written, 1), ablation=fewer, keys=former.keys[:2])
    store.put_run(other)
    assert store.runs() == [other]


def test_what_was_set_tells_results_apart(tmp_path, written):
    store = Store(tmp_path)
    sets = [("ema_decay=0.5",), ("ema_decay=0.9",), ()]
    for overrides in sets:
        store.put_run(seeded(written, 1, overrides=overrides))
    found = load_results(tmp_path)
    assert sorted(result.conditions.overrides for result in found) == sorted(sets)
    assert {result.ablation.name for result in found} == {written.ablation.name}


@pytest.mark.parametrize("content", ["xx", "{}", '{"written": 1}'])
def test_a_damaged_run_is_left_out_where_somebody_is_told(tmp_path, written, content):
    store = Store(tmp_path)
    warnings: list[str] = []
    store.put_run(record(written))
    (tmp_path / "runs" / "other-12345678.json").write_text(content)
    (found,) = load_results(tmp_path, warn=warnings.append)
    assert found.ablation == written.ablation
    (line,) = warnings
    assert "other-12345678.json" in line
    assert "\n" not in line


def test_a_run_whose_variants_and_keys_differ_is_damaged(tmp_path, written):
    store = Store(tmp_path)
    store.put_run(record(written))
    (file,) = (tmp_path / "runs").iterdir()
    content = json.loads(file.read_text(encoding="utf-8"))
    content["keys"].pop()
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=f"{file.name}: not a run"):
        load_results(tmp_path)
    store.put_run(record(written))
    assert store.runs() == [record(written)]


def test_weights_are_there_or_not(tmp_path):
    store = Store(tmp_path)
    assert store.weights("t") is None
    store.put("t", TRAINED)
    assert store.weights("t") is None
    store.training("t").mkdir(parents=True)
    (store.training("t") / "last.safetensors").touch()
    assert store.weights("t") == store.training("t") / "last.safetensors"
    store.forget("t")
    assert store.weights("t") is None
    store.forget("t")
    store.drop_training("t")
    assert not store.training("t").exists()
    with pytest.raises(DataError, match="--store"):
        store.drop_training("t")
