"""Recipe files, single fields changed from texts, and where recipes differ."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from srcli.errors import RecipeError
from srcli.recipes.files import (
    EXAMPLE,
    RECIPES,
    apply_overrides,
    first_difference,
    load_recipe,
    plain_recipe,
    read_recipe,
    recipe_name,
    write_json,
)
from srcli.recipes.training import Adversarial, Distillation, LossTerm, Stage, TrainRecipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_a_file(tmp_path, name):
    file = tmp_path / "mine.json"
    write_json(file, plain_recipe(RECIPES[name]))
    assert read_recipe(file) == RECIPES[name]
    assert load_recipe(str(file)) == RECIPES[name]
    assert load_recipe(name) == RECIPES[name]
    assert recipe_name(str(file)) == "mine"
    assert recipe_name(name) == name


def test_the_example_with_comments_is_the_recipe_that_it_says(tmp_path):
    (tmp_path / "a.toml").write_text(EXAMPLE)
    assert read_recipe(tmp_path / "a.toml") == replace(RECIPES["g-idrn-muon"], paper="")


def test_yaml_is_read_too(tmp_path):
    yaml = pytest.importorskip("yaml")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(plain_recipe(RECIPES["g-idrn"])))
    assert read_recipe(tmp_path / "a.yaml") == RECIPES["g-idrn"]
    (tmp_path / "a.yaml").write_text("model: [")
    with pytest.raises(RecipeError, match=r"a\.yaml: not a recipe file"):
        read_recipe(tmp_path / "a.yaml")


def test_toml_is_read_too(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'model = "g-idrn"\n[network]\nanrb_bins = [1, 2]\n'
        '[[stages]]\nbatch = 4\n[[stages.losses]]\nname = "l2"\nweight = 1\n',
        encoding="utf-8",
    )
    assert read_recipe(file) == TrainRecipe(
        model="g-idrn",
        network={"anrb_bins": (1, 2)},
        stages=(Stage(batch=4, losses=(LossTerm(name="l2"),)),),
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "not a recipe file"),
        ("a.toml", "model = ", "not a recipe file"),
        ("a.json", "[]", "must be a table"),
        ("a.json", '{"model": "m", "stage": []}', "did you mean 'stages'"),
        ("a.toml", "model = 'm'\nbatch = 8", "did you mean 'stages.0.batch'"),
        ("a.json", '{"model": "m", "ema_decay": NaN}', "finite"),
        ("a.json", '{"model": "m", "ema_decay": 2}', "ema_decay"),
        ("a.json", b"\xff\xfe", "not a recipe file"),
    ],
)
def test_damaged_files_are_refused_with_their_name(tmp_path, name, text, words):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(str(file))
    assert str(file) in str(caught.value)


def test_missing_recipes_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"mean g-idrn\?\); there are: g-idrn, g-idrn-short"):
        load_recipe("g-idn")
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"x": 1}, {"x": 1}, None),
        ({"x": {"y": [1, 2]}}, {"x": {"y": [1, 3]}}, "x.y.1 is 2 there, 3 now"),
        ({"x": 1}, {}, "x is 1 there, null now"),
        ({}, {"x": 1}, "x is null there, 1 now"),
        ({"x": [1]}, {"x": [1, 2]}, "x is [1] there, [1, 2] now"),
    ],
)
def test_the_first_difference_is_named(a, b, words):
    assert first_difference(a, b) == words


G_IDRN, G_IDRN_SHORT = RECIPES["g-idrn"], RECIPES["g-idrn-short"]
ATTENTIVE_GAN = RECIPES["attentive-gan"]
STAGE = G_IDRN.stages[0]


def test_nothing_changes_nothing():
    assert apply_overrides(G_IDRN, []) == G_IDRN


def test_the_discriminator_of_a_stage_changes_or_goes():
    changed = apply_overrides(
        ATTENTIVE_GAN,
        ["stages.1.adversarial.discriminator=fc", "stages.1.adversarial.options.hidden=8"],
    )
    was, now = ATTENTIVE_GAN.stages[1].adversarial, changed.stages[1].adversarial
    assert was is not None
    assert now == replace(was, discriminator="fc", options={"hidden": 8})
    alone = apply_overrides(ATTENTIVE_GAN, ["stages.1.adversarial=null"])
    assert alone.stages[1].adversarial is None
    other = apply_overrides(G_IDRN, ['stages.0.adversarial={"weight": 0}'])
    assert other.stages[0].adversarial == Adversarial(weight=0.0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["stages.0.distillation=g-idrn"], Distillation(teacher="g-idrn")),
        (["stages.0.distillation.teacher=5.pth"], Distillation(teacher="5.pth")),
        (
            ["stages.0.distillation=g-idrn", "stages.0.distillation.share=1"],
            Distillation(teacher="g-idrn", share=1.0),
        ),
        (["stages.0.distillation=g-idrn", "stages.0.distillation=null"], None),
    ],
)
def test_a_teacher_is_given_by_name_or_by_fields(settings, expected):
    assert apply_overrides(G_IDRN, settings).stages[0].distillation == expected


def test_a_field_of_a_table_that_is_not_there_makes_one():
    found = apply_overrides(G_IDRN, ["stages.0.adversarial.gamma=0.7"])
    assert found.stages[0].adversarial == Adversarial(gamma=0.7)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stages.0.distillation.share=1", "stages.0.distillation: missing 'teacher'"),
        (
            "stages.0.distillation.teach=x",
            "no field 'teach' in stages.0.distillation; did",
        ),
        ("stages.0.adversarial.gamma=-1", "gamma must be above 0"),
    ],
)
def test_a_table_that_cannot_be_made_is_refused(setting, words):
    with pytest.raises(RecipeError, match=re.escape(words)):
        apply_overrides(G_IDRN, [setting])


def test_each_named_field_changes_and_nothing_else():
    found = apply_overrides(
        G_IDRN,
        [
            "stages.0.batch=8",
            "stages.0.losses.1.options.sigma=3",
            "network.channels=48",
            "network.anrb_bins=1,3",
            "ema_decay=0.99",
            "stages.0.schedule.milestones=0.5, 0.75",
            "stages.0.optimizer.learning_rate=1e-3",
            "start_from_bicubic=false",
            "paper=mine = yours",
        ],
    )
    high = LossTerm(name="high-frequency", weight=0.6, options={"size": 9, "sigma": 3})
    stage = replace(
        STAGE,
        batch=8,
        losses=(STAGE.losses[0], high),
        schedule=replace(STAGE.schedule, milestones=(0.5, 0.75)),
        optimizer=replace(STAGE.optimizer, learning_rate=1e-3),
    )
    assert found == replace(
        G_IDRN,
        stages=(stage,),
        network={"channels": 48, "anrb_bins": (1, 3)},
        ema_decay=0.99,
        start_from_bicubic=False,
        paper="mine = yours",
    )
    assert STAGE.losses[1].options["sigma"] == 1.5


def test_later_settings_win_and_whole_tables_may_be_given():
    found = apply_overrides(G_IDRN, ["stages.0.batch=8", "stages.0.batch=9"])
    assert found.stages[0].batch == 9
    found = apply_overrides(G_IDRN, ['stages.0.losses=[{"name": "l2"}]', 'network={"channels": 8}'])
    assert found.stages[0].losses == (LossTerm(name="l2"),)
    assert found.network == {"channels": 8}


def test_an_optimiser_is_changed_kind_first_and_what_it_does_not_know_before():
    path = "stages.0.optimizer."
    given = [f"{path}{each}" for each in ("beta2=0.999", "kind=sgd", "momentum=0.5")]
    assert apply_overrides(G_IDRN_SHORT, given).stages[0].optimizer.momentum == 0.5
    with pytest.raises(RecipeError, match=r"^sgd ignores beta2=0\.99; .* beta2=0\.999 before kind"):
        apply_overrides(G_IDRN_SHORT, given[1:])


def test_options_may_hold_lists_of_any_numbers():
    settings = [f"stages.0.losses.0.options.{x}" for x in ("weights=1,0.5", "channels=8,8")]
    options = apply_overrides(G_IDRN, settings).stages[0].losses[0].options
    assert options == {"weights": (1.0, 0.5), "channels": (8, 8)}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("batch=8", r"no field 'batch' in the recipe; did you mean 'stages\.0\.batch'\?"),
        ("stages.0.bach=8", r"no field 'bach' in stages\.0; did you mean 'batch'\?"),
        ("ema=1", r"no field 'ema' in the recipe; did you mean 'ema_decay'\?"),
        ("stages.0.optimizer.beta=1", r"in stages\.0\.optimizer; did you mean 'beta"),
        ("lr=1e-4", r"did you mean 'stages\.0\.optimizer\.learning_rate'\?"),
        ("stages.batch=8", r"no field 'batch' in stages; did you mean 'stages\.0\.batch'\?"),
        ("stages.0.learning_rat=1", r"did you mean 'stages\.0\.optimizer\.learning_rate'\?"),
        ("optimizer.beta1=1", r"did you mean 'stages\.0\.optimizer\.beta1'\?"),
        ("stages.1.batch=8", "no entry '1' in stages; there are: 0 to 0"),
        ("stages.x.batch=8", "no entry 'x' in stages"),
        ("stages.0.batch=8.5", r"stages\.0\.batch must be a whole number, got 8\.5"),
        ("stages.0.batch=eight", "must be a whole number, got 'eight'"),
        ("stages.0.batch=0", "batch must be above 0"),
        ("stages.0.prefer_detail=yes", "must be true or false"),
        ("stages.0.schedule.kind=cos", "one of step, halving, cosine, constant"),
        ("stages.0.schedule.warmup=2", "warmup must be in 0..1, got 2"),
        ("stages.0.optimizer.beta1=1", r"beta1 must be in \[0, 1\)"),
        (
            "stages.0.optimizer.momentum=0.3",
            "adam ignores momentum=0.3; set the kind to sgd",
        ),
        ("stages.0.losses=[]", "at least one loss"),
        ("ema_decay.x=1", "single value"),
        ("network.a.b=1", "single value"),
        ("batch", "give a field and a value"),
        ("=8", "give a field and a value"),
        ("stages..batch=8", "give a field and a value"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(setting, words):
    with pytest.raises(RecipeError, match=words) as caught:
        apply_overrides(G_IDRN, [setting])
    assert "\n" not in str(caught.value)
