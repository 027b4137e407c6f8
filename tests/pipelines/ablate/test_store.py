"""Parts of results and records of runs come back whole; damaged ones are left out or named."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, replace

import pytest

from srcli.errors import DataError
from srcli.pipelines.ablate.results import (
    COST,
    TRAINING,
    Cost,
    MemoryUse,
    SeedKeys,
    SetScores,
    StoredResult,
    Trained,
    VariantKeys,
)
from srcli.pipelines.ablate.store import (
    AblationRun,
    Store,
    load_results,
    put_run,
    read_runs,
)
from srcli.recipes.ablations import ABLATIONS
from srcli.recipes.files import plain_recipe, read_recipe
from srcli.recipes.table import RECIPES

MEASURED = Cost(
    parameters=7, macs=9, memory=(MemoryUse(size=(4, 5), peak=None, of="host", reason="little"),)
)
TRAINED = Trained(iterations=5, seconds=0.5, curves={"Set5": ((5, 30.5),)})
SCORES = SetScores(
    pictures={"cat": {"psnr": math.inf, "ssim": 1.0}}, seconds=None, left_out=("dog",), of=2
)


@pytest.fixture
def store(tmp_path):
    """A store in a folder that does not exist yet."""
    return Store(tmp_path / "new")


def file_of(store, key):
    return store.folder / "results" / key / "result.json"


def change(store, key, part, content):
    """Replace a part of a result by other plain values."""
    file = file_of(store, key)
    plain = json.loads(file.read_text(encoding="utf-8"))
    plain["parts"][part] = content
    file.write_text(json.dumps(plain), encoding="utf-8")


def test_parts_come_back_as_they_were_put(store):
    assert store.read("ab12") == StoredResult()
    for part, value in ((COST, MEASURED), (TRAINING, TRAINED), ("s1", SCORES)):
        assert not store.read("ab12").has(part)
        store.put("ab12", part, value)
        assert Store(store.folder).read("ab12").has(part)
    found = store.read("ab12")
    assert (found.cost, found.training, dict(found.scores)) == (MEASURED, TRAINED, {"s1": SCORES})
    assert dict(found.failures) == {}
    store.put("ab12", TRAINING, None)
    assert store.read("ab12") == StoredResult(cost=MEASURED, scores={"s1": SCORES})


def test_the_file_names_what_it_is_of(store):
    store.put("ab12", COST, MEASURED, "tiny/parts, with")
    plain = json.loads(file_of(store, "ab12").read_text(encoding="utf-8"))
    assert (plain["key"], plain["label"]) == ("ab12", "tiny/parts, with")


def test_a_failure_is_shown_until_the_part_is_there(store):
    store.put("ab12", COST, "out of memory")
    assert store.read("ab12") == StoredResult(failures={COST: "out of memory"})
    store.put("ab12", COST, MEASURED)
    assert store.read("ab12") == StoredResult(cost=MEASURED)


@pytest.mark.parametrize("damage", ["", "{", "[1]", "\xff", '{"x": 1}', '{"parts": 3}'])
def test_a_damaged_file_counts_as_none(store, damage):
    store.put("ab12", COST, MEASURED)
    file_of(store, "ab12").write_bytes(damage.encode("latin-1"))
    assert store.read("ab12") == StoredResult()
    store.put("ab12", TRAINING, TRAINED)
    assert store.read("ab12") == StoredResult(training=TRAINED)


@pytest.mark.parametrize(
    ("part", "change_of"),
    [
        (COST, {"parameters": None}),
        (COST, {"memory": 3}),
        (COST, {"memory": [{"size": [4], "peak": 3, "of": "host"}]}),
        (COST, {"memory": [{"size": [4, 5]}]}),
        (TRAINING, {"iterations": math.inf}),
        (TRAINING, {"curves": [1]}),
        (TRAINING, {"curves": {"Set5": [[5]]}}),
        ("s1", {"pictures": {}}),
        ("s1", {"pictures": {"cat": {"psnr": 1.0}}}),
        ("s1", {"pictures": {"cat": 1.0}}),
        ("s1", {"seconds": "long"}),
    ],
)
def test_a_wrong_field_loses_its_part_alone(store, part, change_of):
    for name, value in ((COST, MEASURED), (TRAINING, TRAINED), ("s1", SCORES)):
        store.put("ab12", name, value)
    plain = json.loads(file_of(store, "ab12").read_text(encoding="utf-8"))["parts"][part]
    change(store, "ab12", part, {**plain, **change_of})
    found = store.read("ab12")
    assert [found.has(each) for each in (COST, TRAINING, "s1")] == [
        each != part for each in (COST, TRAINING, "s1")
    ]


@pytest.mark.parametrize("other", [{}, {"x": 1}, {"failure": "broken"}, 3, None])
def test_other_values_are_no_part(store, other):
    store.put("ab12", COST, MEASURED)
    for part in (COST, TRAINING, "s1"):
        change(store, "ab12", part, other)
    found = store.read("ab12")
    assert (found.cost, found.training, dict(found.scores)) == (None, None, {})


def test_recipes_can_be_trained_from(store):
    file = store.put_recipe("ab12", RECIPES["attentive-gan-short"])
    assert plain_recipe(read_recipe(file)) == plain_recipe(RECIPES["attentive-gan-short"])
    assert file.name == "attentive-gan-variant.json"


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "results").write_text("a file", encoding="utf-8")
    with pytest.raises(DataError, match=r"--store .*: cannot be written"):
        Store(tmp_path).put("ab12", COST, MEASURED)


def test_weights_are_there_or_not(store):
    assert store.weights("t") is None
    store.put("t", TRAINING, TRAINED)
    assert store.weights("t") is None
    store.training("t").mkdir(parents=True)
    (store.training("t") / "last.safetensors").touch()
    assert store.weights("t") == store.training("t") / "last.safetensors"
    store.put("t", TRAINING, None)
    assert store.weights("t") is None
    store.put("t", "s1", SCORES)
    store.drop_training("t")
    assert not store.training("t").exists()
    assert store.read("t").has("s1")
    with pytest.raises(DataError, match="--store"):
        store.drop_training("t")


def test_one_process_computes_a_result(store):
    with store.lock("t") as own, store.lock("t") as other, store.lock("u") as another:
        assert (own, other, another) == (True, False, True)
    with store.lock("t") as own:
        assert own


ONE_STEP = Trained(iterations=1, seconds=None, curves={})


def scores(psnr=30.0):
    return SetScores(pictures={"cat": {"psnr": psnr, "ssim": 0.9}}, seconds=None, of=1)


def run_of(ablation, conditions):
    keys = tuple(
        VariantKeys(
            cost=f"cost {i}",
            seeds=(SeedKeys(seed=0, training=f"training {i}", scores={"Set5": f"scores {i}"}),),
        )
        for i in range(len(ablation.variants))
    )
    return AblationRun(ablation=ablation, conditions=conditions, keys=keys)


@pytest.mark.parametrize("name", list(ABLATIONS))
def test_every_ablation_of_the_table_survives_json(name, written, tmp_path):
    record = run_of(ABLATIONS[name], written.conditions)
    put_run(Store(tmp_path), record)
    (found,) = read_runs(Store(tmp_path))
    assert json.dumps(asdict(replace(found, written=0.0))) == json.dumps(asdict(record))


def test_results_hold_what_is_there(written, tmp_path):
    store = Store(tmp_path)
    memory = (MemoryUse(size=(4, 5), peak=None, of="host", reason="too little"),)
    store.put("cost 0", COST, Cost(parameters=7, macs=9, memory=memory))
    store.put("cost 1", COST, "out of memory")
    store.put(
        "training 0",
        TRAINING,
        Trained(iterations=5, seconds=0.5, curves={"Set5": ((5, 30.5),)}),
    )
    store.put("training 0", "scores 0", scores(31.0))
    store.put("training 1", TRAINING, "diverged")
    store.put("training 1", "scores 1", scores(1.0))
    store.put("training 2", TRAINING, Trained(iterations=5, seconds=None, curves={}))
    store.put("training 2", "scores 2", "no pictures")
    found = run_of(written.ablation, written.conditions).result(store)
    first, second, third, last = found.variants
    assert first.cost is not None
    assert (first.cost.parameters, first.cost.memory[0].size) == (7, (4, 5))
    assert first.seeds[0].curves == {"Set5": ((5, 30.5),)}
    assert first.seeds[0].scores["Set5"].mean("psnr") == 31.0
    assert (second.cost, second.cost_failure) == (None, "out of memory")
    assert (second.seeds[0].failure, dict(second.seeds[0].scores)) == ("diverged", {})
    assert third.seeds[0].failure == "Set5: no pictures"
    assert (third.seeds[0].iterations, last.seeds[0].iterations) == (5, None)
    assert found.failures == [
        "middle, costs: out of memory",
        "middle, seed 0: diverged",
        "large, seed 0: Set5: no pictures",
    ]


def record(written, **conditions):
    keys = tuple(
        VariantKeys(cost=f"c{i}", seeds=(SeedKeys(seed=0, training=f"t{i}", scores={"Set5": "s"}),))
        for i in range(len(written.variants))
    )
    return AblationRun(
        ablation=written.ablation, conditions=replace(written.conditions, **conditions), keys=keys
    )


def test_a_run_comes_back_whole(tmp_path, written):
    store = Store(tmp_path)
    put_run(store, record(written))
    (found,) = read_runs(store)
    assert found == record(written)


def test_the_newest_run_counts_and_one_that_trained_before_one_that_did_not(
    tmp_path, written, monkeypatch
):
    store, clock = Store(tmp_path), iter(range(9))
    monkeypatch.setattr(time, "time", lambda: next(clock))
    put_run(store, record(written, budget="10"))
    put_run(store, record(written, budget="20"))
    put_run(store, record(written, trained=False))
    (found,) = load_results(tmp_path)
    assert found.conditions.budget == "20"
    every = read_runs(store)
    assert sorted(r.conditions.trained for r in every) == [False, True, True]
    put_run(store, record(written, budget="10", seeds=5))  # the same conditions: it replaces
    (found,) = load_results(tmp_path)
    assert (found.conditions.budget, found.conditions.seeds) == ("10", 5)
    assert len(read_runs(store)) == 3


def test_names_choose(tmp_path, written):
    store = Store(tmp_path)
    for name in ("b/two", "a/one"):
        own = replace(written, ablation=replace(written.ablation, name=name))
        put_run(store, record(own))
    assert [r.ablation.name for r in load_results(tmp_path)] == ["a/one", "b/two"]
    assert [r.ablation.name for r in load_results(tmp_path, ["b/two", "c"])] == ["b/two"]
    assert load_results(tmp_path / "nothing") == []


OLD = '{"written": 1, "ablation": {}, "conditions": {}, "keys": []}'


@pytest.mark.parametrize("change", ["{", "[]", '{"written": 1}', OLD])
def test_a_damaged_run_is_named(tmp_path, written, change):
    store = Store(tmp_path)
    put_run(store, record(written))
    (file,) = (tmp_path / "runs").iterdir()
    file.write_text(change, encoding="utf-8")
    with pytest.raises(DataError, match=rf"{file.name}: not a run of this version .*delete it"):
        load_results(tmp_path)


def test_a_run_with_an_unknown_field_is_named(tmp_path, written):
    store = Store(tmp_path)
    put_run(store, record(written))
    (file,) = (tmp_path / "runs").iterdir()
    content = json.loads(file.read_text(encoding="utf-8"))
    content["conditions"]["moon"] = "full"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="moon"):
        load_results(tmp_path)


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
            store.put(seed.training, TRAINING, ONE_STEP)
            store.put(seed.training, seed.scores["Set5"], scores())


def test_a_smaller_run_hides_no_results(tmp_path, written):
    store, larger = Store(tmp_path), seeded(written, 2)
    put_run(store, larger)
    fill(store, larger, seeds=2)
    put_run(store, seeded(written, 1))
    (found,) = load_results(tmp_path)
    assert (found.conditions.seeds, found.missing) == (2, 0)
    put_run(store, seeded(written, 3))  # as many results, and more seeds
    assert load_results(tmp_path)[0].conditions.seeds == 3


def test_a_run_that_has_come_to_nothing_yet_hides_no_results(tmp_path, written):
    store, former = Store(tmp_path), seeded(written, 1)
    put_run(store, former)
    fill(store, former, seeds=1)
    other = seeded(written, 1, code="new")
    put_run(store, other)
    assert read_runs(store) == [former]
    fill(store, other, seeds=1)
    put_run(store, other)
    assert read_runs(store) == [other]


def test_another_question_under_the_same_name_replaces_the_former(tmp_path, written):
    store, former = Store(tmp_path), seeded(written, 2)
    put_run(store, former)
    fill(store, former, seeds=2)
    fewer = replace(written.ablation, variants=written.ablation.variants[:2])
    other = replace(seeded(written, 1), ablation=fewer, keys=former.keys[:2])
    put_run(store, other)
    assert read_runs(store) == [other]


def test_what_was_set_tells_results_apart(tmp_path, written):
    store = Store(tmp_path)
    sets = [("ema_decay=0.5",), ("ema_decay=0.9",), ()]
    for overrides in sets:
        put_run(store, seeded(written, 1, overrides=overrides))
    found = load_results(tmp_path)
    assert sorted(result.conditions.overrides for result in found) == sorted(sets)
    assert {result.ablation.name for result in found} == {written.ablation.name}


@pytest.mark.parametrize("content", ["xx", "{}", '{"written": 1}'])
def test_a_damaged_run_is_left_out_where_somebody_is_told(tmp_path, written, content):
    store = Store(tmp_path)
    warnings: list[str] = []
    put_run(store, record(written))
    (tmp_path / "runs" / "other-12345678.json").write_text(content)
    (found,) = load_results(tmp_path, warn=warnings.append)
    assert found.ablation == written.ablation
    (line,) = warnings
    assert "other-12345678.json" in line
    assert "\n" not in line


def test_a_run_whose_variants_and_keys_differ_is_damaged(tmp_path, written):
    store = Store(tmp_path)
    put_run(store, record(written))
    (file,) = (tmp_path / "runs").iterdir()
    content = json.loads(file.read_text(encoding="utf-8"))
    content["keys"].pop()
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=f"{file.name}: not a run"):
        load_results(tmp_path)
    put_run(store, record(written))
    assert read_runs(store) == [record(written)]
