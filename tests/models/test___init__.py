"""The table of networks: every entry can be imported and built, wrong options are refused."""

from __future__ import annotations

import pytest

from srcli.errors import ModelError
from srcli.models import MODELS, build_network, find_entry, outline_network


@pytest.mark.usefixtures("_no_numbers")
@pytest.mark.parametrize("name", MODELS)
def test_every_entry_describes_itself_and_its_tiles(name):
    entry = find_entry(name)
    assert entry.summary
    assert 0 <= 2 * entry.overlap < entry.tile
    network = outline_network(
        name, scale=entry.scales[0], options={}, most_tensors=None
    )
    assert entry.needs_weights == bool(list(network.parameters()))


@pytest.mark.parametrize(
    ("name", "scale", "options", "words"),
    [
        ("g-idn", 2, {}, "give one that 'srx models' lists"),
        ("g-idrn", 5, {}, "it has: 2, 3, 4"),
        ("g-idrn", 2, {"chanels": 8}, "did you mean 'channels'"),
        ("g-idrn", 2, {"channels": 8.5}, "whole number"),
        ("g-idrn", 2, {"channels": "8"}, "whole number"),
        ("g-idrn", 2, {"anrb_bins": 3}, "a list"),
        ("g-idrn", 2, {"block": "x"}, "one of g-idb, rfdb"),
        ("g-idrn", 2, {"scale": 2}, "no option of the network"),
        ("g-idrn", 2, {"group_width": 0}, "model g-idrn: "),
        ("g-idrn", 2, {"channels": 20}, "group_width"),
        ("g-idrn", 2, {"num_blocks": 5}, "num_groups"),
        ("bicubic", 2, {"channels": 8}, "no option 'channels'"),
    ],
)
def test_what_does_not_fit_is_refused(name, scale, options, words):
    with pytest.raises(ModelError, match=words):
        build_network(name, scale=scale, options=options)
