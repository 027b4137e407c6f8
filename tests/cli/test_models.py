"""`srx models`: the list, the cards of a model, weights files, JSON."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tomllib
from operator import itemgetter

import pytest

from srcli.metrics.efficiency import model_cost
from srcli.models import MODELS, build_network
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import WeightsInfo, shipped_scales, weights_path
from srcli.pipelines import models
from srcli.recipes.files import RECIPES

SMALL = {
    "channels": 12,
    "steps": 2,
    "num_rdb": 1,
    "growth": 4,
    "rdb_depth": 2,
    "mapping_depth": 2,
}


def card_of(name, scale):
    """The card beside the shipped weights."""
    return weights_path(name, scale).with_suffix(".toml")


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A weights file of a small network."""
    file = tmp_path_factory.mktemp("runs") / "best.safetensors"
    network = build_network("attentive-gan", scale=4, options=SMALL)
    info = WeightsInfo(
        model="attentive-gan", scale=4, network=SMALL, notes={"recipe": "mine"}
    )
    save_weights(file, network.state_dict(), info)
    return file


@pytest.fixture(scope="module")
def listed():
    """All models but those without weights here, which take some seconds to count."""
    return {model["name"]: model for model in models.list_models()}


@pytest.fixture
def counted(monkeypatch, listed):
    """The command shows those."""

    def look_up(name, **_):
        return [listed[name]] if name else list(listed.values())

    monkeypatch.setattr(models, "list_models", look_up)


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """Nothing is installed."""
    monkeypatch.setattr(
        models, "weights_path", lambda name, scale: tmp_path / f"{name}{scale}"
    )


def test_models_that_share_a_network_have_its_costs(listed):
    for name, scale in (("g-idrn-photo", 4), ("ddsr", 3)):
        (card,) = (card for card in listed[name]["cards"] if card["scale"] == scale)
        cost = model_cost(load_model(name, scale), model=card["efficiency"]["model"])
        assert card["efficiency"] == cost


@pytest.mark.usefixtures("counted")
def test_the_list_has_a_line_for_every_model_and_scale(srx, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = srx("models", code=0)
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 80
    starts = [line.split()[0] if line.split() else "" for line in lines]
    shown = {name: entry for name, entry in MODELS.items() if not entry.is_baseline}
    text = " ".join(result.out.split())
    unavailable = ", ".join(name for name in MODELS if name not in shown)
    assert f"without weights here: {unavailable}. 'srx models --all' shows" in text
    for name, entry in shown.items():
        start = starts.index(name)
        block = lines[start : start + len(entry.scales)]
        for scale, line in zip(entry.scales, block, strict=True):
            assert f" x{scale} " in line
            ready = scale in shipped_scales(name)
            assert ("untrained" in line) != ready
        assert entry.source in lines[start + 1]
    measured = tomllib.loads(card_of("g-idrn", 2).read_text("utf-8"))["measured"][
        "sets"
    ]["Set5"]
    psnr = f"{measured['psnr']:.2f}"
    assert re.search(rf"g-idrn +RGB +x2 +553,638 +34\.3 +{psnr}", result.out)
    assert re.search(r"rrlfn +RGB +x2 +454,620 +28\.1", result.out)  # deployed
    assert re.search(r"ddsr +Y +x2 +630,145 +164\.5", result.out)
    columns = set()
    for line in lines:
        match = re.search(" x[234] ", line)
        if match:
            columns.add(match.start())
    assert len(columns) == 1


@pytest.mark.parametrize(
    "name", [n for n, entry in MODELS.items() if not entry.is_baseline]
)
def test_every_model_has_a_card_for_each_scale_and_a_recipe_if_it_is_trained(
    listed, name
):
    model = listed[name]
    entry = MODELS[name]
    assert tuple(map(itemgetter("scale"), model["cards"])) == entry.scales
    assert tuple(model["scales"]) == shipped_scales(name)
    assert sorted(model["scales"] + model["untrained"]) == list(entry.scales)
    assert bool(model["recipes"]) == entry.needs_weights
    assert model["tile"] == entry.tile
    assert "scale" not in model["network"]["options"]
    for card in filter(itemgetter("file"), model["cards"]):
        path = weights_path(name, card["scale"])
        assert card["file"] == str(path)
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert not card["stale"]
        assert MODELS[card["model"]].target == entry.target
        info = read_weights(path)[1]
        assert info is not None
        assert (info.model, info.scale) == (card["model"], card["scale"])
        parameters = sum(
            p.numel() for p in load_model(name, card["scale"]).parameters()
        )
        assert parameters == card["efficiency"]["parameters"]
        assert {"Set5", "Set14"} <= card["sets"].keys()
        recipe = RECIPES[card["training"]["recipe"]]  # one that a reader can run
        assert MODELS[recipe.model].target == entry.target


def test_the_list_says_what_is_missing_and_has_compared_networks_where_all_are_asked_for(
    srx, no_weights, monkeypatch
):
    few = {name: MODELS[name] for name in ("ddsr", "attentive-gan", "bicubic", "ecbsr")}
    monkeypatch.setattr(models, "MODELS", few)
    out = srx("models").out
    assert (out.count("untrained"), out.count("–")) == (4, 3)
    assert "ecbsr" not in out.partition("without weights here: ecbsr")[0]
    result = srx("models --all")
    assert "594,884" in result.out
    assert "without weights here" not in result.out


@pytest.mark.usefixtures("counted")
def test_a_model_shows_costs_training_and_measured_table(srx):
    result = srx("models g-idrn", code=0)
    text = " ".join(result.out.split())
    words = [
        "553,638 564,513 579,738",
        "36.182",
        "Acta Automatica Sinica 2024",
        "num_blocks=9",
    ]
    words += [
        "192x192 input pixels, neighbours share 8",
        "recipes g-idrn, g-idrn-short",
    ]
    cards = [
        tomllib.loads(card_of("g-idrn", scale).read_text("utf-8"))
        for scale in (2, 3, 4)
    ]
    for name, metric, label in (("Set5", "psnr", "PSNR dB"), ("Set14", "ssim", "SSIM")):
        values = [card["measured"]["sets"][name][metric] for card in cards]
        digits = 3 if metric == "psnr" else 4
        words.append(
            f"{name} {label} " + " ".join(f"{value:.{digits}f}" for value in values)
        )
    for card in cards:
        words += [
            card["sha256"],
            f"licence {card['licence']}",
            card["measured"]["command"],
        ]
        for key, value in card["training"].items():
            words += [f"{key} {value}"]
        if shift := card["measured"].get("flat_colours"):
            words.append(f"come out up to {shift} of 255 levels wrong")
    for word in words:
        assert word in text


def test_a_model_without_weights_shows_its_costs_and_how_to_train_it(srx, no_weights):
    result = srx("models nested-attn", code=0)
    assert "1,777,395" in result.out
    assert "untrained" in result.out
    assert "srx train nested-attn -s 2 --data" in result.out


def test_a_weights_file_tells_what_it_holds(srx, generator):
    result = srx("models", generator, code=0)
    parameters = sum(
        p.numel()
        for p in build_network("attentive-gan", scale=4, options=SMALL).parameters()
    )
    for word in (
        "weights of attentive-gan x4",
        "growth=4",
        "recipe mine",
        f"{parameters:,}",
    ):
        assert word in " ".join(result.out.split())
    (entry,) = json.loads(srx("models", generator, "--json -").out)
    assert (entry["name"], entry["scales"]) == ("attentive-gan", [4])
    assert entry["overlap"] == MODELS["attentive-gan"].overlap == 24


def test_a_card_of_other_weights_is_not_believed(srx, tmp_path, generator):
    file = tmp_path / "mine.safetensors"
    shutil.copy(generator, file)
    shutil.copy(card_of("g-idrn", 4), file.with_suffix(".toml"))
    result = srx("models", file, code=0)
    assert "another sha256" in result.out
    assert "Set5" not in result.out
    file.with_suffix(".toml").write_text("not toml")
    assert "another sha256" not in srx("models", file, code=0).out


@pytest.mark.usefixtures("counted")
def test_json_of_one_model(srx, tmp_path):
    file = tmp_path / "models.json"
    assert "579,738" in srx("models g-idrn --json", file).out
    (entry,) = json.loads(srx("models g-idrn --json -").out)
    assert json.loads(file.read_text()) == [entry]
    assert entry["cards"][0]["efficiency"]["parameters"] == 553_638
    assert (entry["channel"], entry["tile"], entry["scales"]) == ("RGB", 192, [2, 3, 4])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gidrn", "did you mean g-idrn?"),
        ("zzz", "no model 'zzz'; give one that 'srx models' lists"),
        ("missing.safetensors", "no such weights file"),
    ],
)
def test_a_wrong_name_is_one_line(srx, name, message):
    result = srx("models", name, code=2)
    assert message in result.err
    assert result.err.count("\n") == 1
