"""Every shipped weights file has a card that fits it; what has none is described as well."""

from __future__ import annotations

import hashlib

import pytest

from srcli.models import MODELS, build_network
from srcli.models.storage import WeightsInfo, read_weights, save_weights
from srcli.models.weights import load_model, shipped_scales, weights_path
from srcli.pipelines.models import list_models, measured_by_set
from srcli.recipes.files import RECIPES

SMALL = {"channels": 16, "num_blocks": 2, "num_groups": 1}


@pytest.mark.parametrize("name", [n for n, e in MODELS.items() if not e.compared] + ["ecbsr"])
def test_every_model_has_a_card_for_each_scale_and_a_recipe_if_it_is_trained(name):
    (model,) = list_models(name)
    assert tuple(card["scale"] for card in model["cards"]) == MODELS[name].scales
    assert tuple(model["scales"]) == shipped_scales(name)
    assert sorted(model["scales"] + model["untrained"]) == list(MODELS[name].scales)
    assert bool(model["recipes"]) == MODELS[name].trained
    assert model["tile"] == MODELS[name].tile
    assert "scale" not in model["network"]["options"]
    for card in model["cards"]:
        if card["file"]:
            check_card(name, card)


def check_card(name, card):
    """A card belongs to the shipped weights beside it."""
    path = weights_path(name, card["scale"])
    assert card["file"] == str(path)
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not card["stale"]
    assert MODELS[card["model"]].target == MODELS[name].target
    info = read_weights(path)[1]
    assert info is not None
    assert (info.model, info.scale) == (card["model"], card["scale"])
    parameters = sum(p.numel() for p in load_model(name, card["scale"]).parameters())
    assert parameters == card["efficiency"]["parameters"]
    assert {"Set5", "Set14"} <= set(measured_by_set(card))
    recipe = RECIPES[card["training"]["recipe"]]  # one that a reader can run
    assert MODELS[recipe.model].target == MODELS[name].target


def test_weights_given_as_a_file_are_cut_as_their_network_is(tmp_path):
    network = build_network("attentive-gan", scale=4, options={"channels": 4})
    info = WeightsInfo(model="attentive-gan", scale=4, network={"channels": 4}, notes={})
    save_weights(tmp_path / "mine.safetensors", network.state_dict(), info)
    (model,) = list_models(str(tmp_path / "mine.safetensors"))
    assert model["overlap"] == MODELS["attentive-gan"].overlap == 24
