"""Ablations: a complete table, as printed, of variants that build and train; files of others."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from srcli.errors import RecipeError
from srcli.imaging.pixels.resize import resize
from srcli.models import build_network
from srcli.pipelines.train.network import first_network
from srcli.recipes.ablations import (
    ABLATIONS,
    Variant,
    load_ablations,
    parse_ablations,
    select_ablations,
    variant_recipe,
)
from srcli.recipes.files import RECIPES
from srcli.recipes.published import load_published
from srcli.training.steps import Numerics, StepContext, make_step

OWN = {
    "g-idrn/hp-sigma",
    "g-idrn/ds",
    "rrlfn/reparam",
    "attentive-gan/parts",
    "attentive-gan/mapping",
    "peers",
}
EVERY: list[Any] = []
"""Every ablation with each of its variants."""
for _ablation in ABLATIONS.values():
    EVERY += product([_ablation], _ablation.variants)
MISPRINTS = {
    ("g-idrn/groups", "72"): 2,
    ("g-idrn/peers", "IDRN"): 2,
    ("g-idrn/peers", "RFDN-L"): 3,
}
"""Variants by which the count of another scale is printed, and that scale."""
QUICK = {"g-idrn/blocks", "rrlfn/warm-start", "ddsr/optimizer", "attentive-gan/parts"}
"""Ablations of which one variant is trained in every run of the tests."""

FILE = """
[[ablation]]
name = "mine"
question = "Is less enough?"
recipe = "ddsr-short"
scale = 2
base = "18"
sets = ["Set5"]

[[ablation.variants]]
name = "18"
sentence = "as it is"

[[ablation.variants]]
name = "6"
changes = { "network.depth" = 6, "stages.0.batch" = 4 }
sentence = "a third of the layers"
"""


def test_every_ablation_is_there_with_its_variants():
    assert (len(ABLATIONS), len(EVERY)) == (21, 95)
    assert {name for name, ablation in ABLATIONS.items() if ablation.own} == OWN
    for ablation in ABLATIONS.values():
        assert ablation.own is not bool(ablation.source)
        assert ablation.recipe in RECIPES
        assert ablation.recipe.endswith("-short")
        assert ablation.question.endswith("?")
        assert ablation.sets
        resolved = set()
        for variant in ablation.variants:
            resolved.add(str(variant_recipe(ablation, variant)))
            assert variant.sentence
            assert not variant.sentence.endswith(".")
        assert len(resolved) == len(ablation.variants)


@pytest.mark.parametrize(
    ("name", "variant", "source", "scale", "method"),
    [
        ("g-idrn/groups", "8", "g-idrn paper, Table 6", 4, "G-IDRN"),
        ("g-idrn/groups", "72", "g-idrn paper, Table 6", 4, "IDRN (g=1)"),
        ("rrlfn/contrastive", "ws_2_CL", "rrlfn paper, Table 4", 4, "RRLFN_ws_2_CL"),
        ("ddsr/depth", "DDSR-18", "ddsr paper, depth table", 3, "DDSR-18"),
    ],
)
def test_figures_agree_with_those_of_the_result_tables(
    name, variant, source, scale, method
):
    ablation = ABLATIONS[name]
    rows = [
        row
        for row in load_published()
        if (row.source, row.scale, row.method) == (source, scale, method)
    ]
    figures = {}
    for row in rows:
        for metric, value in row.values.items():
            figures[f"{row.dataset}.{metric}"] = value
    published = ablation.variant(variant).published
    for key, value in published.items():
        if key.endswith(("psnr", "ssim")):
            assert value == figures.pop(key)
    assert not figures
    assert ablation.sets == tuple(row.dataset for row in rows)
    if rows[0].parameters is not None:
        assert published["parameters"] == rows[0].parameters


@pytest.mark.parametrize(
    ("name", "variant", "key", "difference"),
    [
        ("ddsr/residual", "plain", "Set5.psnr", -0.09),
        ("ddsr/optimizer", "SGD, residual", "Set5.psnr", -0.63),
        ("ddsr/optimizer", "SGD, plain", "Set5.psnr", None),
        ("nested-attn/depth", "4", "Set5.ssim", 0.0016),
        ("rrlfn/contrastive", "ws_2_CL", "Set14.ssim", 0.0),
        # as Table 1 prints, too
        ("g-idrn/blocks", "RFDB+dual+DS+ANRB", "Set5.psnr", 0.047),
        ("g-idrn/hp-sigma", "3.0", "Set5.psnr", None),
    ],
)
def test_what_the_papers_say_of_their_variants(name, variant, key, difference):
    assert ABLATIONS[name].printed_difference(variant, *key.split(".")) == difference


@pytest.mark.parametrize(
    ("ablation", "variant"),
    [(a, v) for a, v in EVERY if "parameters" in v.published],
    ids=lambda argument: argument.name,
)
def test_variants_have_the_printed_number_of_parameters(ablation, variant):
    recipe = variant_recipe(ablation, variant)
    scale = MISPRINTS.get((ablation.name, variant.name), ablation.scale)
    with torch.device("meta"):
        network = build_network(
            recipe.model, scale=scale, options=recipe.network
        ).deploy()
    count = sum(parameter.numel() for parameter in network.parameters()) / 1000
    # Papers cut (454.6 K is 454 K) or round to their digits.
    digits = 1 if ablation.name == "g-idrn/blocks" else 0
    cut = math.floor(count * 10**digits) / 10**digits
    assert variant.published["parameters"] in (round(count, digits), pytest.approx(cut))


TRAINED = []
for _ablation, _variant in EVERY:
    quick = _ablation.name in QUICK and _variant is _ablation.variants[-1]
    marks = () if quick else pytest.mark.slow
    TRAINED.append(pytest.param(_ablation, _variant, marks=marks))


@pytest.mark.parametrize(
    ("ablation", "variant"), TRAINED, ids=lambda argument: argument.name
)
def test_every_variant_trains(ablation, variant, astronaut):
    recipe = variant_recipe(ablation, variant)
    network = first_network(recipe, scale=ablation.scale, seed=0)
    training = StepContext(
        network=network, numerics=Numerics(device=torch.device("cpu"))
    )
    channels = 1 if getattr(network, "colour", "rgb") == "y" else 3
    hr, lr = patches(astronaut, ablation.scale, channels, edge := network.padded(8))
    for i, stage in enumerate(recipe.stages):
        if stage in recipe.stages[:i]:
            continue
        before = parameters_to_vector(network.parameters())
        step = make_step(replace(stage, patch=edge, batch=1), training)
        values = step(lr, hr, 0.5)
        for value in values.values():
            assert math.isfinite(float(value))
        assert not torch.equal(before, parameters_to_vector(network.parameters()))


def patches(picture, scale, channels, edge):
    """HR and LR patches of a picture, (1, C, scale edge, scale edge) and (1, C, edge, edge)."""
    hr = picture[: edge * scale, : edge * scale, :channels]
    pair = (hr, resize(hr, Fraction(1, scale)))
    return [torch.from_numpy(array).permute(2, 0, 1)[None] / 255 for array in pair]


def test_changes_are_those_of_a_recipe_and_stages_are_copied():
    ablation = ABLATIONS["rrlfn/contrastive"]
    base = variant_recipe(ablation, ablation.variant("ws_2"))
    contrastive = variant_recipe(ablation, ablation.variant("ws_2_CL"))
    assert base.stages == RECIPES["rrlfn-short"].stages
    assert (base.start_from, contrastive.start_from) == ("rrlfn", "rrlfn")
    assert [(term.name, term.weight) for term in contrastive.stages[0].losses] == [
        ("l1", 1.0),
        ("contrastive", 0.0001),
    ]
    ablation = ABLATIONS["rrlfn/warm-start"]
    lengths = set()
    for variant in ablation.variants:
        stages = variant_recipe(ablation, variant).stages
        lengths.add(sum(stage.steps for stage in stages))
    assert len(lengths) == 1
    goes_on = variant_recipe(ablation, ablation.variant("80w2t_cls")).stages
    assert [stage.reset_optimizer for stage in goes_on] == [True, False]


def test_settings_for_all_variants_come_before_the_changes():
    ablation = ABLATIONS["rrlfn/warm-start"]
    settings = ("stages.0.batch=4", "ema_decay=0.9")
    recipe = variant_recipe(ablation, ablation.variant("ws_1"), settings)
    assert recipe.ema_decay == 0.9
    assert [stage.batch for stage in recipe.stages] == [4, 4]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("rrlfn/contrastive", "start_from"),  # of all variants
        ("ddsr/depth", "network.depth"),  # of each
        ("rrlfn/contrastive", "stages.0.losses.0.weight"),  # inside what some change
        ("ddsr/depth", "network"),  # around it
    ],
)
def test_what_an_ablation_changes_itself_cannot_be_set(name, path):
    ablation = ABLATIONS[name]
    value = '{"depth": 5}' if path == "network" else "1"
    with pytest.raises(RecipeError, match=rf"--set {path}: {name} changes .* itself"):
        variant_recipe(ablation, ablation.variant(ablation.base), (f"{path}={value}",))


def test_ablations_are_selected_by_name_by_network_and_from_files(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(FILE)
    selected = select_ablations(["ddsr/depth", str(file)])
    assert [ablation.name for ablation in selected] == ["ddsr/depth", "mine"]
    assert len(select_ablations(["ddsr", "ddsr/depth"])) == 5
    with pytest.raises(RecipeError, match=r"did you mean 'g-idrn/blocks'"):
        select_ablations(["g-idrn/block"])
    with pytest.raises(RecipeError, match=r"there are: g-idrn/blocks, "):
        select_ablations(["?"])


def test_a_file_gives_ablations_of_ones_own(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(FILE)
    (mine,) = load_ablations(file)
    assert (mine.name, mine.base, mine.sets, mine.source) == (
        "mine",
        "18",
        ("Set5",),
        "",
    )
    assert variant_recipe(mine, mine.variant("18")) == RECIPES["ddsr-short"]
    small = variant_recipe(mine, mine.variant("6"))
    assert small.network == {"depth": 6}
    assert small.stages[0].batch == 4
    second = FILE.replace('"mine"', '"mine/two"')
    file.write_text(FILE + second)
    assert [ablation.name for ablation in load_ablations(file)] == ["mine", "mine/two"]


def test_a_recipe_file_is_looked_for_beside(tmp_path, monkeypatch):
    (tmp_path / "r.toml").write_text('model = "ddsr"\nnetwork = { depth = 4 }\n')
    file = tmp_path / "my.toml"
    file.write_text(FILE.replace("ddsr-short", "r.toml"))
    monkeypatch.chdir(tmp_path.parent)
    (mine,) = load_ablations(file)
    assert variant_recipe(mine, mine.variant("18")).network == {"depth": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no"),
        ("x = ", "not TOML"),
        (
            FILE.replace('sets = ["Set5"]', 'set = ["Set5"]'),
            "no field 'set' in ablation.0; did",
        ),
        (
            FILE.replace("sentence", "sentense"),
            "no field 'sentense' in ablation.0.variants.0; did",
        ),
        (
            FILE.replace('base = "18"', 'base = "9"'),
            "base '9' is none of the variants: 18, 6",
        ),
        (FILE.replace("network.depth", "networks.depth"), "'6': no field 'networks'"),
        (
            FILE.replace('"stages.0.batch" = 4', '"stages.2.batch" = 4'),
            "no entry '2' in stages",
        ),
        (
            FILE.replace('"stages.0.batch" = 4', '"stages.0.batch" = 0'),
            "'6': stages.0.batch must",
        ),
        (FILE.replace('"ddsr-short"', '"ddsr-shrt"'), "no recipe 'ddsr-shrt'"),
        (FILE.replace('"ddsr-short"', '"none.toml"'), "none.toml: cannot be read"),
        (FILE.replace('"mine"', '"ddsr/depth"'), "ddsr/depth: this name is taken"),
        (
            FILE.replace("scale = 2", "scale = 2\nmemory_sizes = [[0, 4]]"),
            "height and width",
        ),
        (
            FILE.replace('name = "6"', 'name = "18"'),
            "mine: give two variants or more, each with",
        ),
        (FILE[: FILE.rindex("[[")], "mine: give two variants or more"),
        (
            FILE + FILE.replace('"mine"', '"other"').replace("scale = 2", "scale = 5"),
            "ablation.1.scale must be 2, 3 or 4",
        ),
        (FILE.replace('"mine"', '"Mine"'), "small letters"),
        (FILE.replace('"mine"', '"../a"'), "small letters"),
    ],
)
def test_a_file_with_mistakes_is_refused_by_file_and_key(tmp_path, text, message):
    check_refused(tmp_path / "my.toml", text, message)


@pytest.mark.parametrize("name", ["", " a", "a/b", "<b>", "é"])
def test_names_that_files_cannot_have_are_refused(tmp_path, name):
    text = FILE.replace('name = "6"', f"name = {name!r}")
    check_refused(tmp_path / "my.toml", text, "digits, blanks")


@pytest.mark.parametrize(
    "key", ["psnr", "Set5.ifc", "memory.0x8", "Set5.seconds.difference"]
)
def test_printed_figures_of_other_kinds_are_refused(tmp_path, key):
    text = FILE.replace(
        'sentence = "as', f'published = {{ "{key}" = 3 }}\nsentence = "as'
    )
    message = r"must be figures by .*memory\.HEIGHTxWIDTH"
    check_refused(tmp_path / "my.toml", text, message)


def check_refused(file, text, message):
    """Check that a file is refused in one line that begins with its name."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message) as caught:
        load_ablations(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_printed_difference_is_that_of_the_values_or_printed_itself():
    (mine,) = parse_ablations(tomllib.loads(FILE))
    base, deep = mine.variants

    def printing(of_base, second):
        return replace(
            mine,
            variants=(
                replace(base, published=of_base),
                replace(deep, published=second),
            ),
        )

    printed_values = printing(
        {"B100.psnr": 37.893}, {"B100.psnr": 37.931, "B100.ssim": 0.9}
    )
    # free of binary dust
    assert printed_values.printed_difference("6", "BSD100") == 0.038
    # the base has none
    assert printed_values.printed_difference("6", "BSD100", "ssim") is None
    assert (
        printed_values.printed_difference("6", "Set14")
        is printed_values.printed_difference("18", "B100")
        is None
    )
    alone = printing({}, {"Set5.psnr.difference": -0.09})
    assert alone.printed_difference("6", "Set5") == -0.09


def test_the_file_of_choices_holds_comparisons_of_a_short_training():
    choices = load_ablations(Path(__file__).parents[2] / "benchmarks" / "choices.toml")
    assert len(choices) >= 6
    for ablation in choices:
        assert ablation.own
        assert ablation.sets == ("Set5", "Set14")
    for ablation in choices:
        # Bases are the recipes themselves, so that each is trained once.
        assert (
            variant_recipe(ablation, ablation.variant(ablation.base))
            == RECIPES[ablation.recipe]
        )


def test_folders_of_variants_have_names_that_every_system_takes():
    names = ["width: 4", "width_ 4", "4.5, x=2+1"]
    folders = {Variant(name=name, sentence="narrow").folder for name in names}
    assert folders == {"width%3A 4", "width_ 4", "4.5, x=2+1"}
