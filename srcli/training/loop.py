"""The training loop: stages of batches, with averaging, checkpoints, validation and exact resume."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from srcli.errors import InferenceError
from srcli.losses import WeightedLoss
from srcli.ports.progress import NoProgress, Progress
from srcli.training.budget import Budget
from srcli.training.checkpoint import Position, load_state, save_state
from srcli.training.ema import Ema
from srcli.training.schedule import rate_factor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from srcli.recipes.training import Stage, TrainRecipe


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
        self.log_file = folder / "log.jsonl"
        self.checkpoint_seconds = checkpoint_seconds
        self.budgets = stage_budgets(recipe, budget)
        self.ema = Ema(network, recipe.ema_decay)
        self.position = Position()
        self._forward: Callable[[Tensor], Tensor] = network
        if numerics.compile:
            self._forward = torch.compile(network)
        self.optimizer = self._make_optimizer(recipe.stages[0])

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one."""
        if not self.state_file.is_file():
            return False
        self.position = load_state(
            self.state_file,
            network=self.network,
            ema=self.ema.averages,
            optimizer=self.optimizer,
        )
        return True

    def run(self) -> bool:
        """Train to the end of the budget; false if stopped before (a checkpoint is written)."""
        while self.position.stage < len(self.recipe.stages):
            if not self._run_stage(self.recipe.stages[self.position.stage]):
                return False
            self.position.stage += 1
            self.position.step, self.position.elapsed = 0, 0.0
            if self.position.stage < len(self.recipe.stages):
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
        loss_function = WeightedLoss(stage.losses).to(self.numerics.device)
        task = self.hooks.progress.task(
            f"stage {position.stage + 1}/{len(self.recipe.stages)}",
            total=budget.seconds or budget.steps,
            unit="s" if budget.seconds else "it",
        )
        task.advance(position.elapsed if budget.seconds else position.step)
        meter = _Meter()
        saved = time.monotonic()
        try:
            while (done := budget.progress(position.step, position.elapsed)) < 1:
                start = time.monotonic()
                rate = stage.optimizer.learning_rate * rate_factor(stage.schedule, done)
                loss = self._step(stage, loss_function, rate)
                meter.add(loss)
                position.step += 1
                position.total += 1
                spent = time.monotonic() - start
                position.elapsed += spent
                task.advance(spent if budget.seconds else 1)
                if position.step % 50 == 0:
                    self._report(meter, rate, task)
                if position.total % self.recipe.validate_every == 0:
                    self._validate()
                if self.hooks.stop():
                    self._checkpoint()
                    return False
                if time.monotonic() - saved > self.checkpoint_seconds:
                    self._checkpoint()
                    saved = time.monotonic()
            self._validate()
        finally:
            task.close()
        return True

    def _step(self, stage: Stage, loss_function: nn.Module, rate: float) -> Tensor:
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
        loss: Tensor = loss_function(sr_image.float(), hr_image)
        loss.backward()  # type: ignore[no-untyped-call]
        if stage.optimizer.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), stage.optimizer.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network, self.position.total)
        return loss.detach()

    def _report(self, meter: _Meter, rate: float, task: Any) -> None:
        mean, per_second = meter.take()
        if mean != mean:
            raise InferenceError(
                "the loss is not a number; lower the rate (--set stages.0.optimizer.learning_rate=2e-4)"
            )
        task.describe(f"loss {mean:.5f}  {per_second:.2f} it/s")
        self._log(event="train", loss=mean, rate=rate, per_second=per_second)

    def _validate(self) -> None:
        if self.hooks.validate is None:
            return
        kept = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.ema.averages)
        self.network.eval()
        try:
            value = self.hooks.validate(self.network)
        finally:
            self.network.load_state_dict(kept)
            self.network.train()
        self._log(event="validation", psnr=value)
        self.hooks.progress.message(f"iteration {self.position.total}: validation {value:.3f} dB")
        if value > self.position.best:
            self.position.best = value
            if self.hooks.save_best is not None:
                self.hooks.save_best(self.ema.averages, self.position)

    def _checkpoint(self) -> None:
        save_state(
            self.state_file,
            position=self.position,
            network=self.network,
            ema=self.ema.averages,
            optimizer=self.optimizer,
        )

    def _log(self, **entry: Any) -> None:
        position = self.position
        line = {
            "stage": position.stage,
            "step": position.step,
            "total": position.total,
            "elapsed": round(position.elapsed, 2),
            **entry,
        }
        with self.log_file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


class _Meter:
    """Mean loss and speed between two reports; asks the device for the loss only when read."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._start = time.monotonic()

    def add(self, loss: Tensor) -> None:
        self._losses.append(loss)

    def take(self) -> tuple[float, float]:
        mean = float(torch.stack(self._losses).mean())
        per_second = len(self._losses) / max(time.monotonic() - self._start, 1e-9)
        self.__init__()  # type: ignore[misc]
        return mean, per_second


def stage_budgets(recipe: TrainRecipe, budget: Budget | None) -> list[Budget]:
    """Divide a budget among the stages of a recipe in proportion to their iterations."""
    if budget is None:
        return [Budget(steps=stage.steps) for stage in recipe.stages]
    total = sum(stage.steps for stage in recipe.stages)
    return [budget.share(stage.steps / total) for stage in recipe.stages]
