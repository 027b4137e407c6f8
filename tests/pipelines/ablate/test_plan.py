"""Every variant becomes units, whose keys know all that decides them; bad files are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srcli.errors import ModelError, RecipeError
from srcli.evaluation.sets import find_set
from srcli.models.weights import read_weights, save_weights
from srcli.pipelines.ablate.options import AblateOptions
from srcli.pipelines.ablate.plan import AblationPlan, check_files, checked_recipes
from srcli.pipelines.ablate.results import Cost, SetScores, Trained
from srcli.pipelines.ablate.store import COST, TRAINING, Store
from srcli.pipelines.ablate.work import CostUnit, TrainingUnit
from srcli.recipes.ablations import ABLATIONS

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
        (CostUnit, None),
        (CostUnit, None),
        *[(TrainingUnit, 0)] * 3,
        *[(TrainingUnit, 1)] * 3,
    ]
    assert units[2].label == "tiny/parts, with, seed 0"


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
    assert plan.missing(store) == []
    rgb = planned(replace(tiny, protocol="rgb"))
    missing = rgb.missing(store)
    assert [unit.key for unit in missing] == list(plan.trainings)
    assert [[each.protocol for each in unit.measure] for unit in missing] == [["rgb"]] * 3


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
    assert [unit.key for unit in missing] == [*plan.costs, first.key, second.key]
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


FILE = """
[[ablation]]
name = "mine"
question = "Which loss?"
recipe = "ddsr-short"
scale = 2
base = "a"
changes = { "network.depth" = 2 }
[[ablation.variants]]
name = "a"
sentence = "as it is"
[[ablation.variants]]
name = "b"
sentence = "other"
changes = { "stages.0.losses.0.name" = "l1" }
"""


@pytest.fixture
def file(tmp_path):
    """A file with one ablation."""
    path = tmp_path / "my.toml"
    path.write_text(FILE)
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
    file.write_text(FILE.replace(*change))
    with pytest.raises(kind, match=message) as caught:
        check_files([str(file)])
    text = str(caught.value)
    assert text.startswith(f"{file}: mine, variant 'b': ")
    assert text.count(str(file)) == 1
