"""One stage of a training, watched: what is due after each iteration, and how far it has come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from srcli.training.report import Meter
from srcli.training.schedule import rate_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from srcli.ports.progress import Task
    from srcli.recipes.training import Stage
    from srcli.training.budget import Budget
    from srcli.training.keeper import Keeper

LOG_STEPS = 50
"""Iterations between two entries of the log."""
DESCRIBE_SECONDS = 2.0
"""Time after which the line of progress is brought up to date between them."""
LEAST_VALIDATIONS = 5
"""Short budgets are validated this often, whatever ``validate_every`` says."""


class Watch:
    """Let the keeper validate, log and save when it is time to.

    Args:
        keeper: Whose state, hooks and files these are.
        stage: The stage.
        budget: Its end.
    """

    def __init__(self, keeper: Keeper, stage: Stage, budget: Budget) -> None:
        self.keeper = keeper
        self.stage = stage
        self.budget = budget
        position = keeper.state.position
        self._task: Task = keeper.hooks.progress.task(
            f"stage {position.stage + 1}/{len(keeper.recipe.stages)}",
            total=budget.total,
            unit="it" if budget.seconds is None else "s",
        )
        self._shown = budget.done(position.step, position.elapsed)
        self._task.advance(self._shown)
        self._recent, self._since_log = Meter(), Meter()
        self._now = self._saved = time.monotonic()
        self._done = 0.0

    def iteration(self, values: Mapping[str, Tensor], done: float, stop: bool) -> list[float]:
        """Do what is due after an iteration.

        Args:
            values: Its loss and other scalars.
            done: Fraction of the stage that was done before it.
            stop: Whether the training is to end here, with a checkpoint.

        Returns:
            Seconds spent in this stage.

        Raises:
            InferenceError: If the training has diverged.
            OSError: If a file cannot be written.
        """
        position = self.keeper.state.position
        self._recent.add(values)
        self._since_log.add(values)
        self._done = done
        self._report()
        if self._validation_is_due(done):
            self.keeper.validate()
        # Validation and checkpoints count: a budget of 9 minutes takes 9 minutes.
        self._now, start = time.monotonic(), self._now
        position.elapsed += self._now - start
        shown = self.budget.done(position.step, position.elapsed)
        self._task.advance(shown - self._shown)
        self._shown = shown
        if stop:
            self.keeper.checkpoint()
        elif self._now - self._saved >= self.keeper.checkpoint_seconds:
            self.keeper.checkpoint()
            self._saved = self._now
        return [position.elapsed, float(stop)]

    def end(self) -> None:
        """Log the rest of the stage, and validate what it has come to.

        Raises:
            InferenceError: If the training has diverged.
            OSError: If a file cannot be written.
        """
        self._recent.take()
        self._log()
        self.keeper.validate()

    def close(self) -> None:
        """Take the progress away."""
        self._task.close()

    def _validation_is_due(self, before: float) -> bool:
        position, spent = self.keeper.state.position, time.monotonic() - self._now
        after = self.budget.progress(position.step, position.elapsed + spent)
        passed = int(after * LEAST_VALIDATIONS) > int(before * LEAST_VALIDATIONS)
        return passed or position.total % self.keeper.recipe.validate_every == 0

    def _report(self) -> None:
        position = self.keeper.state.position
        log = position.step % LOG_STEPS == 0
        if not log and self._recent.age < DESCRIBE_SECONDS:
            return
        if news := self._recent.take():
            shown = "  ".join(f"{name} {value:.5f}" for name, value in news.means.items())
            best = f"  best {position.best:.3f} dB" if position.best > 0 else ""
            self._task.describe(f"{shown}  {news.per_second:.2f} it/s{best}")
        if log:
            self._log()

    def _log(self) -> None:
        """Write the means since the last entry: the log has its own spans, whatever is shown."""
        if span := self._since_log.take():
            entry = {
                **span.means,
                "rate": rate_at(self.stage, self._done),
                "per_second": round(span.per_second, 3),
                # After a resume, and at the end of a stage, they are fewer.
                "iterations": span.iterations,
            }
            self.keeper.write("train", entry)
