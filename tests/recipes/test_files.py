"""Recipe files and single fields: what is read, what is refused by name, what is written."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, replace

import pytest

from srcli.errors import RecipeError
from srcli.recipes.degradation import (
    BICUBIC,
    DEGRADATIONS,
    Blur,
    Degradation,
    Jpeg,
    Noise,
)
from srcli.recipes.fields import ROOT, Value, convert
from srcli.recipes.files import (
    EXAMPLE,
    RECIPES,
    apply_overrides,
    load_recipe,
    plain_recipe,
    read_recipe,
)
from srcli.recipes.training import (
    Adversarial,
    LossTerm,
    Optimizer,
    Stage,
    TrainRecipe,
)

G_IDRN = RECIPES["g-idrn"]
SHORT = RECIPES["g-idrn-short"]
STAGE = G_IDRN.stages[0]


def test_the_example_with_comments_is_the_recipe_that_it_says(tmp_path):
    (tmp_path / "a.toml").write_text(EXAMPLE)
    assert read_recipe(tmp_path / "a.toml") == replace(RECIPES["g-idrn-muon"], paper="")


STAGES = '{"model": "m", "stages": [%s]}'


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "not JSON"),
        ("a.toml", "model = ", "not TOML"),
        ("a.json", b"\xff\xfe", "not JSON"),
        ("a.json", "[]", "must be a table"),
        ("a.json", "{}", "the recipe: missing 'model'"),
        ("a.json", '{"model": "m", "stage": []}', "did you mean 'stages'"),
        ("a.json", '{"model": "m", "qqqq": 4}', "there are: model, network"),
        ("a.toml", "model = 'm'\nbatch = 8", "did you mean 'stages.0.batch'"),
        ("a.json", '{"model": "m", "ema_decay": NaN}', "finite"),
        ("a.json", '{"model": "m", "ema_decay": 2}', "ema_decay"),
        (
            "a.json",
            STAGES % '{"bach": 4}',
            r"no field 'bach' in stages\.0; did you mean 'batch'",
        ),
        (
            "a.json",
            STAGES % '{"losses": [{}]}',
            r"stages\.0\.losses\.0: missing 'name'",
        ),
        (
            "a.json",
            STAGES % '{"adversarial": {"gama": 1}}',
            r"in stages\.0\.adversarial; did you",
        ),
        (
            "a.json",
            STAGES % '{"adversarial": {"discriminator": "x"}}',
            r"one of ae, fc",
        ),
    ],
)
def test_damaged_files_are_refused_with_their_name(tmp_path, name, text, words):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_missing_recipes_are_refused(tmp_path):
    with pytest.raises(
        RecipeError, match=r"mean g-idrn\?\); there are: g-idrn, g-idrn-short"
    ):
        load_recipe("g-idn")
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(str(tmp_path / "a.json"))


IMPOSSIBLE = """
batch=0 patch=-1 patch=8,0,8 patch=8,8 patch_stride=0 steps=0 losses=[]
recolour=1.1 recolour=-0.1 losses.0.weight=-0.1 adversarial.weight=-0.1 adversarial.gamma=0
adversarial.balance_rate=-0.1 adversarial.balance_start=1.1 optimizer.learning_rate=0
optimizer.beta1=1 optimizer.beta2=-0.1 optimizer.epsilon=0 optimizer.momentum=1
optimizer.clip_norm=-1 optimizer.weight_decay=-1 optimizer.rates.up=-1
optimizer.kind=muon;optimizer.rates.up=0.1 optimizer.momentum=0;optimizer.nesterov=true
schedule.every=0 schedule.every=1.5 schedule.warmup=1.1 schedule.milestones=0.5,-0.5
schedule.floor=2 schedule.gamma=0 schedule.hold=1.1
"""


def test_impossible_values_are_refused():
    accepted = []
    for settings in IMPOSSIBLE.split():
        *possible, impossible = [f"stages.0.{text}" for text in settings.split(";")]
        plain = apply_overrides(TrainRecipe(model="m"), possible)
        with suppress(RecipeError):
            apply_overrides(plain, [impossible])
            accepted.append(settings)
    assert accepted == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: apply_overrides(TrainRecipe(model="m"), ["ema_decay=1"]),
        lambda: TrainRecipe(model="m", stages=()),
        lambda: apply_overrides(TrainRecipe(model="m"), ["validate_every=0"]),
        lambda: after(
            Stage(), Stage(optimizer=Optimizer(kind="sgd"), reset_optimizer=False)
        ),
        lambda: after(Stage(), Stage(adversarial=Adversarial(), reset_optimizer=False)),
        lambda: after(Stage(adversarial=Adversarial()), Stage(reset_optimizer=False)),
    ],
)
def test_impossible_recipes_are_refused(make):
    with pytest.raises(RecipeError):
        make()


def after(*stages):
    return TrainRecipe(model="m", stages=stages)


def test_the_discriminator_of_a_stage_changes_or_goes():
    gan = RECIPES["attentive-gan"]
    changed = apply_overrides(
        gan,
        [
            "stages.1.adversarial.discriminator=fc",
            "stages.1.adversarial.options.hidden=8",
        ],
    )
    was = gan.stages[1].adversarial
    now = changed.stages[1].adversarial
    assert was is not None
    assert now == replace(was, discriminator="fc", options={"hidden": 8})
    assert (
        apply_overrides(gan, ["stages.1.adversarial=null"]).stages[1].adversarial
        is None
    )
    for setting, expected_step in {
        'stages.0.adversarial={"weight": 0}': Adversarial(weight=0.0),
        "stages.0.adversarial.gamma=0.7": Adversarial(gamma=0.7),
    }.items():
        assert apply_overrides(G_IDRN, [setting]).stages[0].adversarial == expected_step


def test_each_named_field_changes_and_nothing_else():
    assert apply_overrides(G_IDRN, []) == G_IDRN
    settings = [
        "stages.0.batch=7",
        "stages.0.batch=8",  # the later one wins
        "stages.0.losses.1.options.sigma=3",
        "stages.0.losses.1.options.weights=1,0.5",
        "network.channels=48",
        "network.anrb_bins=1,3",
        "network.block=rfdb",
        "ema_decay=0.99",
        "stages.0.schedule.milestones=0.5, 0.75,",
        "stages.0.optimizer.learning_rate=1e-3",
        "start_from_bicubic=true",
        "paper=mine = yours",
    ]
    options: dict[str, Value] = {"size": 9, "sigma": 3, "weights": (1.0, 0.5)}
    high = LossTerm(name="high-frequency", weight=0.6, options=options)
    stage = replace(
        STAGE,
        batch=8,
        losses=(STAGE.losses[0], high),
        schedule=replace(STAGE.schedule, milestones=(0.5, 0.75)),
        optimizer=replace(STAGE.optimizer, learning_rate=1e-3),
    )
    assert apply_overrides(G_IDRN, settings) == replace(
        G_IDRN,
        stages=(stage,),
        network={"channels": 48, "anrb_bins": (1, 3), "block": "rfdb"},
        ema_decay=0.99,
        start_from_bicubic=True,
        paper="mine = yours",
    )
    assert STAGE.losses[1].options["sigma"] == 1.5
    changed_recipe = apply_overrides(
        G_IDRN, ['stages.0.losses=[{"name": "l2"}]', 'network={"channels": 8}']
    )
    assert changed_recipe.stages[0].losses == (LossTerm(name="l2"),)
    assert changed_recipe.network == {"channels": 8}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            "batch=8",
            r"no field 'batch' in the recipe; did you mean 'stages\.0\.batch'\?",
        ),
        ("stages.0.bach=8", r"no field 'bach' in stages\.0; did you mean 'batch'\?"),
        ("ema=1", r"no field 'ema' in the recipe; did you mean 'ema_decay'\?"),
        ("stages.0.optimizer.beta=1", r"in stages\.0\.optimizer; did you mean 'beta"),
        ("lr=1e-4", r"did you mean 'stages\.0\.optimizer\.learning_rate'\?"),
        ("stages.batch=8", "no entry 'batch' in stages; there are: 0 to 0"),
        (
            "stages.0.learning_rat=1",
            r"did you mean 'stages\.0\.optimizer\.learning_rate'\?",
        ),
        ("optimizer.beta1=1", r"did you mean 'stages\.0\.optimizer'\?"),
        ("stages.1.batch=8", "no entry '1' in stages; there are: 0 to 0"),
        ("stages.x.batch=8", "no entry 'x' in stages"),
        ("stages.0.batch=8.5", r"stages\.0\.batch must be a whole number, got 8\.5"),
        ("stages.0.batch=eight", "must be a whole number, got 'eight'"),
        ("stages.0.batch=1,2", r"must be a whole number, got \[1, 2\]"),
        ("stages.0.batch=0", "batch must be above 0"),
        ("stages.0.batch=true", "must be a whole number, got True"),
        ("ema_decay=true", "must be a"),
        ('network={"a": {"b": 1}}', "network.a cannot hold"),
        ("stages.0.prefer_detail=yes", "must be true or false"),
        ("stages.0.schedule.kind=cos", "one of step, halving, cosine, constant"),
        ("stages.0.schedule.warmup=2", "warmup must be in 0..1, got 2"),
        ("stages.0.optimizer.beta1=1", r"beta1 must be in \[0, 1\)"),
        ("stages.0.adversarial.gamma=-1", "gamma must be above 0"),
        ("stages.0.losses=[]", "at least one loss"),
        ("ema_decay.x=1", "single value"),
        ("network.a.b=1", "network.a cannot hold"),
        ("batch", "give a field and a value"),
        ("=8", "give a field and a value"),
        ("stages..batch=8", "give a field and a value"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(setting, words):
    with pytest.raises(RecipeError, match=words) as caught:
        apply_overrides(G_IDRN, [setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_name_of_a_degradation_stands_for_all_its_fields(name):
    recipe = apply_overrides(SHORT, [f"degradation={name}"])
    assert recipe.degradation == DEGRADATIONS[name]
    assert recipe.degradation.name == name
    assert recipe.degradation.is_clean is (name == "bicubic")
    plain = plain_recipe(recipe)
    assert plain["degradation"] == json.loads(json.dumps(asdict(DEGRADATIONS[name])))
    assert convert(plain, TrainRecipe, ROOT) == recipe
    assert TrainRecipe(model="g-idrn").degradation == BICUBIC


def test_a_file_may_give_a_degradation_by_name_or_by_pieces(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('model = "g-idrn"\ndegradation = "aerial"\n', encoding="utf-8")
    assert read_recipe(file).degradation == DEGRADATIONS["aerial"]
    file.write_text(
        """
        model = "g-idrn"
        [[degradation.before]]
        kind = "blur"
        sigma = [0, 0.5]
        [[degradation.after]]
        kind = "jpeg"
        quality = [60, 80]
        [[degradation.after]]
        kind = "noise"
        sigma = [1, 2]
        """,
        encoding="utf-8",
    )
    assert read_recipe(file).degradation == Degradation(
        before=(Blur(sigma=(0.0, 0.5)),),
        after=(Jpeg(quality=(60, 80)), Noise(sigma=(1.0, 2.0))),
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("foto", "did you mean 'photo'"),
        (3, "degradation must be a table"),
        ({"bfore": []}, "did you mean 'before'"),
        ({"clean": 1.5}, "degradation.clean must be in 0..1"),
        ({"before": {}}, "degradation.before must be a list"),
        ({"before": ["blur"]}, "degradation.before.0 cannot hold 'blur'"),
        ({"before": [{"sigma": [0, 1]}]}, "needs a kind, one of blur, noise, jpeg"),
        ({"before": [{"kind": ["blur"]}]}, "needs a kind"),
        ({"before": [{"kind": "blr", "sigma": [0, 1]}]}, "did you mean 'blur'"),
        ({"before": [{"kind": "blur"}]}, "'sigma'"),
        ({"after": [{"kind": "jpeg", "qualty": [1, 2]}]}, "did you mean 'quality'"),
        (
            {"after": [{"kind": "jpeg", "quality": [75.5, 80]}]},
            "after.0.quality.0 must be a whole",
        ),
        ({"after": [{"kind": "jpeg", "quality": 75}]}, "quality must be a list"),
        ({"after": [{"kind": "jpeg", "quality": [75]}]}, "two numbers, low and high"),
        (
            {"after": [{"kind": "jpeg", "quality": [90, 75]}]},
            "two numbers, low and high",
        ),
        ({"after": [{"kind": "jpeg", "quality": [0, 75]}]}, "in 1..100"),
        (
            {"after": [{"kind": "jpeg", "quality": [75, 80], "subsampling": 2}]},
            "subsampling",
        ),
        ({"after": [{"kind": "noise", "sigma": [-1, 2]}]}, "after.0.sigma must be"),
        (
            {"after": [{"kind": "noise", "sigma": [1, 2], "gray": -0.5}]},
            "after.0.gray must be",
        ),
        (
            {"after": [{"kind": "blur", "sigma": [0, 1], "probability": 1.5}]},
            "probability must be",
        ),
    ],
)
def test_a_wrong_degradation_is_refused_in_one_line(value, words):
    with pytest.raises(RecipeError, match=words) as caught:
        convert({"model": "g-idrn", "degradation": value}, TrainRecipe, ROOT)
    assert "\n" not in str(caught.value)
