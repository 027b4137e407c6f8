"""Keys change with everything that decides a result, and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from srcli.data.training_set import DataOptions, find_split
from srcli.evaluation.sets import find_set
from srcli.pipelines.ablate import keys
from srcli.pipelines.ablate.keys import (
    cost_key,
    data_digest,
    key_of,
    score_key,
    set_digest,
    training_key,
)
from srcli.ports.progress import NoProgress
from srcli.recipes.overrides import apply_overrides
from srcli.recipes.table import RECIPES


def test_pictures_and_their_division_decide_the_digest_of_the_data(pictures, tmp_path):
    def digest(folder, **options):
        return data_digest(find_split(DataOptions(paths=(folder,), **options), NoProgress()))

    first = digest(pictures)
    assert digest(pictures) == first
    assert digest(pictures, hold_out=("bbb",)) != first
    assert digest(pictures, hold_out=("bbb",)) != digest(pictures, hold_out=("ccc",))
    assert digest(pictures, exclude=("ggg",)) != first
    for file in pictures.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert digest(tmp_path) == first  # where they lie does not count
    (tmp_path / "ccc.png").write_bytes(b"broken")
    assert digest(tmp_path) != first


def test_pictures_decide_the_digest_of_a_set(faces, tmp_path):
    for file in faces.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert set_digest(find_set(str(tmp_path), 2)) == set_digest(find_set(str(faces), 2))
    Image.new("RGB", (40, 40)).save(tmp_path / "aaa.png")
    assert set_digest(find_set(str(tmp_path), 2)) != set_digest(find_set(str(faces), 2))
    assert set_digest(find_set("built-in", 2)) != set_digest(find_set(str(faces), 2))


def test_a_key_knows_every_part():
    keys = {key_of(a=1, b="x"), key_of(a=1, b="y"), key_of(a="1", b="x"), key_of(b="x")}
    assert len(keys) == 4
    assert key_of(b="x", a=1) in keys
    assert {len(key) for key in keys} == {32}


RECIPE = RECIPES["g-idrn-short"]


@pytest.mark.parametrize(
    "setting", ["stages.0.batch=7", "network.channels=24", "ema_decay=0.5", "degradation=photo"]
)
def test_every_field_of_a_recipe_decides_a_training(setting):
    other = apply_overrides(RECIPE, [setting])
    assert training_key(other, 2, 0) != training_key(RECIPE, 2, 0)


def test_scale_seed_and_conditions_decide_a_training():
    made = {training_key(RECIPE, s, n, data=d) for s in (2, 3) for n in (0, 1) for d in "ab"}
    assert len(made) == 8
    assert all(key.startswith(("g-idrn-x2-seed", "g-idrn-x3-seed")) for key in made)


def test_defaults_that_are_spelled_out_and_sources_decide_nothing():
    wordy = replace(RECIPE, paper="elsewhere", network={**RECIPE.network, "anrb": True})
    assert training_key(wordy, 2, 0) == training_key(RECIPE, 2, 0)
    assert cost_key(wordy, 2) == cost_key(RECIPE, 2)


def test_costs_are_of_the_network_alone():
    other = apply_overrides(RECIPE, ["stages.0.batch=7"])
    assert cost_key(other, 2) == cost_key(RECIPE, 2)
    assert cost_key(RECIPE, 2, threads=1) != cost_key(RECIPE, 2, threads=2)
    assert cost_key(apply_overrides(RECIPE, ["network.channels=24"]), 2) != cost_key(RECIPE, 2)


def test_versions_decide(monkeypatch):
    def all_keys():
        return training_key(RECIPE, 2, 0), cost_key(RECIPE, 2), score_key("t", "Set5", "y", "p")

    before = all_keys()
    monkeypatch.setattr(keys, "TRAINING_VERSION", keys.TRAINING_VERSION + 1)
    trained = all_keys()
    assert [a == b for a, b in zip(before, trained, strict=True)] == [False, True, True]
    monkeypatch.setattr(keys, "code_digest", lambda: "another")
    measured = all_keys()
    assert [a == b for a, b in zip(trained, measured, strict=True)] == [True, False, False]
