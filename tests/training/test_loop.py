"""The loop: exact resume everywhere, stages, validation, divergence, stopping."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srcli.errors import DataError, InferenceError, RecipeError
from srcli.layers.network import Network
from srcli.recipes.training import Adversarial, LossTerm, Optimizer, Schedule, Stage, TrainRecipe
from srcli.training.adversarial import AdversarialStep
from srcli.training.budget import Budget
from srcli.training.checkpoint import Hooks
from srcli.training.loop import Trainer, make_step
from srcli.training.numerics import Numerics
from srcli.training.state import read_position
from srcli.training.supervised import StepContext, SupervisedStep

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
    losses=(LossTerm(name="l2"),),
    optimizer=Optimizer(learning_rate=1e-3, beta1=0.5, beta2=0.9, clip_norm=0.1),
)
RECIPE = TrainRecipe(model="none", stages=(FIRST, SECOND), ema_decay=0.9, validate_every=3)


class Net(Network):
    """Two convolutions of shapes whose layout matters."""

    def __init__(self):
        super().__init__()
        self.scale = 2
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x):
        return F.pixel_shuffle(self.b(F.leaky_relu(self.a(x), 0.1)), 2)


class Batches:
    """Batches that depend on the step alone."""

    def __init__(self, spoil=None):
        self.spoil = spoil
        self.steps = []

    def batch(self, step, stage):
        batch, patch = stage.batch, stage.patch
        self.steps.append(step)
        random = torch.Generator().manual_seed(step)
        lr_image = torch.rand(batch, 3, patch, patch, generator=random)
        if step == self.spoil:
            lr_image[0, 0, 0, 0] = torch.nan
        return lr_image, torch.rand(batch, 3, 2 * patch, 2 * patch, generator=random)


def in_channels_last(network):
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def make(folder, *, recipe=RECIPE, sampler=None, hooks=None, network=None, budget=None, every=1e9):
    """A trainer with a fresh network, the same every time, in channels_last."""
    torch.manual_seed(1)
    folder.mkdir(exist_ok=True)
    return Trainer(
        network=in_channels_last(network or Net()),
        recipe=recipe,
        sampler=sampler or Batches(),
        budget=budget,
        numerics=Numerics(device=torch.device("cpu"), channels_last=True),
        folder=folder,
        hooks=hooks or Hooks(),
        checkpoint_seconds=every,
    )


def stop_after(count):
    asked = iter(range(1, 10**6))
    return Hooks(stop=lambda: next(asked) >= count)


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def entries(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("cut", range(1, 11))
def test_a_stop_after_any_iteration_changes_nothing(tmp_path, cut):
    whole = make(tmp_path / "whole")
    assert whole.run()
    part = make(tmp_path / "part", hooks=stop_after(cut))
    assert not part.run()
    assert part.position.total == cut
    rest = make(tmp_path / "part")
    assert rest.resume()
    assert rest.run()
    assert equal(whole.network.state_dict(), rest.network.state_dict())
    assert equal(whole.ema.averages, rest.ema.averages)
    assert whole.position.total == rest.position.total == 10


def test_a_checkpoint_on_the_border_of_stages_resumes_in_the_next_one(tmp_path):
    whole = make(tmp_path / "whole")
    whole.run()

    class Killed(BaseException):
        pass

    class Dying(Batches):
        def batch(self, step, stage):
            if step == 6:
                raise Killed
            return super().batch(step, stage)

    part = make(tmp_path / "part", sampler=Dying())
    with pytest.raises(Killed):
        part.run()
    position = read_position(tmp_path / "part" / "state.safetensors")
    assert (position.stage, position.step, position.total) == (1, 0, 6)
    rest = make(tmp_path / "part")
    rest.resume()
    group = rest.step.optimizer.param_groups[0]
    assert group["betas"] == (0.5, 0.9)
    rest.run()
    assert equal(whole.network.state_dict(), rest.network.state_dict())


def test_a_finished_training_goes_on_exactly_where_its_budget_is_longer(tmp_path):
    recipe = replace(RECIPE, stages=(replace(FIRST, schedule=Schedule(kind="constant")),))
    whole = make(tmp_path / "whole", recipe=recipe, budget=Budget(steps=9))
    whole.run()
    make(tmp_path / "part", recipe=recipe, budget=Budget(steps=6)).run()
    same = make(tmp_path / "part", recipe=recipe, budget=Budget(steps=6))
    same.resume()
    assert same.run()
    assert same.position.total == 6
    rest = make(tmp_path / "part", recipe=recipe, budget=Budget(steps=9))
    rest.resume()
    assert rest.run()
    assert (rest.position.stage, rest.position.step, rest.position.total) == (1, 9, 9)
    assert equal(whole.network.state_dict(), rest.network.state_dict())
    assert equal(whole.ema.averages, rest.ema.averages)


def test_the_moments_keep_the_layout_of_their_weights(tmp_path):
    make(tmp_path, hooks=stop_after(3)).run()
    rest = make(tmp_path)
    rest.resume()
    weight = rest.network.a.weight
    assert weight.stride() != weight.contiguous().stride()
    assert rest.step.optimizer.state[weight]["exp_avg"].stride() == weight.stride()


def test_a_stage_begins_from_the_averages_with_a_fresh_optimiser(tmp_path):
    seen: list[tuple[bool, int]] = []

    class Watching(Batches):
        def batch(self, step, stage):
            if step == 6:
                same = equal(trainer.network.state_dict(), trainer.ema.averages)
                seen.append((same, len(trainer.step.optimizer.state)))
            return super().batch(step, stage)

    trainer = make(tmp_path, sampler=Watching())
    trainer.run()
    assert seen == [(True, 0)]


def test_batches_are_drawn_once_each_in_order(tmp_path):
    sampler = Batches()
    make(tmp_path, sampler=sampler).run()
    assert sampler.steps == list(range(10))


def test_the_rate_follows_the_schedule_of_its_stage(tmp_path):
    rates = []

    class Watching(Batches):
        def batch(self, step, stage):
            rates.append(trainer.step.optimizer.param_groups[0]["lr"])
            return super().batch(step, stage)

    constant = replace(FIRST, schedule=Schedule(kind="step", milestones=(0.5,), gamma=0.1))
    recipe = replace(RECIPE, stages=(constant,))
    trainer = make(tmp_path, recipe=recipe, sampler=Watching())
    trainer.run()
    # A batch sees the rate of the iteration before it.
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 1e-2, 1e-3, 1e-3])


def test_validation_sees_the_averages_and_leaves_the_weights_alone(tmp_path):
    seen: list[tuple[bool, bool]] = []

    def validate(network):
        seen.append((network.training, equal(network.state_dict(), trainer.ema.averages)))
        return {"held-out": [float(len(seen))]}

    best = []
    hooks = Hooks(validate=validate, save_best=lambda tensors, position: best.append(position.best))
    trainer = make(tmp_path / "a", hooks=hooks)
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

    hooks = Hooks(validate=validate)
    trainer = make(tmp_path, recipe=recipe, hooks=hooks, budget=Budget(steps=steps))
    trainer.run()
    assert len(totals) == 5
    assert totals[-1] == steps
    assert sorted(set(totals)) == totals


def test_only_a_better_validation_is_saved(tmp_path):
    values = iter([3.0, 2.0, float("nan"), 4.0, 4.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    saved = []
    hooks = Hooks(
        validate=lambda network: {"held-out": [next(values)]},
        save_best=lambda tensors, position: saved.append(position.best),
    )
    recipe = replace(RECIPE, stages=(FIRST,))
    make(tmp_path, recipe=recipe, hooks=hooks, budget=Budget(steps=12)).run()
    assert saved == [3.0, 4.0]


def test_the_log_of_a_killed_run_holds_nothing_twice(tmp_path):
    hooks = Hooks(validate=lambda network: {"held-out": [1.0]}, stop=stop_after(4).stop)
    make(tmp_path, hooks=hooks).run()
    with (tmp_path / "log.jsonl").open("a") as log:  # iterations after the checkpoint
        log.write('{"event": "validation", "total": 6, "psnr": 9.0}\n{"event": "val')
    rest = make(tmp_path, hooks=Hooks(validate=lambda network: {"held-out": [1.0]}))
    rest.resume()
    rest.run()
    logged = entries(tmp_path)
    for event in ("train", "validation"):
        totals = [entry["total"] for entry in logged if entry["event"] == event]
        assert totals == sorted(set(totals))
    assert {entry.get("psnr", 1.0) for entry in logged} == {1.0}


def test_a_loss_that_is_not_a_number_ends_it_and_keeps_the_last_good_state(tmp_path):
    # The state is written after every iteration, also after the spoilt one, if nothing refused it.
    trainer = make(tmp_path, sampler=Batches(spoil=3), every=0.0)
    with pytest.raises(InferenceError, match="learning_rate"):
        trainer.run()
    assert read_position(tmp_path / "state.safetensors").total == 3


def test_a_weight_that_is_lost_behind_a_finite_loss_is_never_saved(tmp_path):
    class Root(Net):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            # The gradient of the root at 0 is infinite; times 0 it is not a number.
            return super().forward(x) + (self.p * 0).abs().sqrt()

    trainer = make(tmp_path, network=Root(), every=0.0)
    with pytest.raises(InferenceError):
        trainer.run()
    assert not (tmp_path / "state.safetensors").exists()


def test_a_time_budget_ends_by_the_clock_and_counts_validation(tmp_path):
    recipe = replace(RECIPE, stages=(FIRST,), validate_every=10**6)

    def validate(network):
        time.sleep(0.03)
        return {"held-out": [1.0]}

    start = time.monotonic()
    trainer = make(
        tmp_path, recipe=recipe, budget=Budget(seconds=0.3), hooks=Hooks(validate=validate)
    )
    assert trainer.run()
    spent = time.monotonic() - start
    assert 0.3 <= spent < 3
    assert trainer.position.total > 5


def test_a_wrong_loss_of_the_last_stage_shows_at_once(tmp_path):
    wrong = replace(SECOND, losses=(LossTerm(name="l1", options={"sigma": 1.0}),))
    with pytest.raises(RecipeError, match="no option 'sigma'"):
        make(tmp_path, recipe=replace(RECIPE, stages=(FIRST, wrong)))


def test_the_state_of_another_network_is_refused(tmp_path):
    make(tmp_path, hooks=stop_after(2)).run()

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
    whole = make(tmp_path / "whole", recipe=replace(RECIPE, stages=(stage,)))
    whole.run()
    parts = replace(RECIPE, stages=(replace(stage, steps=3), going_on))
    trainer = make(tmp_path / "parts", recipe=parts)
    trainer.run()
    assert equal(whole.network.state_dict(), trainer.network.state_dict())
    assert equal(whole.ema.averages, trainer.ema.averages)
    # Stopped on either side of the border and resumed, it comes to the same.
    for cut in (2, 3, 4):
        folder = tmp_path / f"cut{cut}"
        make(folder, recipe=parts, hooks=stop_after(cut)).run()
        rest = make(folder, recipe=parts)
        rest.resume()
        rest.run()
        assert equal(whole.network.state_dict(), rest.network.state_dict())


def test_the_stage_says_what_is_done_to_channels_and_levels(tmp_path):
    seen = []

    class Watching(Batches):
        def batch(self, step, stage):
            seen.append((stage.shuffle_channels, stage.vary_levels))
            return super().batch(step, stage)

    stages = (FIRST, replace(SECOND, shuffle_channels=True, vary_levels=0.5))
    make(tmp_path, recipe=replace(RECIPE, stages=stages), sampler=Watching()).run()
    assert seen == [(False, 0)] * 6 + [(True, 0.5)] * 4


SMALL = Adversarial(options={"widths": (4,) * 7, "decoder": (4, 4, 4)})


@pytest.mark.parametrize(
    ("adversarial", "kind"), [(None, SupervisedStep), (SMALL, AdversarialStep)]
)
def test_a_stage_gets_the_step_it_describes(adversarial, kind):
    network = Net()
    training = StepContext(
        network=network, forward=network, numerics=Numerics(device=torch.device("cpu"))
    )
    step = make_step(Stage(patch=4, adversarial=adversarial), training)
    assert type(step) is kind
    before = network.a.weight.detach().clone()
    step(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 8, 8), 0.0)
    assert not torch.equal(network.a.weight.detach(), before)
    assert set(step.state()) >= {"optimizer.0.exp_avg", "optimizer.1.exp_avg"}
