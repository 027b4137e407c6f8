"""The state file: everything comes back, and a crash leaves the former one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.errors import DataError
from srcli.training.checkpoint import Position, load_state, read_position, save_state
from srcli.training.optimizers import optimizer_tensors, part, restore_optimizer


class Plain:
    """A step that remembers an optimiser."""

    best_by_psnr = True

    def __init__(self, network):
        self.optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def __call__(self, lr_image, hr_image, done):
        return {}

    def state(self):
        return {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}

    def restore(self, tensors):
        restore_optimizer(self.optimizer, part(tensors, "optimizer."))


def trained(steps):
    torch.manual_seed(steps)
    network = nn.Conv2d(3, 4, 3)
    step = Plain(network)
    for _ in range(steps):
        network(torch.rand(1, 3, 5, 5)).sum().backward()
        step.optimizer.step()
    return network, step


def averages(network):
    return {key: value.clone() + 1 for key, value in network.state_dict().items()}


def test_network_averages_moments_and_position_come_back(tmp_path):
    network, step = trained(3)
    ema = averages(network)
    position = Position(stage=1, step=2, total=9, elapsed=1.5, best=30.25, best_total=8)
    file = tmp_path / "state.safetensors"
    save_state(file, position=position, network=network, ema=ema, step=step)

    other, fresh = trained(0)
    empty = {key: torch.zeros_like(value) for key, value in ema.items()}
    found = load_state(file, network=other, ema=empty, step=fresh)
    assert found == position == read_position(file)
    assert torch.equal(other.weight, network.weight)
    assert all(torch.equal(empty[key], ema[key]) for key in ema)
    was = step.optimizer.state[network.weight]
    now = fresh.optimizer.state[other.weight]
    assert was.keys() == now.keys()
    assert all(torch.equal(was[key], now[key]) for key in was)


def test_a_best_that_was_never_reached_survives(tmp_path):
    network, step = trained(0)
    file = tmp_path / "state.safetensors"
    save_state(file, position=Position(), network=network, ema={}, step=step)
    assert read_position(file).best == float("-inf")


def test_a_failing_write_leaves_the_former_state(tmp_path, monkeypatch):
    network, step = trained(1)
    file = tmp_path / "state.safetensors"
    save_state(file, position=Position(total=1), network=network, ema={}, step=step)

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(file, position=Position(total=2), network=network, ema={}, step=step)
    assert read_position(file).total == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_state_is_refused_with_its_name(tmp_path, content):
    network, step = trained(1)
    file = tmp_path / "state.safetensors"
    save_state(file, position=Position(), network=network, ema={}, step=step)
    file.write_bytes(file.read_bytes()[:-40] if content is None else content)
    with pytest.raises(DataError, match=r"state\.safetensors: cannot be resumed"):
        load_state(file, network=network, ema={}, step=step)
