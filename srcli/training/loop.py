"""The training loop: stages of batches, averaging, checkpoints, validation and exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from srcli.errors import InferenceError
from srcli.losses import WeightedLoss
from srcli.ports.progress import NoProgress, Progress, Task
from srcli.training.budget import Budget, stage_budgets
from srcli.training.checkpoint import Position, load_state, read_position, save_state
from srcli.training.ema import Ema
from srcli.training.report import DIVERGED, LogFile, Meter
from srcli.training.schedule import rate_at

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.recipes.training import Stage, TrainRecipe

LOG_STEPS = 50
"""Iterations between two entries of the log."""
DESCRIBE_SECONDS = 2.0
"""Time after which the line of progress is brought up to date between them."""
LEAST_VALIDATIONS = 5
"""Short budgets are validated this often, whatever ``validate_every`` says."""


class Sampler(Protocol):
    """Gives the batch of an iteration; the same one for the same step."""

    def batch(
        self, step: int, *, batch: int, patch: int, prefer_detail: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return LR (N, 3, P, P) and HR (N, 3, sP, sP) in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """Number format and memory layout, chosen for the machine."""

    device: torch.device
    autocast: torch.dtype | None = None
    """Half precision of the network's forward pass; None for fp32."""
    channels_last: bool = False
    compile: bool = False


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the caller adds to the loop."""

    validate: Callable[[nn.Module], float] | None = None
    """PSNR in dB of a network, run with the averaged weights."""
    save_best: Callable[[dict[str, Tensor], Position], None] | None = None
    """Given the averaged weights after the best validation so far."""
    save_last: Callable[[dict[str, Tensor], Position], None] | None = None
    """Given the averaged weights with every checkpoint."""
    stop: Callable[[], bool] = field(default=lambda: False)
    """Asked after every iteration; true ends the training with a checkpoint."""
    progress: Progress = field(default_factory=NoProgress)


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
    """

    def __init__(  # noqa: PLR0913 - the parts of a training, each replaceable in a test
        self,
        *,
        network: nn.Module,
        recipe: TrainRecipe,
        sampler: Sampler,
        budget: Budget | None,
        numerics: Numerics,
        folder: Path,
        hooks: Hooks,
        checkpoint_seconds: float = 300.0,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.sampler = sampler
        self.numerics = numerics
        self.hooks = hooks
        self.state_file = folder / "state.safetensors"
        self.log = LogFile(folder / "log.jsonl")
        self.checkpoint_seconds = checkpoint_seconds
        self.budgets = stage_budgets(recipe, budget)
        # All losses at once: a wrong option of the last stage must not show after hours.
        self.losses = [WeightedLoss(stage.losses).to(numerics.device) for stage in recipe.stages]
        self.ema = Ema(network, recipe.ema_decay)
        self.position = Position()
        self._forward: Callable[[Tensor], Tensor] = network
        if numerics.compile:
            self._forward = torch.compile(network)
        self.optimizer = self._make_optimizer(recipe.stages[0])

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.position.stage >= len(self.recipe.stages)

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one; false if there is none.

        Raises:
            DataError: If the checkpoint is damaged or belongs to another network.
        """
        if not self.state_file.is_file():
            return False
        stage = min(read_position(self.state_file).stage, len(self.recipe.stages) - 1)
        self.optimizer = self._make_optimizer(self.recipe.stages[stage])
        self.position = load_state(
            self.state_file,
            network=self.network,
            ema=self.ema.averages,
            optimizer=self.optimizer,
        )
        self.log.rewind(self.position.total)
        return True

    def run(self) -> bool:
        """Train to the end of the budget; false if stopped before (a checkpoint is written).

        Raises:
            InferenceError: If the training diverges; the last checkpoint stays as it was.
            OSError: If the folder cannot be written.
        """
        self.network.train()
        while not self.finished:
            if not self._run_stage(self.recipe.stages[self.position.stage]):
                return False
            self.position.stage += 1
            self.position.step, self.position.elapsed = 0, 0.0
            if not self.finished:
                # A warm start: averaged weights, fresh optimiser and schedule.
                self.network.load_state_dict(self.ema.averages)
                self.optimizer = self._make_optimizer(self.recipe.stages[self.position.stage])
            self._checkpoint()
        return True

    def _make_optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        settings = stage.optimizer
        return torch.optim.Adam(
            self.network.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            fused=True,
        )

    def _run_stage(self, stage: Stage) -> bool:
        budget, position = self.budgets[self.position.stage], self.position
        task = self.hooks.progress.task(
            f"stage {position.stage + 1}/{len(self.recipe.stages)}",
            total=budget.total,
            unit="it" if budget.seconds is None else "s",
        )
        task.advance(budget.done(position.step, position.elapsed))
        meter = Meter()
        now = saved = time.monotonic()
        try:
            while (done := budget.progress(position.step, position.elapsed)) < 1:
                used = budget.done(position.step, position.elapsed)
                meter.add(self._step(stage, done))
                position.step += 1
                position.total += 1
                self._report(meter, stage, done, task)
                if self._validation_is_due(budget, done, time.monotonic() - now):
                    self._validate()
                # Validation and checkpoints count: a budget of 9 minutes takes 9 minutes.
                now, start = time.monotonic(), now
                position.elapsed += now - start
                task.advance(budget.done(position.step, position.elapsed) - used)
                if self.hooks.stop():
                    self._checkpoint()
                    return False
                if now - saved >= self.checkpoint_seconds:
                    self._checkpoint()
                    saved = now
            meter.take()
            self._validate()
        finally:
            task.close()
        return True

    def _validation_is_due(self, budget: Budget, before: float, spent: float) -> bool:
        after = budget.progress(self.position.step, self.position.elapsed + spent)
        passed = int(after * LEAST_VALIDATIONS) > int(before * LEAST_VALIDATIONS)
        return passed or self.position.total % self.recipe.validate_every == 0

    def _step(self, stage: Stage, done: float) -> Tensor:
        lr_image, hr_image = self.sampler.batch(
            self.position.total,
            batch=stage.batch,
            patch=stage.patch,
            prefer_detail=stage.prefer_detail,
        )
        if self.numerics.channels_last:
            lr_image = lr_image.contiguous(memory_format=torch.channels_last)
        else:
            lr_image, hr_image = lr_image.contiguous(), hr_image.contiguous()
        half = self.numerics.autocast
        with torch.autocast(self.numerics.device.type, dtype=half, enabled=half is not None):
            sr_image = self._forward(lr_image)
        loss: Tensor = self.losses[self.position.stage](sr_image.float(), hr_image)
        loss.backward()  # type: ignore[no-untyped-call]
        if stage.optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), stage.optimizer.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(stage, done)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network, self.position.total)
        return loss.detach()

    def _report(self, meter: Meter, stage: Stage, done: float, task: Task) -> None:
        log = self.position.step % LOG_STEPS == 0
        if not log and meter.age < DESCRIBE_SECONDS:
            return
        if (news := meter.take()) is None:
            return
        loss, per_second = news
        best = f"  best {self.position.best:.3f} dB" if self.position.best > 0 else ""
        task.describe(f"loss {loss:.5f}  {per_second:.2f} it/s{best}")
        if log:
            rate = rate_at(stage, done)
            self._log("train", {"loss": loss, "rate": rate, "per_second": round(per_second, 3)})

    def _validate(self) -> None:
        position = self.position
        if self.hooks.validate is None or position.validated == position.total:
            return
        self._require_finite()
        kept = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.ema.averages)
        self.network.eval()
        try:
            value = self.hooks.validate(self.network)
        finally:
            self.network.load_state_dict(kept)
            self.network.train()
        position.validated = position.total
        self._log("validation", {"psnr": value})
        self.hooks.progress.message(f"iteration {position.total}: validation {value:.3f} dB")
        if value > position.best:
            position.best, position.best_total = value, position.total
            if self.hooks.save_best is not None:
                self.hooks.save_best(self.ema.averages, position)
            self._checkpoint()  # after a kill, a worse one must not replace the best

    def _checkpoint(self) -> None:
        self._require_finite()
        save_state(
            self.state_file,
            position=self.position,
            network=self.network,
            ema=self.ema.averages,
            optimizer=self.optimizer,
        )
        if self.hooks.save_last is not None:
            self.hooks.save_last(self.ema.averages, self.position)

    def _require_finite(self) -> None:
        # A weight can be lost an iteration before the loss shows it; such a state is never saved.
        sums = [value.sum() for value in self.network.parameters()]
        if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
            raise InferenceError(DIVERGED)

    def _log(self, event: str, values: dict[str, object]) -> None:
        position = self.position
        self.log.write(
            {
                "event": event,
                "stage": position.stage,
                "step": position.step,
                "total": position.total,
                "elapsed": round(position.elapsed, 2),
                **values,
            }
        )
