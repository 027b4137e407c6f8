"""Optimisers: built, applied, restored exactly; Muon's steps; learning rates by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import RecipeError
from srcli.recipes.training import Optimizer, Schedule
from srcli.training.optimizers import (
    Muon,
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    orthogonal,
    rate_factor,
    restore_optimizer,
)

SETTINGS = Optimizer(learning_rate=1e-2, beta1=0.5, beta2=0.9, epsilon=1e-6)


def pushed(network, optimizer, *, rate=1e-2, clip_norm=0.0):
    """One change by a fixed gradient."""
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    apply_gradients(optimizer, rate=rate, clip_norm=clip_norm)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_layers_may_learn_at_rates_of_their_own(kind):
    network = nn.ModuleDict({"body": nn.Linear(2, 2), "up": nn.Linear(2, 1)})
    settings = Optimizer(kind=kind, learning_rate=1.0, rates={"up": 0.1})
    optimizer = make_optimizer(network, settings)
    before = {
        name: weight.detach().clone() for name, weight in network.named_parameters()
    }
    pushed(network, optimizer, rate=0.5)
    for name, weight in network.named_parameters():
        step = 0.05 if name.startswith("up") else 0.5
        torch.testing.assert_close(
            weight.detach(), before[name] - step, rtol=0, atol=1e-5
        )
    restore_optimizer(make_optimizer(network, settings), optimizer_tensors(optimizer))
    with pytest.raises(RecipeError, match="no weight of the network begins with 'upp'"):
        make_optimizer(network, replace(settings, rates={"upp": 0.1}))


@pytest.mark.parametrize(("clip_norm", "share"), [(0.0, 1.0), (0.3, 0.1), (100.0, 1.0)])
def test_the_whole_gradient_is_clipped(clip_norm, share):
    network = nn.Linear(2, 3)  # nine numbers: ones have the norm 3
    optimizer = make_optimizer(network, SETTINGS)
    pushed(network, optimizer, clip_norm=clip_norm)
    moment = optimizer.state[network.weight]["exp_avg"]
    torch.testing.assert_close(
        moment, torch.full((3, 2), 0.5 * share), rtol=1e-4, atol=0
    )


def test_gradient_descent_with_momentum_by_hand():
    network = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer(network, Optimizer(kind="sgd", momentum=0.5))
    before = network.weight.item()
    for _ in range(3):
        pushed(network, optimizer, rate=0.1)
    # The velocity is 1, then 1.5, then 1.75.
    assert network.weight.item() == pytest.approx(before - 0.425, abs=1e-6)
    assert optimizer_tensors(optimizer)["0.momentum_buffer"].item() == pytest.approx(
        1.75
    )


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("sgd", 0.1 * (1 + 0.3 * 2)),  # the decay joins the gradient
        ("adamw", 0.1 * (1 + 0.3 * 2)),  # and here the change, which is the rate
        # a single number is no matrix: Adam with AdamW's decay
        ("muon", 0.1 * (1 + 0.3 * 2)),
        ("adam", 0.1),  # the decay joins the gradient, whose size Adam takes away
    ],
)
def test_decay_by_hand(name, moved):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    optimizer = make_optimizer(network, Optimizer(kind=name, weight_decay=0.3))
    pushed(network, optimizer, rate=0.1)
    assert network.weight.item() == pytest.approx(2 - moved, abs=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["adam", "adamw", "muon", "sgd"])
def test_on_a_gpu_all_weights_change_in_one_kernel(name):
    network = nn.Linear(3, 3).cuda()
    optimizer = make_optimizer(network, Optimizer(kind=name))
    assert optimizer.defaults["fused"]
    before = network.weight.detach().clone()
    pushed(network, optimizer, rate=0.1)
    assert not torch.equal(network.weight, before)


def test_steps_halve_after_each_milestone():
    schedule = Schedule(kind="step", milestones=(0.2, 0.4, 0.6, 0.8), gamma=0.5)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.19, 0.2, 0.5, 0.6, 0.99, 1.0)]
    assert factors == [1, 1, 0.5, 0.25, 0.125, 0.0625, 0.0625]


@pytest.mark.parametrize("count", [3, 5, 6, 7, 10])
def test_halving_misses_no_milestone_by_rounding(count):
    schedule = Schedule(kind="halving", every=1 / count)
    for passed in range(count):
        assert rate_factor(schedule, passed / count) == 0.5**passed
        assert rate_factor(schedule, (passed + 0.99) / count) == 0.5**passed


def test_cosine_rises_in_the_warm_up_and_falls_to_its_floor():
    schedule = Schedule(kind="cosine", warmup=0.2, floor=0.1)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert factors == pytest.approx([0, 0.5, 1, 0.1 + 0.9 * 0.5, 0.1])


def test_cosine_begins_anew_at_each_restart():
    schedule = Schedule(kind="cosine", floor=0.1, restarts=(0.2, 0.6))
    factors = [rate_factor(schedule, p) for p in (0, 0.1, 0.2, 0.4, 0.6, 0.8, 1)]
    assert factors == pytest.approx([1, 0.55, 1, 0.55, 1, 0.55, 0.1])


def test_cosine_may_stay_at_its_peak_first():
    schedule = Schedule(kind="cosine", warmup=0.1, hold=0.6, floor=0.2)
    factors = [rate_factor(schedule, p) for p in (0.05, 0.1, 0.35, 0.6, 0.8, 1.0)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 0.2 + 0.8 * 0.5, 0.2])
    assert rate_factor(
        Schedule(kind="cosine", warmup=0.5, hold=0.2), 0.75
    ) == pytest.approx(0.5)
    assert rate_factor(Schedule(kind="cosine", hold=1.0), 1.0) == pytest.approx(1)


def given_gradients(network, seed=0):
    torch.manual_seed(seed)
    for parameter in network.parameters():
        # in this order, however it lies in memory
        parameter.grad = torch.randn(parameter.shape)


def changes(network, optimizer):
    """What one step does to each weight."""
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer.step()
    return [
        p.detach() - old for p, old in zip(network.parameters(), before, strict=True)
    ]


@pytest.mark.parametrize("shape", [(1, 8, 72), (9, 72, 8), (2, 5, 5), (1, 100, 4)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    torch.manual_seed(1)
    matrices = torch.randn(shape)
    orthogonalised = orthogonal(matrices)
    assert orthogonalised.shape == matrices.shape
    values = torch.linalg.svdvals(orthogonalised)
    assert values.min() > 0.5
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    # Between the singular vectors of the momentum, the step has nothing but its own
    # values.
    inner = u.mT @ orthogonalised @ v.mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-4


def test_every_group_of_a_kernel_is_a_matrix_of_its_own():
    network = nn.Conv2d(24, 24, 3, groups=3, bias=False)
    given_gradients(network)
    assert network.weight.grad is not None
    network.weight.grad[8:16] *= 1000  # one group has far larger gradients
    (change,) = changes(network, Muon(network, lr=0.5))
    values = torch.linalg.svdvals(change.reshape(3, 8, 72))
    size = 0.5 * 0.2 * 72**0.5
    assert values.min() > 0.5 * size
    assert values.max() < 1.3 * size


def test_what_is_no_matrix_is_changed_by_adam():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 3, 1))
    twin = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 3, 1))
    twin.load_state_dict(network.state_dict())
    muon = Muon(network, lr=0.01, betas=(0.8, 0.9), eps=1e-6)
    adam = torch.optim.Adam(twin.parameters(), lr=0.01, betas=(0.8, 0.9), eps=1e-6)
    for seed in range(3):
        for model, optimizer in ((network, muon), (twin, adam)):
            given_gradients(model, seed)
            optimizer.step()
    by_muon = network.state_dict()
    by_adam = twin.state_dict()
    assert not torch.allclose(by_muon["0.weight"], by_adam["0.weight"])
    # 3x8 has fewer than four rows
    for name in ("0.bias", "1.weight", "2.weight", "2.bias"):
        torch.testing.assert_close(by_muon[name], by_adam[name])


def test_momentum_looks_ahead_by_hand():
    network = nn.Conv2d(4, 4, 1, bias=False)
    optimizer = Muon(network, lr=1.0, momentum=0.5)
    identity = torch.eye(4)
    second = torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0]))
    network.weight.grad = identity[..., None, None].clone()
    optimizer.step()
    network.weight.grad = second[..., None, None].clone()
    (change,) = changes(network, optimizer)
    # The velocity is I / 2, then I / 4 + second / 2; half of it joins half of the
    # gradient.
    velocity = identity / 4 + second / 2
    torch.testing.assert_close(
        optimizer.state[network.weight]["momentum"][..., 0, 0], velocity
    )
    ahead = second / 2 + velocity / 2
    expected = -0.2 * 4**0.5 * orthogonal(ahead[None])[0]
    torch.testing.assert_close(change[..., 0, 0], expected)
    assert change[1, 1] > 0 > change[0, 0]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_all_that_is_remembered_lies_where_the_weights_are(name):
    settings = Optimizer(kind=name, momentum=0.9)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    optimizer = make_optimizer(network, settings)
    pushed(network, optimizer)
    # as from a file, onto another device
    restored = make_optimizer(network.to("meta"), settings)
    restore_optimizer(restored, optimizer_tensors(optimizer))
    assert {value.device.type for value in optimizer_tensors(restored).values()} == {
        "meta"
    }
