"""Averages computed by hand; the state file: everything comes back, and a crash leaves it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.errors import CheckpointError
from srcli.layers.network import Network
from srcli.recipes.training import Stage
from srcli.training.checkpoint import Ema, Position, TrainingState, read_position
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext, SupervisedStep


class Point(nn.Conv2d, Network):
    """A convolution as a network."""


def trained(steps, position=None):
    torch.manual_seed(steps)
    network = Point(3, 4, 3)
    numerics = Numerics(device=torch.device("cpu"))
    context = StepContext(network=network, forward=network, numerics=numerics)
    step = SupervisedStep(Stage(), context)
    for _ in range(steps):
        network(torch.rand(1, 3, 5, 5)).sum().backward()
        step.optimizer.step()
    ema = Ema(network, 0.9)
    for value in ema.averages.values():
        value += 1 + steps
    return TrainingState(
        network=network, ema=ema, steps=[step, step], position=position or Position()
    )


def test_network_averages_moments_and_position_come_back(tmp_path):
    position = Position(stage=1, step=2, total=9, elapsed=1.5, best=30.25, best_total=8)
    state = trained(3, position)
    file = tmp_path / "state.safetensors"
    state.save(file)

    other = trained(0)
    other.load(file)
    assert other.position == position == read_position(file)
    network, fresh = state.network, other.network
    assert torch.equal(fresh.weight, network.weight)
    averages = state.ema.averages
    assert all(torch.equal(other.ema.averages[key], averages[key]) for key in averages)
    was = state.step.optimizer.state[network.weight]
    now = other.step.optimizer.state[fresh.weight]
    assert was.keys() == now.keys()
    assert all(torch.equal(was[key], now[key]) for key in was)


def test_a_best_that_was_never_reached_survives(tmp_path):
    file = tmp_path / "state.safetensors"
    trained(0).save(file)
    assert read_position(file).best == float("-inf")


def test_a_failing_write_leaves_the_former_state(tmp_path, monkeypatch):
    state = trained(1, Position(total=1))
    file = tmp_path / "state.safetensors"
    state.save(file)

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    state.position = Position(total=2)
    with pytest.raises(OSError, match="No space"):
        state.save(file)
    assert read_position(file).total == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_state_is_refused_with_its_name(tmp_path, content):
    state = trained(1)
    file = tmp_path / "state.safetensors"
    state.save(file)
    file.write_bytes(file.read_bytes()[:-40] if content is None else content)
    with pytest.raises(CheckpointError, match=r"state\.safetensors: cannot be resumed"):
        state.load(file)


class Holder(nn.Module):
    """One weight and one counter."""

    count: torch.Tensor

    def __init__(self, value):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(0))


def test_late_steps_use_the_decay():
    network = Holder(1.0)
    ema = Ema(network, 0.9)
    network.w.data.fill_(2.0)
    ema.update(network, 10**6)
    assert float(ema.averages["w"]) == pytest.approx(0.9 * 1.0 + 0.1 * 2.0)


def test_early_steps_forget_faster():
    network = Holder(1.0)
    ema = Ema(network, 0.999)
    network.w.data.fill_(2.0)
    ema.update(network, 0)  # decay (1 + 0) / (10 + 0)
    assert float(ema.averages["w"]) == pytest.approx(0.1 * 1.0 + 0.9 * 2.0)


def test_no_decay_follows_the_weights_and_counters_are_copied():
    network = Holder(1.0)
    ema = Ema(network, 0.0)
    network.w.data.fill_(3.0)
    network.count.fill_(7)
    ema.update(network, 50)
    assert float(ema.averages["w"]) == 3.0
    assert int(ema.averages["count"]) == 7
    assert ema.averages["count"].dtype == torch.int64


def test_averages_are_their_own_memory():
    network = Holder(1.0)
    ema = Ema(network, 0.5)
    network.w.data.fill_(5.0)
    assert float(ema.averages["w"]) == 1.0
