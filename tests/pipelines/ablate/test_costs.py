"""Costs of the deployed form, against printed counts and sums by hand."""

from __future__ import annotations

import pytest

from srcli.errors import ModelError
from srcli.pipelines.ablate.costs import measure_cost
from srcli.pipelines.ablate.store import Store
from srcli.recipes.overrides import apply_overrides
from srcli.recipes.table import RECIPES


def cost(tmp_path, name, *changes, **own):
    recipe = Store(tmp_path).put_recipe(apply_overrides(RECIPES[name], changes))
    given = {"scale": 2, "sizes": [], "gradients": False, "device": "cpu", **own}
    return measure_cost(recipe, **given)


def test_a_network_with_two_forms_counts_as_it_is_deployed(tmp_path):
    assert cost(tmp_path, "rrlfn", scale=4)["parameters"] == 470_208
    assert cost(tmp_path, "rrlfn", scale=2)["parameters"] == 454_620


def test_work_is_that_of_the_convolutions_at_256(tmp_path):
    found = cost(tmp_path, "g-idrn", "network.block=rfdb", "network.channels=48", scale=4)
    other = cost(tmp_path, "g-idrn", "network.block=rfdb", "network.channels=48", scale=2)
    # x4 has 36 channels before the last shuffle, x2 has 12, at 256x256 LR pixels each.
    head = (48 - 12) * (48 * 9)
    side = (48 - 12) * (3 * 25)
    assert found["macs"] - other["macs"] == (head + side) * 256 * 256


def test_memory_is_measured_at_every_size(tmp_path):
    small = ("network.channels=8", "network.num_blocks=1", "network.num_groups=1")
    found = cost(tmp_path, "g-idrn", *small, sizes=[(16, 24), (32, 48)])
    first, second = found["memory"]
    assert (first["size"], second["size"]) == ((16, 24), (32, 48))
    assert second["peak"] > 2 * first["peak"] > 0


def test_an_option_that_does_not_fit_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="wings"):
        cost(tmp_path, "g-idrn", "network.wings=2")
