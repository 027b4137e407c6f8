"""What ``torch.save(network.state_dict(), FILE)`` keeps of our networks is read again."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.models import MODELS, build_network
from srcli.models.loading import load_model
from srcli.models.own_names import find_own
from tests.fixtures.cases import CASES, picture, small

SAVED = [name for name in CASES if MODELS[name].needs_weights]


@pytest.mark.parametrize("name", SAVED)
def test_a_state_dict_of_any_network_is_recognised(tmp_path, name):
    scale = MODELS[name].scales[-1]
    # rounds through the same layers, which no tensor shows, are the usual ones
    rounds = {"steps": 4} if name == "attentive-gan" else {}
    network = small(name, scale, **rounds)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    file = tmp_path / "x.pth"
    torch.save(network.state_dict(), file)
    loaded = load_model(file, scale)
    assert type(loaded) is type(network)
    x = picture(network, 24, 28)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), network(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "scale", "options"),
    [
        ("g-idrn", 3, {}),
        ("g-idrn", 2, {"group_width": 4}),
        ("rrlfn", 4, {"deployed": True, "num_blocks": 3}),
        ("rrlfn", 2, {"bn": True, "channels": 40}),
        ("edsr", 4, {}),
        ("nested-attn", 2, {"ca": False}),
    ],
)
def test_options_are_those_by_which_the_shapes_come_out(name, scale, options):
    with torch.device("meta"):
        network = build_network(name, scale=scale, options=options)
    found = find_own(network.state_dict())
    assert found is not None
    assert (found.model, found.scales) == (name, (scale,))
    with torch.device("meta"):
        again = build_network(name, scale=scale, options=found.options)
    assert again.state_dict().keys() == network.state_dict().keys()


def test_what_no_shape_shows_is_told_and_can_be_set(tmp_path):
    network = small("srcnn", 3)
    file = tmp_path / "x.pth"
    torch.save(network.state_dict(), file)
    with pytest.raises(
        ModelError, match=r"is of srcnn, .*for which scale \(2, 3, 4, 8\)"
    ):
        load_model(file)
    network = build_network("edsr", scale=2, options=CASES["edsr"].small)
    torch.save(network.state_dict(), file)
    (note,) = load_model(file).notes
    assert (
        "edsr x2; options that are as usual (residual_scale, shift) are set by" in note
    )


def test_tensors_of_others_are_not_ours():
    names = ("head.weight", "body.0.weight", "body.1.weight")
    assert find_own({name: torch.rand(7, 7, 3, 3) for name in names}) is None
