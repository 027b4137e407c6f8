"""Bare tensors of each network of the table are recognised, and nothing else is."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.models import MODELS, build_network
from srcli.models.recognising import recognise
from srcli.models.weights import load_model, read_weights, weights_path

SEEN = [
    (name, scale)
    for name in ("g-idrn", "rrlfn", "nested-attn", "attentive-gan")
    for scale in MODELS[name].scales
]


@pytest.mark.parametrize(("name", "scale"), SEEN)
def test_shipped_weights_without_their_metadata_give_the_same_network(tmp_path, name, scale):
    tensors, info = read_weights(weights_path(name, scale))
    assert info is not None
    assert recognise("a.pth", tensors) == (name, scale, dict(info.network))
    torch.save({"params": tensors}, tmp_path / "a.pth")
    found = load_model(str(tmp_path / "a.pth"))
    expected = load_model(name, scale)
    picture = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(found(picture), expected(picture))


def test_the_form_that_is_trained_is_recognised_too():
    state = build_network("rrlfn", scale=3).state_dict()
    assert recognise("a.pth", state) == ("rrlfn", 3, {})


def test_a_scale_that_cannot_be_seen_must_be_named():
    state = build_network("ddsr", scale=3).state_dict()
    assert recognise("a.pth", state, 3) == ("ddsr", 3, {})
    with pytest.raises(ModelError, match=r"a\.pth: is of ddsr.*\(2, 3, 4\); name one"):
        recognise("a.pth", state)


def test_what_fits_nothing_is_told():
    state = build_network("g-idrn", scale=2).state_dict()
    with pytest.raises(ModelError, match=r"a\.pth: is for scale 2, not 4"):
        recognise("a.pth", state, 4)
    state.popitem()
    with pytest.raises(ModelError, match=r"a\.pth: does not say which network .* --init"):
        recognise("a.pth", state)
