"""The loop: exact resume everywhere, stages, validation, divergence, stopping, log, progress."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from srcli.errors import DataError, InferenceError
from srcli.recipes.training import LossTerm, Optimizer, Schedule, Stage, TrainRecipe
from srcli.training import loop as module
from srcli.training.folder import Position, read_position
from srcli.training.loop import Ema, Trainer
from srcli.training.steps import Numerics, StepContext
from tests.fixtures.progress import Notes
from tests.fixtures.trainings import (
    Batches,
    Net,
    best_saved,
    entries,
    equal,
    stop_after,
)

FIRST = Stage(
    steps=6,
    batch=2,
    patch=6,
    optimizer=Optimizer(learning_rate=1e-2),
    schedule=Schedule(kind="cosine", warmup=0.2),
)
SECOND = replace(
    FIRST,
    steps=4,
    accumulate=2,
    losses=(LossTerm(name="l2"),),
    optimizer=Optimizer(learning_rate=1e-3, beta1=0.5, beta2=0.9, clip_norm=0.1),
    schedule=Schedule(kind="cosine", restarts=(0.5,)),
)
RECIPE = TrainRecipe(
    model="none", stages=(FIRST, SECOND), ema_decay=0.9, validate_every=3
)
LAST = Numerics(device=torch.device("cpu"), channels_last=True)


def make(folder, *, recipe=RECIPE, batches=None, network=None, every=1e9, **options):
    """A trainer with a fresh network, the same every time, in channels_last."""
    folder.mkdir(exist_ok=True)
    return Trainer(
        context=StepContext(network=LAST.placed(network or Net()), numerics=LAST),
        recipe=recipe,
        batch=(batches or Batches()).batch,
        folder=folder,
        checkpoint_seconds=every,
        **options,
    )


@pytest.mark.parametrize("cut", [1, 5, 6, 7])
def test_a_stop_after_any_iteration_changes_nothing(tmp_path, cut):
    uninterrupted = make(tmp_path / "whole")
    assert uninterrupted.run()
    stopped = make(tmp_path / "part", stop=stop_after(cut))
    assert not stopped.run()
    assert stopped.position.total == cut
    resumed = make(tmp_path / "part")
    assert resumed.resume()
    assert resumed.run()
    assert equal(uninterrupted.network.state_dict(), resumed.network.state_dict())
    assert equal(uninterrupted.ema.averages, resumed.ema.averages)
    assert uninterrupted.position.total == resumed.position.total == 10


def test_the_first_checkpoint_comes_sooner_than_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.training.loop.FIRST_CHECKPOINT", 0)
    saved = []
    real = Trainer.checkpoint

    def checkpoint(trainer):
        saved.append(trainer.position.total)
        real(trainer)

    monkeypatch.setattr(Trainer, "checkpoint", checkpoint)
    make(tmp_path / "run").run()
    assert saved == [1, 6, 10]  # and at the ends of the stages


def test_a_finished_training_goes_on_exactly_where_its_budget_is_longer(tmp_path):
    recipe = replace(
        RECIPE, stages=(replace(FIRST, schedule=Schedule(kind="constant")),)
    )
    uninterrupted = make(tmp_path / "whole", recipe=recipe, budget="9")
    uninterrupted.run()
    make(tmp_path / "part", recipe=recipe, budget="6").run()
    same = make(tmp_path / "part", recipe=recipe, budget="6")
    same.resume()
    assert same.run()
    assert same.position.total == 6
    longer = make(tmp_path / "part", recipe=recipe, budget="9")
    longer.resume()
    assert longer.run()
    assert (longer.position.stage, longer.position.step, longer.position.total) == (
        1,
        9,
        9,
    )
    assert equal(uninterrupted.network.state_dict(), longer.network.state_dict())
    assert equal(uninterrupted.ema.averages, longer.ema.averages)


def test_validation_sees_the_averages_and_leaves_the_weights_alone(tmp_path):
    seen: list[tuple[bool, bool]] = []

    def validate(network):
        seen.append(
            (network.training, equal(network.state_dict(), trainer.ema.averages))
        )
        return {"held-out": [float(len(seen))]}

    best, save = best_saved()
    trainer = make(tmp_path / "a", validator=validate, save=save)
    trainer.run()
    silent = make(tmp_path / "b")
    silent.run()
    assert equal(trainer.network.state_dict(), silent.network.state_dict())
    assert set(seen) == {(False, True)}
    assert trainer.network.training
    assert best == [float(i + 1) for i in range(len(seen))]
    assert trainer.position.best_total == 10


@pytest.mark.parametrize("steps", [5, 23, 100])
def test_short_budgets_are_validated_five_times_and_at_the_end(tmp_path, steps):
    recipe = replace(RECIPE, stages=(FIRST,), validate_every=1000)
    totals = []

    def validate(network):
        totals.append(trainer.position.total)
        return {"held-out": [1.0]}

    trainer = make(tmp_path, recipe=recipe, validator=validate, budget=str(steps))
    trainer.run()
    assert len(totals) == 5
    assert totals[-1] == steps
    assert sorted(set(totals)) == totals


def test_only_a_better_validation_is_saved(tmp_path):
    values = iter([3.0, 2.0, float("nan"), 4.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    saved, save = best_saved()
    recipe = replace(RECIPE, stages=(FIRST,))

    def validate(network):
        return {"held-out": [next(values)]}

    make(tmp_path, recipe=recipe, validator=validate, save=save, budget="12").run()
    assert saved == [3.0, 4.0]


def test_the_log_of_a_killed_run_holds_nothing_twice(tmp_path):
    def validate(network):
        return {"held-out": [1.0]}

    make(tmp_path, validator=validate, stop=stop_after(4)).run()
    with (tmp_path / "log.jsonl").open("a") as log:  # iterations after the checkpoint
        log.write('{"event": "validation", "total": 6, "psnr": 9.0}\n{"event": "val')
    resumed = make(tmp_path, validator=validate)
    resumed.resume()
    resumed.run()
    logged = entries(tmp_path)
    for event in ("train", "validation"):
        totals = [entry["total"] for entry in logged if entry["event"] == event]
        assert totals == sorted(set(totals))
    assert {entry.get("psnr", 1.0) for entry in logged} == {1.0}


def test_a_loss_that_is_not_a_number_ends_it_and_keeps_the_last_good_state(tmp_path):
    # The state is written after every iteration, also after the spoilt one, if nothing
    # refused it.
    trainer = make(tmp_path, batches=Batches(spoil=3), every=0.0)
    with pytest.raises(InferenceError, match="learning_rate"):
        trainer.run()
    assert read_position(tmp_path / "state.safetensors").total == 3


def test_a_time_budget_ends_by_the_clock_and_counts_validation(tmp_path, clock):
    recipe = replace(RECIPE, stages=(FIRST,), validate_every=10**6)

    class BatchesOfASecond(Batches):
        def batch(self, step, stage):
            clock.now += 1
            return super().batch(step, stage)

    def validate(network):
        clock.now += 4
        return {"held-out": [1.0]}

    batches = BatchesOfASecond()
    trainer = make(
        tmp_path, recipe=recipe, budget="100s", validator=validate, batches=batches
    )
    assert trainer.run()
    # validated at 20, 40, 60, 80 and 100 s: four of them within these 100 s
    assert clock.now == 100 + 100 + 4
    assert trainer.position.total == 100 - 4 * 4


def test_the_state_of_another_network_is_refused(tmp_path):
    make(tmp_path, stop=stop_after(2)).run()

    class Wider(Net):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 9, 3, padding=1)
            self.b = nn.Conv2d(9, 12, 3, padding=1)

    with pytest.raises(DataError, match="cannot be resumed"):
        make(tmp_path, network=Wider()).resume()
    assert not make(tmp_path / "empty").resume()


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer(learning_rate=1e-2),
        Optimizer(kind="sgd", learning_rate=1e-2, momentum=0.9),
        Optimizer(kind="muon", learning_rate=1e-2),
    ],
)
def test_a_stage_may_go_on_with_weights_and_optimiser(tmp_path, optimizer):
    stage = replace(FIRST, optimizer=optimizer, schedule=Schedule(kind="constant"))
    going_on = replace(stage, steps=3, reset_optimizer=False)
    uninterrupted = make(tmp_path / "whole", recipe=replace(RECIPE, stages=(stage,)))
    uninterrupted.run()
    parts = replace(RECIPE, stages=(replace(stage, steps=3), going_on))
    trainer = make(tmp_path / "parts", recipe=parts)
    trainer.run()
    assert equal(uninterrupted.network.state_dict(), trainer.network.state_dict())
    assert equal(uninterrupted.ema.averages, trainer.ema.averages)
    # Stopped on either side of the border and resumed, it comes to the same.
    for cut in (2, 3, 4):
        folder = tmp_path / f"cut{cut}"
        make(folder, recipe=parts, stop=stop_after(cut)).run()
        resumed = make(folder, recipe=parts)
        resumed.resume()
        resumed.run()
        assert equal(uninterrupted.network.state_dict(), resumed.network.state_dict())


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

    trainer = make(
        tmp_path, validator=validate, save=save, log=logged.append, progress=notes
    )
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
    swings = [
        31.3,
        27.99,
        34.99,
        30.99,
        26.99,
    ]  # the mean rises, nearly every picture falls
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
        trainer.network.a.weight[0, 0] = torch.inf
    for act in (trainer.validate, trainer.checkpoint):
        with pytest.raises(InferenceError, match="what was saved before is kept"):
            act()
    assert trainer.files.state.read_bytes() == before


class Time:
    """A clock that goes on when told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    fake_time = Time()
    monkeypatch.setattr(module, "time", fake_time)
    return fake_time


def watched(
    folder, clock, budget, losses, *, seconds=1.0, position=None, stop=None, every=1e9
):
    """Run a trainer whose iterations take some seconds; return it, its task and its saves."""
    notes = Notes()
    saved = []

    def save(file, averages, position):
        if file.stem == "last":
            saved.append(position.total)

    trainer = make(
        folder,
        recipe=replace(RECIPE, stages=(FIRST,)),
        budget=budget,
        every=every,
        progress=notes,
        stop=stop or (lambda: False),
        save=save,
    )
    trainer.position = position or trainer.position
    values = iter(losses)

    def iterate(stage, progress):
        clock.now += seconds
        return {"loss": torch.tensor(next(values))}

    trainer.train_on_batch = iterate
    trainer.run()
    ((_, advanced, texts),) = notes.closed
    return trainer, (advanced, texts), saved


def test_the_log_has_the_mean_of_its_span(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(module, "LOG_STEPS", 4)
    losses = (1.0, 2.0, 3.0, 6.0)
    _, (_, texts), _ = watched(tmp_path, clock, "4", losses, seconds=1.5)
    (entry,) = entries(tmp_path)
    assert entry["loss"] == 3.0
    assert entry["per_second"] == pytest.approx(4 / 6, abs=1e-3)
    assert entry["iterations"] == 4
    assert [text.split("  ")[0] for text in texts] == ["loss 3.00000"]


def test_entries_say_over_how_many_iterations_they_are_and_the_rest_of_a_stage_has_one(
    tmp_path, clock, monkeypatch
):
    monkeypatch.setattr(module, "LOG_STEPS", 4)
    resumed = Position(step=3, total=13)
    watched(tmp_path, clock, "6", (7.0, 1.0, 2.0), position=resumed)
    logged = [(e["total"], e["iterations"], e["loss"]) for e in entries(tmp_path)]
    assert logged == [(14, 1, 7.0), (16, 2, 1.5)]


def test_iterations_and_seconds_are_counted_from_where_it_stood(tmp_path, clock):
    trainer, (advanced, _), _ = watched(
        tmp_path,
        clock,
        "60s",
        (1.0,),
        seconds=2.5,
        position=Position(step=3, elapsed=10.0),
        stop=stop_after(1),
    )
    assert trainer.position.elapsed == 12.5
    assert advanced == 12.5


def test_checkpoints_come_by_the_clock_and_at_a_stop(tmp_path, clock):
    _, _, saved = watched(
        tmp_path, clock, "100", [1.0] * 6, seconds=4, stop=stop_after(6), every=10
    )
    assert saved == [3, 6]
