"""Progress, log, validation and checkpoints during one stage of a training."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from srcli.training.checkpoint import diverged
from srcli.training.optimizers import rate_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from srcli.ports.progress import Task
    from srcli.recipes.training import Stage
    from srcli.training.budget import Budget
    from srcli.training.checkpoint import CheckpointManager

LOG_STEPS = 50
"""Iterations between two entries of the log."""
DESCRIBE_SECONDS = 2.0
"""Time after which the line of progress is updated between them."""
LEAST_VALIDATIONS = 5
"""Short budgets are validated this often, whatever ``validate_every`` says."""


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
        position = manager.state.position
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
        position, team = self.manager.state.position, self.manager.team
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
        position, before = self.manager.state.position, self._shown
        self._shown = self.budget.done(position.step, position.elapsed)
        self._task.advance(self._shown - before)

    def _validation_is_due(self) -> bool:
        position, spent = self.manager.state.position, time.monotonic() - self._now
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
        position = self.manager.state.position
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
        elapsed = self.manager.state.position.elapsed + now - self._now
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
