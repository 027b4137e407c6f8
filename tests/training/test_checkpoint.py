"""The state of a training: saved, averaged, validated; what is kept, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from srcli.errors import InferenceError
from srcli.layers.network import Network
from srcli.recipes.training import Stage, TrainRecipe
from srcli.training.checkpoint import Ema, Position, read_position
from srcli.training.loop import Trainer
from srcli.training.steps import Numerics, StepContext
from tests.fixtures.progress import Notes
from tests.fixtures.trainings import Batches, best_saved, entries

RECIPE = TrainRecipe(model="none", stages=(Stage(steps=2), Stage(steps=2)), ema_decay=0.9)
CPU = Numerics(device=torch.device("cpu"))


class Point(nn.Conv2d, Network):
    """A convolution as a network."""


def make(folder, **options):
    """A trainer after seven iterations."""
    torch.manual_seed(0)
    trainer = Trainer(
        context=StepContext(network=Point(3, 3, 1), numerics=CPU),
        recipe=RECIPE,
        batch=Batches().batch,
        folder=folder,
        **options,
    )
    trainer.position = Position(total=7)
    return trainer


class Holder(nn.Module):
    """One weight and one counter."""

    count: torch.Tensor

    def __init__(self, value):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([value]))
        self.register_buffer("count", torch.tensor(0))


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


def test_the_first_set_decides_and_all_are_logged_and_told(tmp_path):
    values = iter([([30.0], [20.0]), ([29.0], [25.0]), ([31.0], [19.0])])
    logged: list[object] = []
    saved, save = best_saved()
    notes = Notes()

    def validate(network):
        return dict(zip(("held-out", "Set5"), next(values), strict=True))

    trainer = make(tmp_path, validator=validate, save=save, log=logged.append, progress=notes)
    for total in (1, 2, 3):
        trainer.position.total = total
        trainer.validate()
    assert saved == [30.0, 31.0]
    position = trainer.position
    assert (position.best, position.best_total) == (31.0, 3)
    assert position.at_best == {"held-out": 31.0, "Set5": 19.0}
    assert [entry["psnr"] for entry in entries(tmp_path)] == [30.0, 29.0, 31.0]
    assert [entry["sets"]["Set5"] for entry in entries(tmp_path)] == [20.0, 25.0, 19.0]
    assert logged == entries(tmp_path)
    assert notes.messages == [
        "iteration 1: validation: held-out 30.000 dB, Set5 20.000 dB",
        "iteration 2: validation: held-out 29.000 dB, Set5 25.000 dB; -1.000 dB to the best so far",
        "iteration 3: validation: held-out 31.000 dB, Set5 19.000 dB; +1.000 dB to the best so far",
    ]


def test_one_picture_that_swings_does_not_decide(tmp_path):
    before = [30.0, 28.0, 35.0, 31.0, 27.0]
    swings = [31.3, 27.99, 34.99, 30.99, 26.99]  # the mean rises, nearly every picture falls
    better = [28.0, 28.01, 35.01, 31.01, 27.01]
    values = iter([before, swings, better])
    trainer = make(tmp_path, validator=lambda network: {"held-out": next(values)})
    for total in (1, 2, 3):
        trainer.position.total = total
        trainer.validate()
    position = read_position(trainer.files.state)
    assert (position.best_total, position.best_pictures) == (3, better)
    assert [entry.get("gain") for entry in entries(tmp_path)] == [
        None,
        pytest.approx(-0.01),
        pytest.approx(0.01),
    ]


def test_a_lost_weight_is_neither_validated_nor_saved(tmp_path):
    trainer = make(tmp_path, validator=lambda network: pytest.fail("validated"))
    trainer.checkpoint()
    before = trainer.files.state.read_bytes()
    with torch.no_grad():
        trainer.network.weight[0, 0] = torch.inf
    for act in (trainer.validate, trainer.checkpoint):
        with pytest.raises(InferenceError, match="what was saved before is kept"):
            act()
    assert trainer.files.state.read_bytes() == before
