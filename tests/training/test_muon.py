"""Muon: orthogonal steps for kernels, group by group; Adam for the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.recipes.training import Optimizer
from srcli.training.muon import Muon, orthogonal
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)


def given_gradients(network, seed=0):
    torch.manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape)  # in this order, however it lies in memory


def changes(network, optimizer):
    """What one step does to each weight."""
    before = [parameter.detach().clone() for parameter in network.parameters()]
    optimizer.step()
    return [p.detach() - old for p, old in zip(network.parameters(), before, strict=True)]


@pytest.mark.parametrize("shape", [(1, 8, 72), (9, 72, 8), (2, 5, 5), (1, 100, 4)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    torch.manual_seed(1)
    matrices = torch.randn(shape)
    found = orthogonal(matrices)
    assert found.shape == matrices.shape
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.5
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    # Between the singular vectors of the momentum, the step has nothing but its own values.
    inner = left.mT @ found @ right.mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
    assert off.abs().max() < 1e-4


def test_no_gradient_is_no_step():
    assert torch.equal(orthogonal(torch.zeros(2, 4, 6)), torch.zeros(2, 4, 6))


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


def test_steps_are_as_large_as_those_of_adam():
    network = nn.Conv2d(16, 32, 3, bias=False)
    given_gradients(network)
    (change,) = changes(network, Muon(network, lr=0.1))
    assert change.square().mean().sqrt().item() == pytest.approx(0.1 * 0.2, rel=0.3)


def test_what_is_no_matrix_is_changed_by_adam():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 3, 1))
    twin = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.Conv2d(8, 3, 1))
    twin.load_state_dict(network.state_dict())
    muon = Muon(network, lr=0.01, betas=(0.8, 0.9), eps=1e-6)
    adam = torch.optim.Adam(twin.parameters(), lr=0.01, betas=(0.8, 0.9), eps=1e-6)
    for seed in range(3):
        for each, optimizer in ((network, muon), (twin, adam)):
            given_gradients(each, seed)
            optimizer.step()
    own, other = network.state_dict(), twin.state_dict()
    assert not torch.allclose(own["0.weight"], other["0.weight"])
    for name in ("0.bias", "1.weight", "2.weight", "2.bias"):  # 3x8 has fewer than four rows
        torch.testing.assert_close(own[name], other[name])


def test_momentum_looks_ahead_by_hand():
    network = nn.Conv2d(4, 4, 1, bias=False)
    optimizer = Muon(network, lr=1.0, momentum=0.5)
    first, second = torch.eye(4), torch.diag(torch.tensor([1.0, -1.0, 1.0, 1.0]))
    network.weight.grad = first[..., None, None].clone()
    optimizer.step()
    network.weight.grad = second[..., None, None].clone()
    (change,) = changes(network, optimizer)
    # The velocity is I / 2, then I / 4 + second / 2; half of it joins half of the gradient.
    velocity = first / 4 + second / 2
    torch.testing.assert_close(optimizer.state[network.weight]["momentum"][..., 0, 0], velocity)
    ahead = second / 2 + velocity / 2
    expected = -0.2 * 4**0.5 * orthogonal(ahead[None])[0]
    torch.testing.assert_close(change[..., 0, 0], expected)
    assert change[1, 1] > 0 > change[0, 0]


def test_weights_without_gradients_stay():
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    given_gradients(network)
    network[1].weight.grad = network[1].bias.grad = None
    moved = [bool(change.any()) for change in changes(network, Muon(network, lr=0.1))]
    assert moved == [True, True, False, False]


def test_it_learns():
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    target = inputs @ torch.randn(16, 8)
    network = nn.Linear(16, 8)
    optimizer = make_optimizer(network, Optimizer(kind="muon", learning_rate=0.5))
    losses = []
    for i in range(60):
        loss = (network(inputs) - target).square().mean()
        loss.backward()
        apply_gradients(optimizer, rate=0.5 * (1 - i / 60), clip_norm=0)
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 100


def test_it_goes_on_from_what_is_remembered():
    one, two = (nn.Conv2d(8, 8, 3, groups=2) for _ in range(2))
    first, second = Muon(one, lr=0.1), Muon(two, lr=0.1)
    given_gradients(one)
    first.step()
    two.load_state_dict(one.state_dict())
    two.weight.data = two.weight.data.contiguous(memory_format=torch.channels_last)
    restore_optimizer(second, {k: v.clone() for k, v in optimizer_tensors(first).items()})
    for network, optimizer in ((one, first), (two, second)):
        given_gradients(network, 1)
        optimizer.step()
    torch.testing.assert_close(two.weight, one.weight)
    torch.testing.assert_close(two.bias, one.bias)
