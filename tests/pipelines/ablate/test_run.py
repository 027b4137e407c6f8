"""Ablations that are really run: ordinary trainings, scored alike, going on, one failure alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from functools import partial

import pytest
from PIL import Image

from srcli.errors import UsageError
from srcli.pipelines.ablate import run as runs
from srcli.pipelines.ablate.results import VariantResult, read_result
from srcli.pipelines.ablate.run import (
    AblateOptions,
    Unit,
    checked_recipe,
    measure_cost,
    run_ablations,
)
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.run import TrainOptions, resume_training, train
from srcli.recipes.ablations import ABLATIONS, PRINTED_METRICS
from srcli.recipes.files import RECIPES, apply_overrides, plain_recipe
from tests.fixtures.workers import SimulatedExecutor


def weights_of(options, variant, seed=0):
    return (
        options.out / "tiny/parts" / variant / f"seed-{seed}" / "last.safetensors"
    ).read_bytes()


def tensors(content):
    return content[8 + int.from_bytes(content[:8], "little") :]


@pytest.fixture(scope="module")
def pair(tiny):
    """The two variants that can be trained."""
    return replace(tiny, variants=tiny.variants[:2])


@pytest.fixture(scope="module")
def done(pair, settings, tmp_path_factory):
    """A run of one seed, and its folder."""
    folder = tmp_path_factory.mktemp("done")
    return run_ablations([pair], AblateOptions(**settings, out=folder))[0], folder


@pytest.fixture
def ran(done, options):
    """The result of a run of one seed in the folder of the test."""
    result, folder = done
    shutil.copytree(folder, options.out)
    return result


def test_a_training_is_that_of_srx_train_and_its_scores_those_of_srx_eval(
    ran, options, faces, tmp_path
):
    recipe = options.out / "tiny/parts/without/recipe.json"
    alone = TrainOptions(
        recipe=str(recipe), scale=2, data=options.data, out=tmp_path / "alone",
        budget="6", device="cpu", precision="fp32", threads=1,
    )  # fmt: skip
    train(alone)
    weights = (tmp_path / "alone/last.safetensors").read_bytes()
    assert tensors(weights) == tensors(weights_of(options, "without"))
    scores = ran.of("without").measured("Faces")[0]
    plain = EvalOptions(metrics=PRINTED_METRICS, costs=False)
    evaluation = evaluate(
        [str(tmp_path / "alone/last.safetensors")], [str(faces)], scales=(2,),
        options=plain,
    )  # fmt: skip
    assert len(evaluation.scores) == len(scores.pictures)
    for score in evaluation.scores:
        assert score.values == asdict(scores.pictures[score.picture])
    bicubic = evaluate(["bicubic"], [str(faces)], scales=(2,), options=plain)
    assert scores.bicubic == pytest.approx(
        bicubic.means()[0]["values"]["psnr"], abs=1e-3
    )
    best = [str(tmp_path / "alone/best.safetensors")]
    means = evaluate(best, [str(faces)], scales=(2,), options=plain).means()
    assert scores.best == means[0]["values"]["psnr"]
    assert ran.missing == 0
    assert read_result(options.out, "tiny/parts") == ran
    plain = json.loads((options.out / "tiny/parts/ablation.json").read_text())
    assert plain["variants"][0]["seeds"][0]["iterations"] == 6


def test_the_folder_can_be_resumed_by_srx_train_and_is_measured_again(
    ran, pair, options, notes
):
    folder = options.out / "tiny/parts/with/seed-0"
    resume_training(folder, {"budget": "9"})
    (again,) = run_ablations([pair], options, progress=notes)
    # it is longer than the others now
    assert "the training in" in again.base.seeds[0].failure
    assert again.of("without") == ran.of("without")


def test_more_seeds_do_only_what_is_missing(ran, pair, options, notes, monkeypatch):
    begun = []

    def watched(training, *arguments):
        begun.append(training.out.name)
        return train(training, *arguments)

    monkeypatch.setattr(runs, "train", watched)
    (extended,) = run_ablations([pair], replace(options, seeds=2), progress=notes)
    assert begun == ["seed-1", "seed-1"]
    assert "2 of 4 trainings are there already" in notes.messages
    first_seed, second_seed = extended.base.seeds
    assert (first_seed.seed, second_seed.seed) == (0, 1)
    assert first_seed == ran.base.seeds[0]
    assert tensors(weights_of(options, "with", 0)) != tensors(
        weights_of(options, "with", 1)
    )


def test_other_sets_and_other_pictures_of_a_set_are_measured_without_training(
    ran, pair, options, faces, tmp_path, monkeypatch
):
    monkeypatch.setattr(runs, "train", None)
    new_set = tmp_path / "Faces"
    new_set.mkdir()
    (new_set / "one.png").write_bytes((faces / "aaa.png").read_bytes())
    changed = replace(options, sets=(str(new_set),))
    (result,) = run_ablations([pair], changed)
    assert list(result.base.measured("Faces")[0].pictures) == ["one"]
    (new_set / "one.png").write_bytes((faces / "bbb.png").read_bytes())
    (second,) = run_ablations([pair], changed)
    assert result.base.means("Faces") != second.base.means("Faces")
    (third,) = run_ablations([pair], options)
    assert third.base.means("Faces") == ran.base.means("Faces")


def test_a_stopped_run_goes_on_from_its_checkpoint(ran, pair, options, tmp_path):
    stopping = replace(options, out=tmp_path / "stopped")
    asked: list[None] = []

    def stop():
        asked.append(None)
        return len(asked) > 6

    (stopped,) = run_ablations([pair], stopping, stop=stop)
    assert stopped.missing == 2
    assert read_result(stopping.out, "tiny/parts") == stopped
    (finished,) = run_ablations([pair], stopping)
    assert finished.missing == 0
    for name in ("with", "without"):
        assert weights_of(stopping, name) == weights_of(options, name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"budget": "7"},
            r'budget is "6" there, "7" now.*; give another --out, or remove .*/tin',
        ),
        ({"hold_out": ("ccc",)}, "data_digest is"),
        ({"precision": "bf16"}, 'precision is "fp32" there, "bf16" now'),
        ({"overrides": ("ema_decay=0.5",)}, "recipe of 'with'.ema_decay is"),
    ],
)
def test_a_folder_of_other_trainings_is_refused_with_the_way_to_start_over(
    ran, pair, options, change, words
):
    with pytest.raises(UsageError, match=words):
        run_ablations([pair], replace(options, **change))
    assert read_result(options.out, "tiny/parts") == ran


def test_a_failed_variant_stops_no_other(tiny, options, notes):
    (result,) = run_ablations([tiny], options, progress=notes)
    assert result.failures == [
        f"too fast, seed 0: {result.of('too fast').seeds[0].failure}"
    ]
    assert "diverged" in result.failures[0]
    iterations = [variant.seeds[0].iterations for variant in result.variants]
    assert iterations == [6, 6, None]
    assert "too fast, seed 0" in "\n".join(notes.warnings)
    assert result.missing == 1


def test_a_damaged_file_fails_its_training_alone(ran, pair, options):
    folder = options.out / "tiny/parts/with/seed-0"
    (folder / "state.safetensors").write_bytes(b"{")
    (again,) = run_ablations([pair], options)
    assert again.of("without") == ran.of("without")
    assert f"remove {folder} to start over" in again.base.seeds[0].failure


def test_a_set_that_cannot_be_measured_keeps_the_training(
    pair, options, faces, tmp_path
):
    broken = tmp_path / "Broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"nothing")
    (result,) = run_ablations([pair], replace(options, sets=(str(broken), str(faces))))
    seed = result.base.seeds[0]
    assert seed.iterations == 6
    assert list(seed.scores) == ["Faces"]
    assert seed.failure.startswith("Broken: nothing could be measured")


def test_a_process_that_dies_fails_its_unit_and_keeps_what_is_stored(
    ran, pair, options, faces
):
    (faces.parent / "More").mkdir()
    (faces.parent / "More" / "one.png").write_bytes((faces / "aaa.png").read_bytes())
    both_sets = replace(options, sets=(str(faces), str(faces.parent / "More")))
    (result,) = run_ablations(
        [pair], both_sets, executor=SimulatedExecutor(1, lambda unit: True)
    )
    seed = result.base.seeds[0]
    assert (seed.iterations, seed.failure, list(seed.scores)) == (
        6, "its process was killed", ["Faces"],
    )  # fmt: skip
    assert result.base.cost_failure == "its process was killed"


def test_pairs_in_their_folders_are_trained_on(pair, options, pictures, tmp_path):
    for folder, size in (("HR", 48), ("LR_bicubic/X2", 24)):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for file in pictures.iterdir():
            with Image.open(file) as picture:
                picture.resize((size, size)).save(tmp_path / "set" / folder / file.name)
    paired = replace(options, data=(tmp_path / "set",), hold_out=())
    (result,) = run_ablations([pair], paired, stop=lambda: True)
    assert (result.conditions.pictures, result.failures) == (7, [])


def test_costs_alone_leave_the_trainings_that_are_there(ran, pair, options):
    (bare,) = run_ablations(
        [pair], replace(options, train=False, data=(), precision="fp16")
    )
    for variant in bare.variants:
        assert variant.seeds == ()
        assert variant.cost == ran.of(variant.variant.name).cost
    assert read_result(options.out, "tiny/parts") == ran


def test_a_set_that_is_not_there_is_told_and_none_takes_the_built_in_pictures(
    pair, options, notes, monkeypatch
):
    monkeypatch.setattr(runs, "train", lambda *_: pytest.fail("not to be trained"))
    lost = replace(pair, sets=("nowhere",))
    (result,) = run_ablations([lost], options, progress=notes, stop=lambda: True)
    assert result.conditions.sets == ("built-in",)
    assert result.conditions.missing == ("nowhere",)
    assert len(notes.warnings) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ABLATIONS))
def test_every_ablation_of_the_table_can_be_trained(name):
    ablation = ABLATIONS[name]
    recipes = [checked_recipe(ablation, variant) for variant in ablation.variants]
    assert len({str(plain_recipe(recipe)) for recipe in recipes}) == len(recipes)


def cost(*changes, name="g-idrn", device="cpu", **own):
    recipe = apply_overrides(RECIPES[name], changes)
    ablation = replace(ABLATIONS["g-idrn/blocks"], **own)
    return measure_cost(
        Unit(ablation, recipe, VariantResult(variant=ablation.variants[0]), ""), device
    )


def test_a_network_with_two_forms_counts_as_it_is_deployed():
    assert cost(name="rrlfn", scale=4).parameters == 470_208


@pytest.mark.gpu
def test_memory_is_that_of_one_pass_as_the_paper_measured_it():
    small = ("network.channels=8", "network.num_blocks=3", "network.num_groups=1")
    on_gpu = partial(cost, *small, device="cuda", memory_sizes=((24, 32),))
    plain = on_gpu(memory_gradients=False).memory["24x32"]
    with_gradients = on_gpu(memory_gradients=True).memory["24x32"]
    assert with_gradients > 2 * plain > 0
