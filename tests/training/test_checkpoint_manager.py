"""What a training keeps: which set decides, what the log is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import InferenceError
from srcli.layers.network import Network
from srcli.ports.progress import NoProgress
from srcli.recipes.training import Stage, TrainRecipe
from srcli.training.checkpoint import Ema, Position, TrainingState
from srcli.training.checkpoint_manager import CheckpointManager, Hooks
from srcli.training.loop import make_step
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext

RECIPE = TrainRecipe(model="none", stages=(Stage(steps=2),), ema_decay=0.9)


class Point(nn.Conv2d, Network):
    """A convolution as a network."""


def state():
    network = Point(3, 3, 1)
    training = StepContext(
        network=network, forward=network, numerics=Numerics(device=torch.device("cpu"))
    )
    steps = [make_step(stage, training) for stage in RECIPE.stages]
    return TrainingState(
        network=network, ema=Ema(network, 0.9), steps=steps, position=Position(total=7)
    )


def make(folder, hooks):
    return CheckpointManager(
        state(), recipe=RECIPE, hooks=hooks, folder=folder, checkpoint_seconds=1e9
    )


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_first_set_decides_and_all_are_logged_and_told(tmp_path):
    values = iter([(30.0, 20.0), (29.0, 25.0), (31.0, 19.0)])
    saved: list[float] = []
    told: list[str] = []
    logged: list[object] = []

    class Notes(NoProgress):
        def message(self, text):
            told.append(text)

    hooks = Hooks(
        validate=lambda network: dict(zip(("held-out", "Set5"), next(values), strict=True)),
        save_best=lambda tensors, position: saved.append(position.best),
        log=logged.append,
        progress=Notes(),
    )
    manager = make(tmp_path, hooks)
    for total in (1, 2, 3):
        manager.state.position.total = total
        manager.validate()
    assert saved == [30.0, 31.0]
    position = manager.state.position
    assert (position.best, position.best_total) == (31.0, 3)
    assert position.at_best == {"held-out": 31.0, "Set5": 19.0}
    assert [entry["psnr"] for entry in entries(tmp_path)] == [30.0, 29.0, 31.0]
    assert [entry["sets"]["Set5"] for entry in entries(tmp_path)] == [20.0, 25.0, 19.0]
    assert logged == entries(tmp_path)
    assert told[0] == "iteration 1: validation: held-out 30.000 dB, Set5 20.000 dB"


def test_an_iteration_is_validated_once(tmp_path):
    called = []

    def validate(network):
        called.append(1)
        return {"a": 1.0}

    manager = make(tmp_path, Hooks(validate=validate))
    manager.validate()
    manager.validate()
    assert called == [1]


def test_the_last_weights_are_the_best_where_nothing_was_validated(tmp_path):
    saved = []
    hooks = Hooks(save_best=lambda tensors, position: saved.append(position.total))
    manager = make(tmp_path, hooks)
    manager.end()
    assert saved == [7]
    manager.state.position.best = 30.0
    manager.end()
    assert saved == [7]


def test_a_lost_weight_is_neither_validated_nor_saved(tmp_path):
    manager = make(tmp_path, Hooks(validate=lambda network: pytest.fail("validated")))
    manager.checkpoint()
    before = manager.state_file.read_bytes()
    with torch.no_grad():
        manager.state.network.weight[0, 0] = torch.inf
    for act in (manager.validate, manager.checkpoint):
        with pytest.raises(InferenceError, match="what was saved before is kept"):
            act()
    assert manager.state_file.read_bytes() == before


def test_a_state_goes_on_where_another_was_saved(tmp_path):
    first = state()
    first.position = replace(first.position, best=31.5, at_best={"Set5": 31.5})
    first.save(tmp_path / "state")
    second = state()
    second.load(tmp_path / "state")
    assert second.position == first.position
    assert torch.equal(second.network.weight, first.network.weight)
    assert torch.equal(second.ema.averages["weight"], first.ema.averages["weight"])


def test_rewinding_drops_later_and_broken_lines(tmp_path):
    manager = make(tmp_path, Hooks())
    manager.rewind_log()  # nothing there: nothing to do
    for total in range(1, 6):
        manager.state.position.total = total
        manager.write("train", {})
    with manager.log_file.open("ab") as file:
        file.write(b'{"total": 2, "loss": 0.')
    manager.state.position.total = 3
    manager.rewind_log()
    assert [entry["total"] for entry in entries(tmp_path)] == [1, 2, 3]


def test_the_log_stays_valid_json_whatever_comes(tmp_path):
    manager = make(tmp_path, Hooks())
    manager.write("train", {"psnr": float("inf"), "loss": 0.5})
    text = manager.log_file.read_text()
    line = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert (line["total"], line["psnr"], line["loss"]) == (7, None, 0.5)
