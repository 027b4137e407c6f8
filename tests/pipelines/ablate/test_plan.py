"""Variants become units, whose keys know all that decides them and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.data.training_set import DataSelection, find_split
from srcli.errors import ModelError, RecipeError
from srcli.evaluation.sets import find_set
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import load_model
from srcli.pipelines.ablate import plan as plans
from srcli.pipelines.ablate.plan import (
    AblationPlan,
    check_files,
    checked_recipes,
    cost_key,
    data_digest,
    key_of,
    score_key,
    set_digest,
    training_key,
)
from srcli.pipelines.ablate.results import COST, TRAINING, Cost, SetScores, Trained
from srcli.pipelines.ablate.store import Store
from srcli.pipelines.ablate.units import AblateOptions, BicubicUnit, CostUnit, TrainingUnit
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train
from srcli.ports.progress import NoProgress
from srcli.recipes.ablations import ABLATIONS
from srcli.recipes.files import apply_overrides, plain_recipe
from srcli.recipes.table import RECIPES
from tests.fixtures.ablations import ABLATION_FILE

MEASURED = Cost(parameters=1, macs=1, memory=())
TRAINED = Trained(iterations=1, seconds=None, curves={})
SCORES = SetScores(pictures={"cat": {"psnr": 30.0, "ssim": 0.9}}, seconds=None, of=1)


@pytest.fixture
def planned(written, faces, tmp_path):
    """Plan an ablation."""

    def plan(ablation, *, conditions=None, sets=("Faces",), **changes):
        options = replace(
            AblateOptions(data=(faces,), store=tmp_path / "store", device="cpu"), **changes
        )
        own = replace(
            written.conditions, seeds=options.seeds, trained=options.train, **(conditions or {})
        )
        found = {name: (str(faces), find_set(str(faces), ablation.scale)) for name in sets}
        plan = AblationPlan()
        plan.add(ablation, checked_recipes(ablation), options, own, found)
        return plan

    return plan


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ABLATIONS))
def test_every_ablation_of_the_table_can_be_planned(planned, name):
    plan = planned(ABLATIONS[name])
    assert len(plan.trainings) == len(ABLATIONS[name].variants)
    assert {unit.scale for unit in plan.trainings.values()} == {ABLATIONS[name].scale}


def test_costs_come_first_then_seed_after_seed(planned, tiny, tmp_path):
    units = planned(tiny, seeds=2).missing(Store(tmp_path / "store"))
    assert [(type(unit), getattr(unit, "seed", None)) for unit in units] == [
        (BicubicUnit, None),
        (CostUnit, None),
        (CostUnit, None),
        *[(TrainingUnit, 0)] * 3,
        *[(TrainingUnit, 1)] * 3,
    ]
    assert units[3].label == "tiny/parts, with, seed 0"


@pytest.mark.parametrize(
    "change",
    [
        {"budget": "70"},
        {"precision": "bf16"},
        {"conditions": {"data_digest": "other"}},
    ],
)
def test_what_decides_a_training_changes_its_key(planned, tiny, change):
    before, after = planned(tiny), planned(tiny, **change)
    assert not before.trainings.keys() & after.trainings.keys()
    assert before.costs.keys() == after.costs.keys()


def test_the_weights_of_a_teacher_decide_a_training(planned, tiny, small_teacher):
    taught = replace(tiny.variants[1], changes={"stages.0.distillation": str(small_teacher)})
    ablation = replace(tiny, variants=(tiny.variants[0], taught))
    base, before = planned(ablation).trainings
    tensors, info = read_weights(small_teacher)
    assert info is not None
    save_weights(small_teacher, {k: v * 0.5 for k, v in tensors.items()}, info)
    assert [key == base for key in planned(ablation).trainings] == [True, False]
    assert before not in planned(ablation).trainings


@pytest.mark.parametrize("change", [{"threads": 3}, {"processes": 2}, {"seeds": 4}])
def test_what_decides_no_training_leaves_its_key(planned, tiny, change):
    assert planned(tiny).trainings.keys() <= planned(tiny, **change).trainings.keys()


def test_words_about_a_variant_leave_its_key(planned, tiny):
    other = replace(
        tiny,
        name="another/name",
        source="elsewhere",
        variants=tuple(replace(v, sentence="other", published={}) for v in tiny.variants),
    )
    assert planned(tiny).trainings.keys() == planned(other).trainings.keys()


def test_more_sets_measure_and_do_not_train_again(planned, tiny, tmp_path):
    store = Store(tmp_path / "store")
    plan = planned(tiny)
    for key, unit in plan.trainings.items():
        store.put(key, TRAINING, TRAINED)
        for each in unit.measure:
            store.put(key, each.key, SCORES)
    for key in plan.costs:
        store.put(key, COST, MEASURED)
    for key, unit in plan.bicubic.items():
        for each in unit.measure:
            store.put(key, each.key, SCORES)
    assert plan.missing(store) == []
    rgb = planned(replace(tiny, protocol="rgb"))
    missing = rgb.missing(store)
    assert [unit.key for unit in missing] == [*plan.bicubic, *plan.trainings]
    assert [[each.protocol for each in unit.measure] for unit in missing] == [["rgb"]] * 4


def test_what_has_failed_is_made_again(planned, tiny, tmp_path):
    store = Store(tmp_path / "store")
    plan = planned(tiny)
    for key in plan.costs:
        store.put(key, COST, "broken")
    first, second, third = plan.trainings.values()
    for unit, training, scores in ((first, "broken", SCORES), (second, TRAINED, "broken")):
        store.put(unit.key, TRAINING, training)
        store.put(unit.key, unit.measure[0].key, scores)
    store.put(third.key, TRAINING, TRAINED)
    store.put(third.key, third.measure[0].key, SCORES)
    missing = plan.missing(store)
    assert [unit.key for unit in missing] == [*plan.bicubic, *plan.costs, first.key, second.key]
    assert [len(unit.measure) for unit in missing[-2:]] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages.0.losses.0.name": "l9"}, r"no loss 'l9' in the recipe; did you mean 'l"),
        (
            {"stages.0.losses.0.name": "l2", "stages.0.losses.0.options.foo": 1},
            r"no option 'foo' in loss l2; it takes none",
        ),
        ({"stages.0.attention_weight": 1.0}, r"has no attention maps"),
        ({"stages.0.distillation": "ddsr"}, r"distillation: ddsr works on Y, the network on RGB"),
    ],
)
def test_losses_are_checked_before_anything_trains(tiny, changes, message):
    wrong = replace(tiny.variants[1], changes=changes)
    ablation = replace(tiny, variants=(tiny.variants[0], wrong))
    with pytest.raises(RecipeError, match=rf"^tiny/parts, variant 'without': .*{message}"):
        checked_recipes(ablation)


def test_a_budget_below_the_number_of_stages_is_refused_at_once(tiny):
    more = replace(tiny.variants[1], changes={"stages.1.batch": 3})
    ablation = replace(tiny, variants=(tiny.variants[0], more))
    assert [len(each.stages) for each in checked_recipes(ablation, budget="2")] == [1, 2]
    with pytest.raises(RecipeError, match=r"variant 'without': budget 1: fewer iterations than"):
        checked_recipes(ablation, budget="1")


@pytest.mark.parametrize("changes", [{"network.anrb": True}, {"paper": "another"}])
def test_a_variant_that_spells_out_what_is_done_anyway_is_refused(tiny, changes):
    same = replace(tiny.variants[1], changes=changes)
    ablation = replace(tiny, variants=(replace(tiny.variants[0], changes={}), same))
    with pytest.raises(RecipeError, match=r"^tiny/parts: variants 'with' and 'without' are the sa"):
        checked_recipes(ablation)


def test_without_training_there_are_costs_alone(planned, tiny):
    plan = planned(tiny, train=False)
    assert plan.trainings == {}
    assert [keys.seeds for keys in plan.runs[0].keys] == [()] * 3


@pytest.fixture
def file(tmp_path):
    """A file with one ablation."""
    path = tmp_path / "my.toml"
    path.write_text(ABLATION_FILE)
    return path


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (('"l1"', '"l9"'), RecipeError, "no loss 'l9'"),
        (("losses.0.name", "losses.0.options.foo"), RecipeError, "no option 'foo' in loss"),
        (('"stages.0.losses.0.name"', '"network.wings"'), ModelError, "no option 'wings'"),
    ],
)
def test_what_cannot_be_trained_names_file_ablation_and_variant(file, change, kind, message):
    file.write_text(ABLATION_FILE.replace(*change))
    with pytest.raises(kind, match=message) as caught:
        check_files([str(file)])
    text = str(caught.value)
    assert text.startswith(f"{file}: mine, variant 'b': ")
    assert text.count(str(file)) == 1


def test_pictures_and_their_division_decide_the_digest_of_the_data(pictures, tmp_path):
    def digest(folder, **options):
        return data_digest(find_split(DataSelection(data=(folder,), **options), NoProgress()))

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
    "setting", ["stages.0.batch=7", "network.channels=24", "degradation=photo"]
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
    monkeypatch.setattr(plans, "TRAINING_VERSION", -1)
    trained = all_keys()
    assert [a == b for a, b in zip(before, trained, strict=True)] == [False, True, True]
    monkeypatch.setattr(plans, "evaluation_version", lambda: "another")
    measured = all_keys()
    assert [a == b for a, b in zip(trained, measured, strict=True)] == [True, False, False]


SMALL = {
    "g-idrn": ("channels=12", "group_width=4", "num_blocks=2", "num_groups=1"),
    "rrlfn": ("channels=12", "num_blocks=2"),
    "ddsr": ("depth=4",),
    "attentive-gan": ("channels=16", "steps=2", "num_rdb=1", "mapping_depth=2"),
    "nested-attn": ("channels=16", "levels=2"),
}
CASES = {
    "g-idrn-short": ("x2",),
    "g-idrn-muon": ("x3", "stages.0.distillation=bicubic"),
    "rrlfn": (
        "x2",
        "stages.0.vary_levels=0.5",
        "ema_decay=0.999",
        *(f"stages.{i}.augmentation=d8" for i in range(3)),
    ),
    "ddsr": (
        "x2",
        "stages.0.optimizer.kind=sgd",
        "stages.0.optimizer.nesterov=true",
        "stages.0.optimizer.clip_norm=0.1",
        "stages.0.vary_levels=0.5",
        "stages.0.augmentation=d8",
        "stages.0.patch_stride=1",
        "ema_decay=0.999",
    ),
    "attentive-gan": (
        "x4",
        "start_from_bicubic=true",
        "ema_decay=0.999",
        *(f"stages.{i}.augmentation=d8" for i in range(2)),
        "stages.1.attention_weight=0.1",
        'stages.1.adversarial.options={"widths": [8, 16], "strides": [1, 2], "decoder": [8]}',
    ),
    "attentive-gan-adversarial": (
        "x4",
        'stages.0.adversarial.options={"widths": [8, 16]}',
    ),
    "nested-attn": (
        "x2",
        "stages.0.optimizer.kind=adamw",
        "degradation=photo",
        "start_from_bicubic=true",
        "ema_decay=0.999",
        "stages.0.augmentation=d8",
    ),
}


STORED = {  # losses by stage, best PSNR, then mean, deviation and one value of an SR picture
    "g-idrn-short": [0.035641, 36.759367, 0.452506, 0.247016, 0.287052],
    "g-idrn-muon": [0.029806, 44.60266, 0.450873, 0.244387, 0.172707],
    "rrlfn": [0.530822, 0.522245, 0.523352, 7.496148, 0.020445, 0.114296, -0.140188],
    "ddsr": [0.289475, 6.915125, -0.00566, 0.012953, -0.013503],
    "attentive-gan": [0.093321, 0.106016, 40.406968, 0.417574, 0.237865, 0.128807],
    "attentive-gan-adversarial": [0.532806, 7.473376, 0.000605, 0.099734, -0.086525],
    "nested-attn": [0.019878, 47.790538, 0.460295, 0.249097, 0.276454],
}


@pytest.mark.parametrize("name", list(CASES))
def test_trainings_give_the_stored_numbers(name, tmp_path):
    scale, *settings = CASES[name]
    model, stages = RECIPES[name].model, range(len(RECIPES[name].stages))
    settings += [f"network.{option}" for option in SMALL[model]]
    settings += [f"stages.{i}.{size}" for i in stages for size in ("batch=2", "patch=12")]
    found = numbers_of_training(apply_overrides(RECIPES[name], settings), int(scale[1:]), tmp_path)
    assert found == pytest.approx(STORED[name], rel=2e-4, abs=2e-5), (
        "trainings give other numbers: if that is meant, raise TRAINING_VERSION in "
        "srcli/training/__init__.py and store the new numbers here (if only a recipe of the table "
        "has changed, just store them)"
    )


def numbers_of_training(recipe, scale, folder):
    """Train for three iterations on two pictures made of waves."""
    y, x = np.mgrid[0:64, 0:72]
    for name, period in (("a", 7.0), ("b", 11.0)):
        waves = [np.sin(y / period), np.cos(x / 5.0), np.sin((x + y) / 3.0)]
        picture = 127.5 + 60 * np.stack(waves, axis=2) + 60 * (waves[0] * waves[1])[..., None]
        Image.fromarray(picture.round().astype(np.uint8)).save(folder / f"{name}.png")
    file = folder / "recipe.json"
    file.write_text(json.dumps(plain_recipe(recipe)))
    options = TrainOptions(
        recipe=str(file),
        scale=scale,
        data=(folder,),
        out=folder / "out",
        hold_out=("b",),
        budget="3",
        device="cpu",
        precision="fp32",
        threads=1,
    )
    result = train(options)
    entries = [json.loads(line) for line in (options.out / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in entries if entry["event"] == "train"]
    network = load_model(str(options.out / "last.safetensors"), scale)
    lr_image = torch.linspace(0, 1, 16 * 20).sin().reshape(1, 1, 16, 20)
    with torch.inference_mode():
        sr = network(lr_image.repeat(1, network.input_channels, 1, 1))
    return [*losses, result.best, float(sr.mean()), float(sr.std()), float(sr[0, 0, 9, 9])]
