"""What ``torch.save(network.state_dict(), FILE)`` keeps of our networks is read again."""

from __future__ import annotations

import pytest
import torch

from srcli.errors import ModelError
from srcli.models import MODELS, build_network, outline_network
from srcli.models.loading import load_model
from srcli.models.own_names import find_own
from tests.fixtures.cases import CASES, picture, small

CLASSES = {entry.target: name for name, entry in MODELS.items() if entry.needs_weights}
"""A name for each class of networks."""
OPTIONS = [
    ("g-idrn", {"group_width": 4}),
    ("rrlfn", {"bn": True, "channels": 40}),
    ("edsr", {"channels": 64, "num_blocks": 16}),
]
"""Options of networks whose names tell of them, by shapes."""


def outline(name, scale, options):
    """Shapes of a network's state, without memory for it."""
    network = outline_network(name, scale=scale, options=options, most_tensors=None)
    return network.state_dict()


@pytest.mark.parametrize("most", [1, pytest.param(9, marks=pytest.mark.slow)])
def test_every_network_is_recognised_at_its_scales(most):
    """At all of them where there is time, else at one: the first, second or third."""
    for number, (target, name) in enumerate(CLASSES.items()):
        scales = MODELS[name].scales
        first = number % len(scales) if most == 1 else 0
        for scale in scales[first : first + most]:
            match = find_own(outline(name, scale, {}))
            assert match is not None, (name, scale)
            assert MODELS[match.model].target == target
            assert (dict(match.options), scale in match.scales) == ({}, True)


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_options_are_those_by_which_the_shapes_come_out(name, options):
    match = find_own(outline(name, 4, options))
    assert match is not None
    assert (match.model, match.options, match.scales) == (name, options, (4,))


def test_options_that_the_user_knows_are_where_the_search_begins():
    options = {"block": "rfdb", "dense_shortcut": False, "anrb": False}
    options |= {"dual_path": False, "outer_shortcut": False}
    tensors = outline("g-idrn", 2, options | {"channels": 48})
    assert find_own(tensors) is None
    match = find_own(tensors, options)
    assert match is not None
    assert (match.options, match.scales) == (options | {"channels": 48}, (2,))


def test_a_saved_state_is_loaded_again(tmp_path):
    network = build_network("quick", scale=2).eval()
    file = tmp_path / "x.pth"
    torch.save(network.state_dict(), file)
    loaded = load_model(file)
    x = picture(network, 24, 28)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x), network(x), atol=1e-4, rtol=1e-4)


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
