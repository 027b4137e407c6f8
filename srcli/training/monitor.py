"""Progress, log, validation and checkpoints during one stage of a training."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from srcli.training.log import AverageMeter
from srcli.training.optimizers import rate_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from srcli.ports.progress import Task
    from srcli.recipes.training import Stage
    from srcli.training.budget import Budget
    from srcli.training.checkpoint_manager import CheckpointManager

LOG_STEPS = 50
"""Iterations between two entries of the log."""
DESCRIBE_SECONDS = 2.0
"""Time after which the line of progress is updated between them."""
LEAST_VALIDATIONS = 5
"""Short budgets are validated this often, whatever ``validate_every`` says."""


class StageMonitor:
    """Call the checkpoint manager when validation, log or checkpoint are due, and show progress.

    Args:
        manager: Of the training.
        stage: The stage.
        budget: Its end.
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
        self._shown = budget.done(position.step, position.elapsed)
        self._task.advance(self._shown)
        self._recent, self._since_log = AverageMeter(), AverageMeter()
        self._now = self._saved = time.monotonic()
        self._done = 0.0

    def after_iteration(self, values: Mapping[str, Tensor], done: float, stop: bool) -> list[float]:
        """Log, validate and save as far as that is due after an iteration.

        Args:
            values: Its loss and other scalars.
            done: Fraction of the stage that was done before it.
            stop: True to end the training here, with a checkpoint.

        Returns:
            Seconds spent in this stage, and ``stop`` as a number.

        Raises:
            InferenceError: If the training has diverged.
            OSError: If a file cannot be written.
        """
        position = self.manager.state.position
        self._recent.add(values)
        self._since_log.add(values)
        self._done = done
        self._report()
        if self._validation_is_due(done):
            self.manager.validate()
        # Validation and checkpoints count: a budget of 9 minutes takes 9 minutes.
        self._now, start = time.monotonic(), self._now
        position.elapsed += self._now - start
        shown = self.budget.done(position.step, position.elapsed)
        self._task.advance(shown - self._shown)
        self._shown = shown
        if stop:
            self.manager.checkpoint()
        elif self._now - self._saved >= self.manager.checkpoint_seconds:
            self.manager.checkpoint()
            self._saved = self._now
        return [position.elapsed, float(stop)]

    def end(self) -> None:
        """Log the rest of the stage, and validate.

        Raises:
            InferenceError: If the training has diverged.
            OSError: If a file cannot be written.
        """
        self._recent.take()
        self._log()
        self.manager.validate()

    def close(self) -> None:
        """Remove the progress bar."""
        self._task.close()

    def _validation_is_due(self, before: float) -> bool:
        position, spent = self.manager.state.position, time.monotonic() - self._now
        after = self.budget.progress(position.step, position.elapsed + spent)
        passed = int(after * LEAST_VALIDATIONS) > int(before * LEAST_VALIDATIONS)
        return passed or position.total % self.manager.recipe.validate_every == 0

    def _report(self) -> None:
        position = self.manager.state.position
        log = position.step % LOG_STEPS == 0
        if not log and self._recent.age < DESCRIBE_SECONDS:
            return
        if recent := self._recent.take():
            losses = "  ".join(f"{name} {value:.5f}" for name, value in recent.means.items())
            best = f"  best {position.best:.3f} dB" if position.best > 0 else ""
            self._task.describe(f"{losses}  {recent.per_second:.2f} it/s{best}")
        if log:
            self._log()

    def _log(self) -> None:
        """Write the means since the last entry; progress has means of its own."""
        if span := self._since_log.take():
            entry = {
                **span.means,
                "rate": rate_at(self.stage, self._done),
                "per_second": round(span.per_second, 3),
                # After a resume, and at the end of a stage, they are fewer.
                "iterations": span.iterations,
            }
            self.manager.write("train", entry)
