"""Whole runs of a tiny ablation: alike, in order, only what is missing, whatever fails."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from srcli.errors import DataError, ModelError, RecipeError, UsageError
from srcli.pipelines.ablate import plan
from srcli.pipelines.ablate.plan import AblationPlan
from srcli.pipelines.ablate.results import COST, TRAINING, Cost, SetScores, StoredResult, Trained
from srcli.pipelines.ablate.run import run_ablations, run_missing
from srcli.pipelines.ablate.store import Store, load_results
from srcli.pipelines.ablate.units import (
    AblateOptions,
    BicubicUnit,
    CostUnit,
    Measurement,
    TrainingUnit,
)
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.executors.processes import SerialExecutor
from srcli.pipelines.train.options import TrainOptions
from srcli.pipelines.train.run import train
from srcli.ports.executor import Place, UnitResult
from srcli.recipes.files import plain_recipe
from srcli.recipes.table import RECIPES


class Recorder(SerialExecutor):
    """Notes the units; does them, unless told not to."""

    def __init__(self, *, idle=False):
        super().__init__(Place(device="cpu", threads=1))
        self.units = []
        self.idle = idle

    def run(self, work, units, *, progress, stop, shared=()):
        self.units += units
        if not self.idle:
            yield from super().run(work, units, progress=progress, stop=stop)


def kind(unit):
    return {BicubicUnit: "bicubic", CostUnit: "cost"}.get(type(unit), "training")


def labels(units):
    return [(kind(unit), unit.label) for unit in units]


def test_every_variant_is_trained_and_measured(ran, faces):
    result = ran.result
    assert result.conditions.sets == ("Faces",)
    assert result.conditions.missing == ("nowhere",)
    assert (result.conditions.pictures, result.conditions.held_out) == (6, 1)
    for name in ("with", "without"):
        each = result.of(name)
        assert [seed.seed for seed in each.seeds] == [0, 1]
        assert [seed.iterations for seed in each.seeds] == [6, 6]
        for seed in each.seeds:
            assert sorted(seed.scores["Faces"].pictures) == ["aaa", "bbb", "ccc"]
            assert [at for at, _ in seed.curves["Faces"]][-1] == 6
            assert set(seed.curves) == {"Faces"}  # nothing is measured for no use
    assert result.base.cost.parameters - result.of("without").cost.parameters == 3 * 9 + 2 * 8
    assert result.base.cost.memory[0].size == (24, 32)


def test_a_variant_that_diverges_is_a_row_that_says_so(ran):
    seeds = ran.result.of("too fast").seeds
    assert [seed.failure for seed in seeds] == [
        "the training has diverged: the loss or a weight is not a finite number"
    ] * 2
    assert ran.result.missing == 2
    assert len(ran.result.failures) == 2
    assert sum("too fast" in text for text in ran.notes.warnings) == 2


def test_more_seeds_do_only_what_is_missing(ran):
    # Two costs, as two variants have the same network, and all trainings but the failed one.
    assert "5 of 9 results are there already" in ran.notes.messages
    trained = [label for label, _, _ in ran.notes.tasks if "stage" in label]
    assert [label.partition(":")[0] for label in trained] == [
        "tiny/parts, too fast, seed 0",
        "tiny/parts, with, seed 1",
        "tiny/parts, without, seed 1",
        "tiny/parts, too fast, seed 1",
    ]


def test_it_is_the_training_of_srx_train_and_the_scores_of_srx_eval(ran, faces, tmp_path):
    recorder = Recorder(idle=True)
    run_ablations([ran.result.ablation], replace(ran.options, store=tmp_path), executor=recorder)
    unit = next(u for u in recorder.units if u.label == "tiny/parts, without, seed 1")
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(plain_recipe(unit.recipe)))
    options = TrainOptions(
        recipe=str(recipe),
        scale=2,
        data=ran.options.data,
        out=tmp_path / "alone",
        seed=1,
        budget="6",
        precision="fp32",
        device="cpu",
        threads=1,
    )
    alone = train(options).weights.with_name("last.safetensors")
    folder = ran.options.store / "results" / unit.key / "training"
    stored = folder / "last.safetensors"
    assert not (folder / "best.safetensors").exists()  # nothing is chosen: all end alike
    own, other = load_file(alone), load_file(stored)
    assert own.keys() == other.keys()
    assert all(torch.equal(own[key], other[key]) for key in own)
    measured = evaluate(
        [str(alone)], [str(faces)], scales=(2,), options=EvalOptions(metrics=("psnr", "ssim"))
    )
    found = ran.result.of("without").seeds[1].scores["Faces"].pictures
    assert {s.picture: s.values for s in measured.scores} == found


def test_all_variants_see_the_same_batches_for_each_seed(ran):
    first, second, _, _, third, fourth, *_ = ran.batches  # between them the one that diverges
    assert len(set(first)) == len(first) == 6
    assert first == second
    assert third == fourth
    assert not set(first) & set(third)


def test_a_setting_reaches_every_training_and_makes_it_another(ran, tiny, options):
    plain, changed = Recorder(idle=True), Recorder(idle=True)
    run_ablations([tiny], options, executor=plain)
    own = replace(options, overrides=("stages.0.optimizer.beta1=0.8",))
    (result,) = run_ablations([tiny], own, executor=changed)
    assert result.conditions.overrides == own.overrides
    trainings = [unit for unit in changed.units if kind(unit) == "training"]
    assert {unit.recipe.stages[0].optimizer.beta1 for unit in trainings} == {0.8}
    assert not {u.key for u in trainings} & {u.key for u in plain.units}


def test_the_same_again_does_nothing_but_retry_what_failed(ran):
    recorder = Recorder(idle=True)
    (result,) = run_ablations([ran.result.ablation], ran.options, executor=recorder)
    assert labels(recorder.units) == [
        ("training", "tiny/parts, too fast, seed 0"),
        ("training", "tiny/parts, too fast, seed 1"),
    ]
    assert result == ran.result
    assert load_results(ran.options.store) == [result]


def test_other_code_makes_everything_anew(ran, monkeypatch):
    monkeypatch.setattr(plan, "TRAINING_VERSION", -1)
    recorder = Recorder(idle=True)
    run_ablations(
        [ran.result.ablation], replace(ran.options, seeds=1, budget="7"), executor=recorder
    )
    monkeypatch.setattr(plan, "TRAINING_VERSION", -2)
    again = Recorder(idle=True)
    run_ablations([ran.result.ablation], replace(ran.options, seeds=1, budget="7"), executor=again)
    kinds = [kind for kind, _ in labels(again.units)]
    assert kinds == ["training"] * 3  # costs are of the network alone
    assert not {u.key for u in recorder.units} & {u.key for u in again.units}


def test_a_stopped_run_goes_on_where_it_was(ran, tiny, options):
    pair = replace(tiny, variants=tiny.variants[:2])
    asked = iter(range(1000))
    questions = 2 + 1 + 4  # before both costs and the training, then after its fifth iteration
    (result,) = run_ablations([pair], options, stop=lambda: next(asked) >= questions)
    assert result.missing == 2
    assert result.failures == []
    (file,) = (options.store / "results").glob("*/training/log.jsonl")
    log = [json.loads(line) for line in file.read_text().splitlines()]
    assert log[-1]["total"] < 6
    recorder = Recorder()
    (result,) = run_ablations([pair], options, executor=recorder)
    assert labels(recorder.units)[0] == ("training", "tiny/parts, with, seed 0")
    assert result.missing == 0
    for name in ("with", "without"):
        own, whole = (each.of(name).measured("Faces")[0].pictures for each in (result, ran.result))
        assert own == whole


def test_without_training_costs_come_at_once(tiny, options):
    bare = replace(options, data=(), train=False)
    (result,) = run_ablations([tiny], bare)
    assert result.missing == 0
    assert [each.seeds for each in result.variants] == [()] * 3
    (recorded,) = run_ablations([replace(tiny, memory_gradients=True)], bare)
    for plain, graph in zip(result.variants, recorded.variants, strict=True):
        assert graph.cost is not None
        assert plain.cost is not None
        assert graph.cost.parameters == plain.cost.parameters
        assert (graph.cost.memory[0].peak or 0) > (plain.cost.memory[0].peak or 0) > 0


def test_a_dead_process_is_a_row_that_says_so(tiny, options, notes):
    class Dying(Recorder):
        def run(self, work, units, *, progress, stop, shared=()):
            for i in range(len(units)):
                yield UnitResult(index=i, result=None, failure="its process was killed")

    (result,) = run_ablations([tiny], options, progress=notes, executor=Dying())
    assert [each.cost_failure for each in result.variants] == ["its process was killed"] * 3
    assert [each.seeds[0].failure for each in result.variants] == ["its process was killed"] * 3
    assert "tiny/parts, with: its process was killed" in notes.warnings


def test_a_process_that_dies_while_measuring_keeps_its_training(ran, tiny, tmp_path, faces):
    other = faces.parent / "Others"
    other.mkdir()
    (other / "one.png").write_bytes((faces / "aaa.png").read_bytes())

    class Dying(Recorder):
        def run(self, work, units, *, progress, stop, shared=()):
            self.units += units
            for i in range(len(units)):
                yield UnitResult(index=i, result=None, failure="died")

    dying = Dying()
    wider = replace(ran.options, seeds=1, sets=(str(faces), str(other)))
    (result,) = run_ablations([tiny], wider, executor=dying)
    assert [len(u.measure) for u in dying.units] == [1, 1, 1, 2]
    seed = result.base.seeds[0]
    assert (seed.iterations, seed.failure) == (6, "Others: died")
    assert list(seed.scores) == ["Faces"]


@pytest.mark.slow
def test_processes_come_to_the_same(ran, tiny, options, notes):
    two = replace(options, processes=2)
    pair = replace(tiny, variants=tiny.variants[:2])
    (result,) = run_ablations([pair], two, progress=notes)
    assert result.missing == 0
    for name in ("with", "without"):
        own, here = (each.of(name).measured("Faces")[0].pictures for each in (result, ran.result))
        assert own == here
        assert result.of(name).cost == ran.result.of(name).cost
    assert notes.warnings == []
    assert {"tiny/parts, with, seed 0: stage 1/1"} <= {label for label, _, _ in notes.closed}


def test_what_two_ablations_share_is_done_once(tiny, options):
    twin = replace(tiny, name="tiny/twin", variants=tiny.variants[:2], base="without")
    recorder = Recorder(idle=True)
    results = run_ablations([tiny, twin], options, executor=recorder)
    assert [kind(unit) for unit in recorder.units] == ["bicubic", "cost", "cost", *["training"] * 3]
    assert [result.ablation.name for result in results] == ["tiny/parts", "tiny/twin"]


def test_what_is_spelled_out_is_the_same_training(tiny, options):
    first, second = tiny.variants[:2]
    wordy = replace(first, changes={**first.changes, "network.anrb": True, "network.slope": 0.05})
    twin = replace(tiny, name="tiny/twin", variants=(wordy, second))
    recorder = Recorder(idle=True)
    run_ablations([tiny, twin], options, executor=recorder)
    assert [kind(unit) for unit in recorder.units] == ["bicubic", "cost", "cost", *["training"] * 3]


def test_no_set_at_hand_takes_the_built_in_pictures(tiny, options, notes):
    lost = replace(tiny, sets=("nowhere",))
    (result,) = run_ablations([lost], options, progress=notes, executor=Recorder(idle=True))
    assert result.conditions.sets == ("built-in",)
    assert result.conditions.missing == ("nowhere",)
    assert len(notes.warnings) == 1


def test_automatic_precision_is_what_it_means_on_the_machine(tiny, options, monkeypatch):
    keys = {}
    for native in (True, False):
        monkeypatch.setattr("srcli.pipelines.train.numerics.cpu_has_bf16", lambda n=native: n)
        word = "bf16" if native else "fp32"
        for given in ("auto", word):
            recorder = Recorder(idle=True)
            own = replace(options, precision=given)
            (result,) = run_ablations([tiny], own, executor=recorder)
            units = [each for each in recorder.units if kind(each) == "training"]
            assert result.conditions.precision == word
            assert {each.options.precision for each in units} == {word}
            keys[native, given] = [each.key for each in units]
    assert keys[True, "auto"] == keys[True, "bf16"]
    assert keys[False, "auto"] == keys[False, "fp32"]
    assert not set(keys[True, "auto"]) & set(keys[False, "auto"])


def test_names_to_hold_out_and_to_exclude_reach_the_trainings(tiny, options, notes):
    recorder = Recorder(idle=True)
    names = {"hold_out": ("bbb",), "hold_out_listed": ("ccc", "zzz"), "exclude": ("a", "q")}
    (result,) = run_ablations([tiny], replace(options, **names), progress=notes, executor=recorder)
    own = result.conditions
    assert (own.pictures, own.held_out, own.excluded) == (4, 2, 1)
    unit = next(each for each in recorder.units if kind(each) == "training")
    assert [getattr(unit.options, each) for each in names] == [("bbb",), ("ccc", "zzz"), ("a",)]
    assert notes.warnings == ["--exclude q: no picture's name begins with it"]
    with pytest.raises(DataError, match="--hold-out bb: not in the data"):
        run_ablations([tiny], replace(options, hold_out=("bb",)), executor=recorder)


def test_the_first_set_has_a_curve_with_and_without_pictures_held_out(tiny, options, faces):
    for held_out in (options.hold_out, ()):
        recorder = Recorder(idle=True)
        run_ablations([tiny], replace(options, hold_out=held_out), executor=recorder)
        trainings = [unit for unit in recorder.units if kind(unit) == "training"]
        assert {unit.validate for unit in trainings} == {(str(faces),)}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"sets": ("nowhere",)}, DataError, "nowhere: no such folder"),
        ({"data": ()}, UsageError, "--data"),
        ({"budget": "soon"}, RecipeError, "budget 'soon'"),
        ({"overrides": ("network.anrb=true",)}, RecipeError, "changes network.anrb itself"),
        ({"overrides": ("stages.0.bach=4",)}, RecipeError, "did you mean 'batch'"),
        ({"seeds": 0}, UsageError, "--seeds must be at least 1"),
        ({"device": "abacus"}, UsageError, "--device abacus"),
        ({"precision": "fp16"}, UsageError, "--precision fp16"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(tiny, options, change, kind, words):
    with pytest.raises(kind, match=words):
        run_ablations([tiny], replace(options, **change))
    assert not (options.store / "runs").exists()


def test_a_wrong_option_of_a_network_names_the_variant(tiny, options):
    wrong = replace(tiny.variants[1], changes={"network.wings": 2})
    with pytest.raises(ModelError, match=r"tiny/parts, variant 'without': no option 'wings'"):
        run_ablations([replace(tiny, variants=(tiny.variants[0], wrong))], options)


def test_one_name_twice_and_none_at_all_are_refused(tiny, options):
    with pytest.raises(UsageError, match="tiny/parts: given twice"):
        run_ablations([tiny, tiny], options)
    with pytest.raises(UsageError, match="no ablation"):
        run_ablations([], options)
    with pytest.raises(UsageError, match="no protocol 'zebra'"):
        run_ablations([replace(tiny, protocol="zebra")], options)


MEASURED = Cost(parameters=1, macs=1, memory=())
SCORES = SetScores(pictures={"cat": {"psnr": 30.0, "ssim": 0.9}}, seconds=None, of=1)


def trained(iterations):
    return Trained(iterations=iterations, seconds=None, curves={})


class Fake:
    """Does units by putting their figures, unless another process is at them."""

    slots = 1

    def __init__(self, store, results=()):
        self.store, self.results = store, dict(results)
        self.done = []

    def run(self, work, units, *, progress, stop, shared=()):
        for index, unit in enumerate(units):
            with self.store.lock(unit.key) as own:
                if own and unit.key not in self.results:
                    self.done.append(unit.key)
                    self.store.put(unit.key, COST, MEASURED)
                known: dict[str, Any] = self.results.get(unit.key, {"ended": "done"})
                yield UnitResult(index=index, result=known if own else {"ended": "busy"})


def costs(*keys):
    units = {
        key: CostUnit(
            label=f"unit {key}",
            key=key,
            options=AblateOptions(train=False),
            recipe=RECIPES["g-idrn-short"],
            scale=2,
            sizes=(),
            gradients=False,
        )
        for key in keys
    }
    return AblationPlan(costs=units)


def one_training(key="t"):
    unit = TrainingUnit(
        label="a training",
        key=key,
        options=AblateOptions(train=False),
        recipe=RECIPES["g-idrn-short"],
        scale=2,
        seed=0,
        validate=(),
        measure=(Measurement(key="scores", dataset="Faces", protocol="y"),),
    )
    return AblationPlan(trainings={key: unit})


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.mark.parametrize("finishes", [True, False])
def test_the_work_of_another_process_is_waited_for_or_taken_over(
    store, notes, monkeypatch, finishes
):
    fake, sleeps = Fake(store), []
    with ExitStack() as other:
        assert other.enter_context(store.lock("a"))

        def sleep(seconds):
            sleeps.append(list(fake.done))
            if len(sleeps) == 3:
                if finishes:
                    store.put("a", COST, MEASURED)
                other.close()

        monkeypatch.setattr(time, "sleep", sleep)
        run_missing(costs("a", "b", "c"), store, fake, notes, lambda: False)
    assert sleeps == [["b", "c"]] * 3
    assert fake.done == ["b", "c"] + ["a"] * (not finishes)
    assert store.read("a").cost == MEASURED
    assert [text for text in notes.messages if "another process" in text] == [
        "unit a: another process measures it; waiting for that"
    ]
    assert [(label, done) for label, done, _ in notes.closed] == [("results", 3)]


def test_who_waits_can_be_stopped(store, notes, monkeypatch):
    asked = iter([False, True])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with store.lock("a"):
        run_missing(costs("a"), store, Fake(store), notes, lambda: next(asked))
    assert store.read("a") == StoredResult()
    assert notes.closed[0][1] == 0


def test_a_stopped_unit_does_not_count(store, notes):
    fake = Fake(store, {"b": {"ended": "stopped"}})
    run_missing(costs("a", "b"), store, fake, notes, lambda: False)
    assert notes.closed[0][1] == 1


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"ended": "done", "did": "trained"}, "a training: trained 1 iteration"),
        ({"ended": "done", "did": "measured"}, "a training: measured"),
        ({"ended": "failed", "did": "trained"}, "a training: trained 1 iteration"),
        ({"ended": "stopped", "did": ""}, None),
        ({"ended": "failed", "did": ""}, None),
    ],
)
def test_what_was_done_is_told(store, notes, result, told):
    store.put("t", TRAINING, trained(1))
    run_missing(one_training(), store, Fake(store, {"t": result}), notes, lambda: False)
    assert notes.messages == [told] * (told is not None)


def test_what_is_there_is_not_done_again(store, notes):
    store.put("a", COST, MEASURED)
    store.put("t", TRAINING, trained(2))
    store.put("t", "scores", SCORES)
    plan = AblationPlan(costs=costs("a", "b").costs, trainings=one_training().trainings)
    fake = Fake(store)
    run_missing(plan, store, fake, notes, lambda: False)
    assert fake.done == ["b"]
    assert notes.messages == ["2 of 3 results are there already"]
