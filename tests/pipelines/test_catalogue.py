"""Every shipped weights file has a card that fits it."""

from __future__ import annotations

import hashlib

import pytest

from srcli.models import MODELS
from srcli.models.weights import load_model, read_weights, shipped_scales, weights_path
from srcli.pipelines.catalogue import catalogue

SHIPPED = [
    (name, scale) for name in MODELS if MODELS[name].trained for scale in shipped_scales(name)
]


def test_the_flagship_ships_at_every_scale():
    assert shipped_scales("g-idrn") == (2, 3, 4)


@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_cards_belong_to_their_weights(name, scale):
    path = weights_path(name, scale)
    (card,) = [c for c in catalogue(name)[0].cards if c.scale == scale]
    assert card.content["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.content["model"] == name
    assert card.content["scale"] == scale
    _, info = read_weights(path)
    assert info is not None
    assert (info.model, info.scale) == (name, scale)
    assert (
        sum(p.numel() for p in load_model(name, scale).parameters()) == card.efficiency.parameters
    )
    assert {"Set5", "Set14"} <= set(card.content["measured"]["sets"])
