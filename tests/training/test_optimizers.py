"""Optimisers: built, applied with rate and clipping, restored exactly; learning rates by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import RecipeError
from srcli.recipes.training import Optimizer, Schedule, Stage
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    part,
    rate_at,
    rate_factor,
    restore_optimizer,
)

SETTINGS = Optimizer(learning_rate=1e-2, beta1=0.5, beta2=0.9, epsilon=1e-6)


def pushed(network, optimizer, *, rate=1e-2, clip_norm=0.0):
    """One change by a fixed gradient."""
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    apply_gradients(optimizer, rate=rate, clip_norm=clip_norm)


def test_the_settings_reach_the_optimiser():
    (group,) = make_optimizer(nn.Linear(2, 2), SETTINGS).param_groups
    assert (group["lr"], group["betas"], group["eps"]) == (1e-2, (0.5, 0.9), 1e-6)


def test_the_rate_of_the_iteration_counts_and_gradients_are_cleared():
    network = nn.Linear(2, 2)
    optimizer = make_optimizer(network, SETTINGS)
    before = network.weight.detach().clone()
    pushed(network, optimizer, rate=0.25)
    # Adam's first change is the rate itself, against the sign of the gradient.
    torch.testing.assert_close(network.weight.detach(), before - 0.25, rtol=0, atol=1e-5)
    assert network.weight.grad is None


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_layers_may_learn_at_rates_of_their_own(kind):
    network = nn.ModuleDict({"body": nn.Linear(2, 2), "up": nn.Linear(2, 1)})
    settings = Optimizer(kind=kind, learning_rate=1.0, rates={"up": 0.1})
    optimizer = make_optimizer(network, settings)
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    pushed(network, optimizer, rate=0.5)
    for name, weight in network.named_parameters():
        step = 0.05 if name.startswith("up") else 0.5
        torch.testing.assert_close(weight.detach(), before[name] - step, rtol=0, atol=1e-5)
    restore_optimizer(make_optimizer(network, settings), optimizer_tensors(optimizer))
    with pytest.raises(RecipeError, match="no weight of the network begins with 'upp'"):
        make_optimizer(network, replace(settings, rates={"upp": 0.1}))


@pytest.mark.parametrize(("clip_norm", "share"), [(0.0, 1.0), (0.3, 0.1), (100.0, 1.0)])
def test_the_whole_gradient_is_clipped(clip_norm, share):
    network = nn.Linear(2, 3)  # nine numbers: ones have the norm 3
    optimizer = make_optimizer(network, SETTINGS)
    pushed(network, optimizer, clip_norm=clip_norm)
    moment = optimizer.state[network.weight]["exp_avg"]
    torch.testing.assert_close(moment, torch.full((3, 2), 0.5 * share), rtol=1e-4, atol=0)


def test_what_is_remembered_comes_back_and_goes_on_alike():
    torch.manual_seed(0)
    one, two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    first, second = (make_optimizer(n, SETTINGS) for n in (one, two))
    for _ in range(3):
        pushed(one, first)
    two.load_state_dict(one.state_dict())
    two.weight.data = two.weight.data.contiguous(memory_format=torch.channels_last)
    kept = {name: value.clone() for name, value in optimizer_tensors(first).items()}
    restore_optimizer(second, kept)
    assert second.state[two.weight]["exp_avg"].stride() == two.weight.stride()
    for network, optimizer in ((one, first), (two, second)):
        pushed(network, optimizer)
    assert torch.equal(one.weight, two.weight)


def test_memory_of_another_network_is_refused():
    other = make_optimizer(nn.Linear(2, 2), replace(SETTINGS, beta1=0.9))
    with pytest.raises(ValueError, match="invalid literal"):
        restore_optimizer(other, {"weight.exp_avg": torch.zeros(1)})


def test_part_of_a_file():
    tensors = {"a.b.c": torch.zeros(1), "a.d": torch.ones(1), "ab": torch.ones(1)}
    assert list(part(tensors, "a.")) == ["b.c", "d"]


def test_gradient_descent_with_momentum_by_hand():
    network = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer(network, Optimizer(kind="sgd", momentum=0.5))
    before = network.weight.item()
    for _ in range(3):
        pushed(network, optimizer, rate=0.1)
    # The velocity is 1, then 1.5, then 1.75.
    assert network.weight.item() == pytest.approx(before - 0.1 * 4.25)
    assert optimizer_tensors(optimizer)["0.momentum_buffer"].item() == pytest.approx(1.75)


def test_nesterov_looks_ahead_by_hand():
    network = nn.Linear(1, 1, bias=False)
    settings = Optimizer(kind="sgd", momentum=0.5, nesterov=True)
    optimizer = make_optimizer(network, settings)
    before = network.weight.item()
    for _ in range(2):
        pushed(network, optimizer, rate=0.1)
    # The velocity is 1, then 1.5; each change is the gradient and half of the velocity.
    assert network.weight.item() == pytest.approx(before - 0.1 * (1.5 + 1.75))


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        ("sgd", 0.1 * (1 + 0.3 * 2)),  # the decay joins the gradient
        ("adamw", 0.1 * (1 + 0.3 * 2)),  # and here the change, which is the rate
        ("muon", 0.1 * (1 + 0.3 * 2)),  # a single number is no matrix: Adam with AdamW's decay
        ("adam", 0.1),  # the decay joins the gradient, whose size Adam takes away
    ],
)
def test_decay_by_hand(kind, moved):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    optimizer = make_optimizer(network, Optimizer(kind=kind, weight_decay=0.3))
    pushed(network, optimizer, rate=0.1)
    assert network.weight.item() == pytest.approx(2 - moved, abs=1e-6)


def test_plain_and_decoupled_decay_differ_from_the_second_change_on():
    ends = []
    for kind in ("adam", "adamw"):
        network = nn.Linear(1, 1, bias=False)
        nn.init.constant_(network.weight, 2.0)
        optimizer = make_optimizer(network, Optimizer(kind=kind, weight_decay=0.3))
        for _ in range(2):
            pushed(network, optimizer, rate=0.1)
        ends.append(network.weight.item())
    assert ends[1] == pytest.approx((2 * 0.97 - 0.1) * 0.97 - 0.1, abs=1e-5)
    assert ends[0] > ends[1] + 0.05


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_on_a_gpu_all_weights_change_in_one_kernel(kind):
    network = nn.Linear(3, 3).cuda()
    optimizer = make_optimizer(network, Optimizer(kind=kind))
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


def test_halving_is_the_step_schedule_of_equal_steps_and_takes_another_factor():
    steps = Schedule(kind="step", milestones=(0.25, 0.5, 0.75), gamma=0.1)
    halving = Schedule(kind="halving", every=0.25, gamma=0.1)
    for done in (0.0, 0.1, 0.25, 0.6, 0.75, 0.99):
        assert rate_factor(halving, done) == rate_factor(steps, done)


def test_cosine_rises_in_the_warm_up_and_falls_to_its_floor():
    schedule = Schedule(kind="cosine", warmup=0.2, floor=0.1)
    factors = [rate_factor(schedule, p) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert factors == pytest.approx([0, 0.5, 1, 0.1 + 0.9 * 0.5, 0.1])


def test_cosine_may_stay_at_its_peak_first():
    schedule = Schedule(kind="cosine", warmup=0.1, hold=0.6, floor=0.2)
    factors = [rate_factor(schedule, p) for p in (0.05, 0.1, 0.35, 0.6, 0.8, 1.0)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 0.2 + 0.8 * 0.5, 0.2])
    assert rate_factor(Schedule(kind="cosine", warmup=0.5, hold=0.2), 0.75) == pytest.approx(0.5)
    assert rate_factor(Schedule(kind="cosine", hold=1.0), 1.0) == pytest.approx(1)


def test_constant_stays_and_progress_is_clipped():
    assert rate_factor(Schedule(kind="constant"), 0.7) == 1
    assert rate_factor(Schedule(kind="cosine"), 1.7) == pytest.approx(0)
    assert rate_factor(Schedule(kind="cosine"), -1) == 1


def test_the_rate_is_the_factor_times_the_peak():
    stage = Stage(optimizer=Optimizer(learning_rate=4e-4), schedule=Schedule(kind="cosine"))
    assert rate_at(stage, 0.5) == pytest.approx(2e-4)
