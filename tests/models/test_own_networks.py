"""What is special in each of our networks; test_contract.py has what all of them must do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from skimage import data
from torch import nn

from srcli.errors import ModelError
from srcli.inference.engine import keep_half_weights
from srcli.inference.fusing.g_idrn import merge_layers
from srcli.layers.tiles import GlobalPool, hold, modules_of, record_calibration
from srcli.metrics.efficiency import count_parameters
from srcli.models import build_network
from srcli.models.g_idrn import GIDRN
from srcli.models.nested_attn import NestedAttention
from srcli.models.weights import load_model, network_digest
from tests.models.test_contract import small


def test_from_the_bicubic_start_the_non_local_block_begins_as_nothing_and_learns():
    torch.manual_seed(0)
    network: Any = GIDRN(scale=2, channels=16, num_blocks=4, num_groups=2)
    network.start_from_bicubic()
    features = torch.rand(1, 16, 7, 9)
    torch.testing.assert_close(network.non_local(features), features)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.rand(1, 3, 12, 9)).square().mean().backward()
        optimizer.step()
    moved = [
        p.grad is not None and bool(p.grad.any())
        for p in network.non_local.parameters()
    ]
    # A softmax does not feel a constant added to all its scores: the key's bias has no
    # gradient.
    assert sum(moved) >= len(moved) - 1


def spread(network):
    """Give biases and shares, which begin at 0 or alike, values of their own."""
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim < 2:
                value.copy_(torch.randn_like(value) * 0.3)
    return network.eval()


@pytest.mark.parametrize("channels", [16, 72])
def test_the_form_for_gpus_gives_the_same_up_to_the_rim(channels):
    torch.manual_seed(0)
    shape = {"channels": channels, "num_blocks": 4, "num_groups": 2}
    network: Any = spread(GIDRN(scale=2, **shape)).double()
    merge_layers(network, torch.float64)
    x = torch.rand(2, 3, 19, 14).double().contiguous(memory_format=torch.channels_last)
    held = modules_of(network, GlobalPool)
    # Attention is computed in fp32, where each of its sums has one term for every key.
    keys = sum(count**2 for count in network.non_local.bins)
    rounding = keys * torch.finfo(torch.float32).eps / 2
    pools = [
        {n: torch.rand(1, channels, 1, 1).double() for n in held} for _ in range(2)
    ]
    with torch.no_grad():
        for values in (None, *pools, None):
            with hold(network, values):
                expected = network.up(network.non_local(network.body(network.head(x))))
                found = network.merged(x)
                largest = expected.abs().max().item()
                torch.testing.assert_close(
                    found, expected, atol=rounding * largest, rtol=0
                )


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("g-idrn", torch.float16),
        ("g-idrn", torch.bfloat16),
        ("rrlfn", torch.float16),
        ("nested-attn", torch.float16),
    ],
)
def test_in_half_precision_that_form_is_as_near_and_in_fp32_it_is_not_used(name, half):
    network = load_model(name, 4).for_inference()
    kept = copy.deepcopy(network)
    keep_half_weights(kept, half)
    assert network_digest(kept)  # NumPy has no bfloat16
    x = (
        torch.from_numpy(data.astronaut()[60:84, 170:198].copy()).permute(2, 0, 1)[None]
        / 255
    )
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        with record_calibration(network) as values:
            network(x)
        for given in (
            [None, values] if values else [None]
        ):  # gates of what is held are a part of weights
            with hold(network, given), hold(kept, given):
                exact = network(x)
                assert torch.equal(kept(x), exact)
                with torch.autocast("cpu", dtype=half):
                    before, after = (
                        (each(x) - exact).abs() for each in (network, kept)
                    )
            assert 0 < after.mean() < 1.1 * before.mean()
            assert after.square().mean() < 1.2**2 * before.square().mean()


@pytest.mark.parametrize(
    "options",
    [
        {"block": "rfdb"},
        {"dense_shortcut": False},
        {"ds_self": True},
        {"outer_shortcut": False},
    ],
)
def test_ablation_models_have_no_such_form(options):
    network: Any = small("g-idrn", **options)
    keep_half_weights(network, torch.bfloat16)
    assert network.merged is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.rand(1, 3, 16, 16))


def test_files_that_name_branches_which_are_gone_load_where_these_were_off_or_folded():
    for options in (
        {"edge_branches": False},
        {"edge_branches": True, "deployed": True},
    ):
        assert build_network("g-idrn", scale=2, options=options).scale == 2
    with pytest.raises(ModelError, match="no option 'edge_branches'"):
        build_network("g-idrn", scale=2, options={"edge_branches": True})


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("rrlfn", {"channels": 11}, "12 channels"),
        ("ddsr", {"scale": 4, "depth": 6}, "8 layers or more, not 6"),
        (
            "ddsr",
            {"scale": 4, "depth": 18, "channels": 35},
            "36 channels or more, not 35",
        ),
        ("attentive-gan", {"channels": 8}, "12 channels or more"),
    ],
)
def test_a_bicubic_start_that_does_not_fit_is_refused(name, options, words):
    with pytest.raises(ModelError, match=words):
        small(name, **options).start_from_bicubic()


def test_small_pictures_are_continued_by_their_outermost_pixels():
    network = small("rrlfn")
    x = torch.rand(1, 3, 4, 6)
    rows = torch.arange(15).clamp(max=3)
    columns = torch.arange(15).clamp(max=5)
    with torch.no_grad():
        assert torch.equal(
            network(x), network(x[:, :, rows][:, :, :, columns])[:, :, :8, :12]
        )


def test_the_bicubic_start_keeps_a_little_of_the_deep_path():
    network: Any = small("rrlfn")
    tail = network.tail.weight.detach().clone()
    network.start_from_bicubic()
    torch.testing.assert_close(network.tail.weight.detach(), tail * 0.1)
    assert count_parameters(network) == count_parameters(small("rrlfn"))


def test_half_precision_keeps_what_passes_the_mapping_exact():
    network: Any = small("ddsr")
    with torch.no_grad():
        for layer in network.body:
            layer.weight.zero_()  # the mapping gives nothing: all comes from F1
        network.last.weight.mul_(100)
        x = torch.rand(1, 1, 9, 9)
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(x)
    assert half.dtype == torch.float32
    assert exact.std() > 0.01
    torch.testing.assert_close(half, exact, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"steps": 0}])
def test_gradients_reach_every_parameter_from_the_bicubic_start(options):
    network = small("attentive-gan", **options).train()
    network.start_from_bicubic()
    network(torch.rand(2, 3, 12, 9)).square().mean().backward()
    dead = [
        name
        for name, p in network.named_parameters()
        if p.grad is None or not p.grad.any()
    ]
    assert dead == []


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_there_is_one_map_a_step_of_lr_s_size_between_0_and_1(steps, astronaut):
    network: Any = small("attentive-gan", steps=steps)
    x = (
        torch.from_numpy(astronaut[:20, :31].copy()).permute(2, 0, 1)[None].float()
        / 255
    )
    with torch.no_grad():
        sr_image, maps = network.attend(x)
        assert torch.equal(sr_image, network(x))
    assert len(maps) == steps == network.num_maps
    for each in maps:
        assert each.shape == (1, 1, 20, 31)
        assert 0 <= float(each.min()) < float(each.max()) <= 1


def test_relus_stand_behind_every_convolution_but_those_that_end_a_branch():
    plain, rectified = (
        NestedAttention(levels=2),
        NestedAttention(levels=2, activations="all"),
    )
    counts = [
        sum(isinstance(m, nn.ReLU) for m in each.modules())
        for each in (plain, rectified)
    ]
    assert (
        counts[1] - counts[0] == 1 + 1 + 2
    )  # the first, the loop's 1x1, two steps of x2
    rectified.load_state_dict(
        {k.replace("up.2", "up.3"): v for k, v in plain.state_dict().items()}
    )
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(plain(x), rectified(x))
