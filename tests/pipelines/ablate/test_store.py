"""The store: parts of results come back as they were put; damage counts as missing."""

from __future__ import annotations

import json
import math

import pytest

from srcli.errors import DataError
from srcli.pipelines.ablate.results import Cost, MemoryUse, SetScores, Trained
from srcli.pipelines.ablate.store import COST, TRAINING, Store, StoredResult
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
