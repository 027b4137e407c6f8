"""Networks with two forms are stored deployed and trained with branches; others have one."""

from __future__ import annotations

import torch

from srcli.models import build_network
from srcli.models.forms import TwoForms, to_deployed, to_training

SMALL = {"channels": 8, "num_blocks": 1, "esa_channels": 4}


def build(scale=2, **options):
    """A small rrlfn in evaluation mode."""
    torch.manual_seed(0)
    return build_network("rrlfn", scale=scale, options=SMALL | options).eval()


def same(a, b):
    """Whether two states hold the same tensors."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_what_is_stored_is_the_deployed_form_of_the_given_state():
    network = build(bn=True)
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    averages = {
        key: value * 1.5 if value.is_floating_point() else value for key, value in kept.items()
    }
    tensors, options = to_deployed(network, averages, SMALL | {"bn": True})
    assert same(network.state_dict(), kept)
    assert options == SMALL | {"bn": True, "deployed": True}
    stored = build_network("rrlfn", scale=2, options=options).eval()
    stored.load_state_dict(tensors)
    network.load_state_dict(averages)
    x = torch.rand(1, 3, 17, 16)
    with torch.no_grad():
        torch.testing.assert_close(stored(x), network(x), atol=1e-5, rtol=0)


def test_stored_weights_of_another_scale_become_training_weights():
    stored = build(2, deployed=True).state_dict()
    network = build(4, identity_branch=True)
    found = to_training(network, stored)
    assert found.keys() == network.state_dict().keys()
    assert not found["body.0.refine.0.point.weight"].any()
    assert torch.equal(found["up.weight"], stored["up.weight"])


def test_other_networks_have_one_form():
    network = build_network("g-idrn", scale=2, options={"num_blocks": 3})
    assert not isinstance(network, TwoForms)
    state = network.state_dict()
    tensors, options = to_deployed(network, state, {"num_blocks": 3})
    assert same(tensors, state)
    assert options == {"num_blocks": 3}
    assert same(to_training(network, state), state)
