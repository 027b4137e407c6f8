"""The state file: everything comes back, and a crash leaves the former one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.errors import DataError
from srcli.training.checkpoint import Position, load_state, read_position, save_state


def trained(steps):
    torch.manual_seed(steps)
    network = nn.Conv2d(3, 4, 3)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    for _ in range(steps):
        network(torch.rand(1, 3, 5, 5)).sum().backward()
        optimizer.step()
    return network, optimizer


def averages(network):
    return {key: value.clone() + 1 for key, value in network.state_dict().items()}


def test_network_averages_moments_and_position_come_back(tmp_path):
    network, optimizer = trained(3)
    ema = averages(network)
    position = Position(stage=1, step=2, total=9, elapsed=1.5, best=30.25, best_total=8)
    file = tmp_path / "state.safetensors"
    save_state(file, position=position, network=network, ema=ema, optimizer=optimizer)

    other, fresh = trained(0)
    empty = {key: torch.zeros_like(value) for key, value in ema.items()}
    found = load_state(file, network=other, ema=empty, optimizer=fresh)
    assert found == position == read_position(file)
    assert torch.equal(other.weight, network.weight)
    assert all(torch.equal(empty[key], ema[key]) for key in ema)
    was, now = optimizer.state[network.weight], fresh.state[other.weight]
    assert was.keys() == now.keys()
    assert all(torch.equal(was[key], now[key]) for key in was)


def test_a_best_that_was_never_reached_survives(tmp_path):
    network, optimizer = trained(0)
    file = tmp_path / "state.safetensors"
    save_state(file, position=Position(), network=network, ema={}, optimizer=optimizer)
    assert read_position(file).best == float("-inf")


def test_a_failing_write_leaves_the_former_state(tmp_path, monkeypatch):
    network, optimizer = trained(1)
    file = tmp_path / "state.safetensors"
    save_state(file, position=Position(total=1), network=network, ema={}, optimizer=optimizer)

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(file, position=Position(total=2), network=network, ema={}, optimizer=optimizer)
    assert read_position(file).total == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_damaged_state_is_refused_with_its_name(tmp_path, content):
    network, optimizer = trained(1)
    file = tmp_path / "state.safetensors"
    save_state(file, position=Position(), network=network, ema={}, optimizer=optimizer)
    file.write_bytes(file.read_bytes()[:-40] if content is None else content)
    with pytest.raises(DataError, match=r"state\.safetensors: cannot be resumed"):
        load_state(file, network=network, ema={}, optimizer=optimizer)
