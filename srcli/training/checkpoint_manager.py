"""Validation, checkpoints, best weights and log file of a training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from srcli.errors import InferenceError
from srcli.files import write_whole
from srcli.layers.network import Network
from srcli.ports.progress import NoProgress, Progress
from srcli.training.checkpoint import Position

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.recipes.training import TrainRecipe
    from srcli.training.checkpoint import TrainingState


def diverged() -> InferenceError:
    """Return the error of a training whose loss or weights are no longer finite."""
    return InferenceError(
        "the training has diverged: the loss or a weight is not a finite number",
        advice="what was saved before is kept. Train in another --out, from the best weights "
        "(--init .../best.safetensors) or anew, with a lower rate (--set "
        "stages.0.optimizer.learning_rate=...), with clipping (--set stages.0.optimizer.clip_norm=1"
        ") or in --precision fp32",
    )


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """Functions that a training calls."""

    validate: Callable[[Network], Mapping[str, float]] | None = None
    """Return the PSNR of a network in dB, by the name of each set of pictures; called with the
    averaged weights. The first set decides which weights are the best."""
    save_best: Callable[[dict[str, Tensor], Position], None] | None = None
    """Called with the averaged weights after the best validation so far; in stages whose aim PSNR
    does not measure, after every validation."""
    save_last: Callable[[dict[str, Tensor], Position], None] | None = None
    """Called with the averaged weights at every checkpoint."""
    log: Callable[[Mapping[str, object]], None] | None = None
    """Called with every entry of the log."""
    stop: Callable[[], bool] = field(default=lambda: False)
    """Called after every iteration; true ends the training with a checkpoint."""
    progress: Progress = field(default_factory=NoProgress)


class CheckpointManager:
    """Validate, log and save; of several processes only rank 0 does.

    Args:
        state: Of the training.
        recipe: Stages, and how often to validate.
        hooks: Validation, progress, and where weights go.
        folder: Where ``state.safetensors`` and ``log.jsonl`` are written.
        checkpoint_seconds: Time between checkpoints.
    """

    def __init__(
        self,
        state: TrainingState,
        *,
        recipe: TrainRecipe,
        hooks: Hooks,
        folder: Path,
        checkpoint_seconds: float,
    ) -> None:
        self.state = state
        self.recipe = recipe
        self.hooks = hooks
        self.state_file = folder / "state.safetensors"
        self.log_file = folder / "log.jsonl"
        self.checkpoint_seconds = checkpoint_seconds

    def validate(self) -> None:
        """Validate the averaged weights, unless that was done at this iteration.

        Raises:
            InferenceError: If a weight is no finite number.
        """
        state, position = self.state, self.state.position
        if self.hooks.validate is None or position.validated == position.total:
            return
        self._require_finite()
        weights = {key: value.clone() for key, value in state.network.state_dict().items()}
        state.network.load_state_dict(state.ema.averages)
        state.network.eval()
        try:
            found = dict(self.hooks.validate(state.network))
        finally:
            state.network.load_state_dict(weights)
            state.network.train()
        value = next(iter(found.values()))
        position.validated = position.total
        entry: dict[str, object] = {"psnr": value, "sets": found}
        if not self.recipe.degradation.is_clean:
            entry["degradation"] = self.recipe.degradation.name  # these PSNRs depend on it
        self.write("validation", entry)
        values = ", ".join(f"{name} {psnr:.3f} dB" for name, psnr in found.items())
        self.hooks.progress.message(f"iteration {position.total}: validation: {values}")
        if value > position.best or not (state.step.best_by_psnr or math.isnan(value)):
            position.best, position.best_total, position.at_best = value, position.total, found
            if self.hooks.save_best is not None:
                self.hooks.save_best(state.ema.averages, position)
            self.checkpoint()  # after a kill, a worse one must not replace the best

    def checkpoint(self) -> None:
        """Write the state and the last weights.

        Raises:
            InferenceError: If a weight is no finite number; the former files stay.
            OSError: If they cannot be written.
        """
        self._require_finite()
        self.state.save(self.state_file)
        if self.hooks.save_last is not None:
            self.hooks.save_last(self.state.ema.averages, self.state.position)

    def end(self) -> None:
        """Save the last weights as the best ones if nothing was validated."""
        if self.state.position.best == float("-inf") and self.hooks.save_best is not None:
            self.hooks.save_best(self.state.ema.averages, self.state.position)

    def write(self, event: str, values: Mapping[str, object]) -> None:
        """Append a line to the log; in the file, infinite numbers and NaN become null."""
        position = self.state.position
        entry: dict[str, object] = {
            "event": event,
            "stage": position.stage,
            "step": position.step,
            "total": position.total,
            "elapsed": round(position.elapsed, 2),
            **values,
        }
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in entry.items()
        }
        with self.log_file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(finite) + "\n")
        if self.hooks.log is not None:
            self.hooks.log(entry)

    def rewind_log(self) -> None:
        """Drop entries of the log after the current iteration, and a half-written last line.

        A killed run has logged iterations after its checkpoint; they will be done again.
        """
        if not self.log_file.is_file():
            return
        lines = self.log_file.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if _belongs(line, self.state.position.total)]
        if kept != lines:
            write_whole(self.log_file, b"".join(kept))

    def _require_finite(self) -> None:
        # A weight can be lost an iteration before the loss shows it; such a state is never saved.
        tensors = [*self.state.network.parameters(), *self.state.step.state().values()]
        sums = [value.sum() for value in tensors]
        if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
            raise diverged()


def _belongs(line: bytes, total: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(entry, dict) and entry.get("total", 0) <= total
