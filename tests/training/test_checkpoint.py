"""The state file: everything comes back, and a crash leaves the former one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.errors import CheckpointError
from srcli.layers.network import Network
from srcli.recipes.training import Stage
from srcli.training.checkpoint import Position, TrainingState, read_position
from srcli.training.ema import Ema
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
