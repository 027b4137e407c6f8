"""The training loop: stages of batches, averaging and exact resume, in one or more processes."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch

from srcli.training.budget import Budget, stage_budgets
from srcli.training.checkpoint import CheckpointManager, Hooks, Position, diverged, rewind
from srcli.training.optimizers import rate_at
from srcli.training.parallel import ALONE, Team, require_divisible
from srcli.training.steps import Numerics, StepContext, SupervisedStep, make_step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from srcli.layers.network import Network
    from srcli.ports.progress import Task
    from srcli.recipes.training import Stage, TrainRecipe

LOG_STEPS = 50
"""Iterations between two entries of the log."""
DESCRIBE_SECONDS = 2.0
"""Time after which the line of progress is updated between them."""
LEAST_VALIDATIONS = 5
"""Short budgets are validated this often, whatever ``validate_every`` says."""


class Sampler(Protocol):
    """The source of batches; it returns the same batch for the same step."""

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return LR (N, C, P, P) and HR (N, C, sP, sP) in [0, 1], or a little beyond.

        Each of several processes gets its share of the patches.
        """


class Trainer:
    """Train one network by a recipe; construct, then ``run``.

    Args:
        network: On the device of ``numerics``.
        recipe: Stages, losses, averaging.
        sampler: Source of batches.
        budget: Replaces the recipe's iterations; None keeps them.
        numerics: Device and precision.
        folder: Where ``state.safetensors`` and ``log.jsonl`` are written.
        hooks: Validation, progress and stopping.
        checkpoint_seconds: Time between checkpoints.
        seed: Of weights that the training itself makes, such as a discriminator's.
        team: The processes that train together; all of them make the same calls.
    """

    def __init__(  # noqa: PLR0913 - the parts of a training, each replaceable in a test
        self,
        *,
        network: Network,
        recipe: TrainRecipe,
        sampler: Sampler,
        budget: Budget | None,
        numerics: Numerics,
        folder: Path,
        hooks: Hooks,
        checkpoint_seconds: float = 300.0,
        seed: int = 0,
        team: Team = ALONE,
    ) -> None:
        for stage in recipe.stages:
            require_divisible(stage.batch, team)
        self.network = network
        self.recipe = recipe
        self.sampler = sampler
        self.numerics = numerics
        self.team = team
        self.budgets = stage_budgets(recipe, budget)
        forward = numerics.compiled(network)
        context = StepContext(
            network=network, forward=forward, numerics=numerics, seed=seed, team=team
        )
        # All stages at once: a wrong option of the last one must not show after hours.
        steps = [make_step(stage, context) for stage in recipe.stages]
        self.manager = CheckpointManager(
            network,
            steps,
            recipe=recipe,
            hooks=hooks,
            folder=folder,
            checkpoint_seconds=checkpoint_seconds,
            team=team,
        )
        self.ema = self.manager.ema

    @property
    def position(self) -> Position:
        """Progress of the training."""
        return self.manager.position

    @property
    def step(self) -> SupervisedStep:
        """The step of the stage that is under way, or of the last one."""
        return self.manager.step

    def resume(self) -> bool:
        """Load the checkpoint of the folder; false if there is none.

        A training that is finished goes on in its last stage where the budget is longer now.
        """
        if not self.team.on_rank_zero(self.manager.state_file.is_file):
            return False
        self.manager.load()
        position, last = self.position, self.budgets[-1]
        ended = position.stage == len(self.budgets) and position.step > 0
        if ended and last.progress(position.step, position.elapsed) < 1:
            position.stage -= 1
        self.team.on_rank_zero(partial(rewind, self.manager.log_file, self.position.total))
        return True

    def run(self) -> bool:
        """Train to the end of the budget; false if stopped before (a checkpoint is written).

        Raises:
            InferenceError: If the training diverges; the last checkpoint stays as it was.
            OSError: If the folder cannot be written.
            PeerError: On all ranks but 0, if any of them fails.
        """
        self.team.broadcast([*self.network.state_dict().values(), *self.ema.averages.values()])
        self.network.train()
        stages, position = self.recipe.stages, self.position
        while position.stage < len(stages):
            if not self._run_stage(stages[position.stage]):
                return False
            before = self.step
            position.stage += 1
            if position.stage < len(stages):
                position.step, position.elapsed = 0, 0.0
                if stages[position.stage].reset_optimizer:
                    # A warm start: averaged weights; optimiser and schedule of the new stage.
                    self.network.load_state_dict(self.ema.averages)
                else:
                    self.step.restore(before.state())
            self.team.on_rank_zero(self.manager.checkpoint)
        return True

    def _run_stage(self, stage: Stage) -> bool:
        budget, position = self.budgets[self.position.stage], self.position
        monitor = StageMonitor(self.manager, stage, budget)
        try:
            while (done := budget.progress(position.step, position.elapsed)) < 1:
                values = self.train_on_batch(stage, done)
                position.step += 1
                position.total += 1
                stop = self.manager.hooks.stop() or self.team.orphaned
                if monitor.after_iteration(values, done, stop):
                    return False
            monitor.end()
        finally:
            monitor.close()
        return True

    def train_on_batch(self, stage: Stage, done: float) -> dict[str, Tensor]:
        """Change the weights by the batch of the current iteration."""
        lr_image, hr_image = self.sampler.batch(self.position.total, stage)
        values = self.step(*self.numerics.arranged(lr_image, hr_image), done)
        self.ema.update(self.network, self.position.total)
        return values


class AverageMeter:
    """Collect scalars of iterations; values are copied from the device only when read."""

    def __init__(self) -> None:
        self._values: list[Mapping[str, Tensor]] = []
        self._start = time.monotonic()

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the scalars of one iteration, such as its loss."""
        self._values.append(values)

    @property
    def age(self) -> float:
        """Seconds since the last call of ``take``."""
        return time.monotonic() - self._start

    def take(self) -> tuple[dict[str, float], int, float] | None:
        """Return means, number and iterations a second since the last call, and begin anew."""
        values, speed = self._values, len(self._values) / max(self.age, 1e-9)
        if not values:
            return None
        self._values, self._start = [], time.monotonic()
        columns = [torch.stack([each[name] for each in values]).mean() for name in values[0]]
        means = dict(zip(values[0], torch.stack(columns).tolist(), strict=True))
        if not all(map(math.isfinite, means.values())):
            raise diverged()
        return means, len(values), speed


class StageMonitor:
    """Call the checkpoint manager when validation, log or checkpoint are due, and show progress.

    All ranks make the same calls; the clock of rank 0 decides for them.
    """

    def __init__(self, manager: CheckpointManager, stage: Stage, budget: Budget) -> None:
        self.manager = manager
        self.stage = stage
        self.budget = budget
        position = manager.position
        self._task: Task = manager.hooks.progress.task(
            f"stage {position.stage + 1}/{len(manager.recipe.stages)}",
            total=budget.total,
            unit="it" if budget.seconds is None else "s",
        )
        self._shown = 0.0
        self._advance()
        self._recent, self._since_log = AverageMeter(), AverageMeter()
        self._now = self._saved = time.monotonic()
        self._done = 0.0

    def after_iteration(self, values: Mapping[str, Tensor], done: float, stop: bool) -> bool:
        """Log, validate and save as far as that is due after an iteration.

        Args:
            values: Its loss and other scalars.
            done: Fraction of the stage that was done before it.
            stop: True to end the training here, with a checkpoint.

        Returns:
            True if any rank is to stop.
        """
        position, team = self.manager.position, self.manager.team
        self._done = done
        ranks = team.gather(lambda: (*self._report(values), stop))
        validate, position.elapsed, save, _ = ranks[0]
        if validate:
            self.manager.validate()
            position.elapsed, save = team.on_rank_zero(self._look_at_clock)
        self._advance()
        stopped = any(stop for *_, stop in ranks)
        if stopped or save:
            team.on_rank_zero(self.manager.checkpoint)
            self._saved = self._now
        return stopped

    def end(self) -> None:
        """Log the rest of the stage, and validate."""
        self.manager.team.on_rank_zero(self._log_rest)
        self.manager.validate()

    def close(self) -> None:
        """Remove the progress bar."""
        self._task.close()

    def _advance(self) -> None:
        position, before = self.manager.position, self._shown
        self._shown = self.budget.done(position.step, position.elapsed)
        self._task.advance(self._shown - before)

    def _validation_is_due(self) -> bool:
        position, spent = self.manager.position, time.monotonic() - self._now
        after = self.budget.progress(position.step, position.elapsed + spent)
        passed = int(after * LEAST_VALIDATIONS) > int(self._done * LEAST_VALIDATIONS)
        return passed or position.total % self.manager.recipe.validate_every == 0

    def _report(self, values: Mapping[str, Tensor]) -> tuple[bool, float, bool]:
        """Log and show an iteration on rank 0; return what is due, which the others leave to it.

        Returns:
            True to validate, seconds spent in this stage, true to save.
        """
        if self.manager.team.rank:
            return False, 0.0, False
        position = self.manager.position
        self._recent.add(values)
        self._since_log.add(values)
        log = position.step % LOG_STEPS == 0
        if (log or self._recent.age >= DESCRIBE_SECONDS) and (recent := self._recent.take()):
            means, _, speed = recent
            losses = "  ".join(f"{name} {value:.5f}" for name, value in means.items())
            best = f"  best {position.best:.3f} dB" if position.best > 0 else ""
            self._task.describe(f"{losses}  {speed:.2f} it/s{best}")
        if log:
            self._log()
        return self._validation_is_due(), *self._look_at_clock()

    def _look_at_clock(self) -> tuple[float, bool]:
        """Return the seconds spent in this stage, and true if a checkpoint is due."""
        # Validation and checkpoints count: a budget of 9 minutes takes 9 minutes.
        now = time.monotonic()
        elapsed = self.manager.position.elapsed + now - self._now
        self._now = now
        return elapsed, now - self._saved >= self.manager.checkpoint_seconds

    def _log_rest(self) -> None:
        self._recent.take()
        self._log()

    def _log(self) -> None:
        """Write the means since the last entry; progress has means of its own."""
        if span := self._since_log.take():
            means, count, speed = span
            rate = rate_at(self.stage, self._done)
            # "iterations" are fewer than LOG_STEPS after a resume and at the end of a stage.
            entry = {**means, "rate": rate, "per_second": round(speed, 3), "iterations": count}
            self.manager.write("train", entry)
