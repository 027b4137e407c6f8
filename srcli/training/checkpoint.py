"""State of a training, saved for an exact resume; validation, log and best weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from srcli.errors import CheckpointError, InferenceError
from srcli.files import parse_text, write_whole
from srcli.layers.network import Network
from srcli.ports.progress import NoProgress, Progress
from srcli.training.optimizers import part
from srcli.training.parallel import ALONE, Team

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from srcli.recipes.training import TrainRecipe
    from srcli.training.steps import SupervisedStep

TRIM = 0.2
"""Share of the pictures at either end that does not count in ``paired_gain``."""


@dataclass(kw_only=True)
class Position:
    """Progress of a training: iterations, time and the best validation so far."""

    stage: int = 0
    step: int = 0
    """Iterations done in this stage."""
    total: int = 0
    """Iterations done in all stages."""
    elapsed: float = 0.0
    """Seconds spent in this stage, without pauses between runs."""
    best: float = float("-inf")
    """Mean PSNR of the best validation so far, dB."""
    best_total: int = 0
    """``total`` at that validation."""
    at_best: dict[str, float] = field(default_factory=dict)
    """Mean PSNR of every set at that validation, dB."""
    best_pictures: list[float] = field(default_factory=list)
    """PSNR of every picture of the first set at that validation, dB."""
    validated: int = -1
    """``total`` at the last validation."""


class Ema:
    """Averages of all floating-point parameters and buffers; integers (counters) are copied.

    Args:
        network: Its weights are averaged.
        decay: Share of the old average that is kept at each step; 0 follows the weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.averages: dict[str, Tensor] = {
            key: value.detach().clone() for key, value in network.state_dict().items()
        }
        self._smooth = [key for key, value in self.averages.items() if value.is_floating_point()]
        self._exact = [key for key in self.averages if key not in self._smooth]

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Average in the weights after iteration ``step`` (from 0); the decay is lower at first."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        torch._foreach_lerp_(
            [self.averages[key] for key in self._smooth],
            [current[key] for key in self._smooth],
            1.0 - decay,
        )
        for key in self._exact:
            self.averages[key].copy_(current[key])


def read_position(file: Path) -> Position:
    """Read only the position of a saved training."""
    try:
        with safe_open(file, framework="pt") as stored:
            return Position(**parse_text((stored.metadata() or {})["position"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _unusable(file, error) from error


def _read_state(file: Path) -> tuple[Position, dict[str, Tensor]]:
    try:
        return read_position(file), load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unusable(file, error) from error


def _unusable(file: Path, error: Exception) -> CheckpointError:
    reason = str(error).partition("\n")[0]
    return CheckpointError(
        f"{file}: cannot be resumed ({reason})",
        advice="use another --out, or delete it to start over",
    )


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

    validate: Callable[[Network], Mapping[str, Sequence[float]]] | None = None
    """Return the PSNR of a network in dB on every picture, by the name of each set; called with the
    averaged weights, on every rank, all of which return the same. The first set decides which
    weights are the best."""
    save_best: Callable[[dict[str, Tensor], Position], None] = lambda _, __: None
    """Called with the averaged weights after the best validation so far, by ``paired_gain``; in
    stages whose aim PSNR does not measure, after every validation."""
    save_last: Callable[[dict[str, Tensor], Position], None] = lambda _, __: None
    """Called with the averaged weights at every checkpoint."""
    log: Callable[[Mapping[str, object]], None] = lambda _: None
    """Called with every entry of the log."""
    stop: Callable[[], bool] = lambda: False
    """Called after every iteration; true ends the training with a checkpoint."""
    progress: Progress = field(default_factory=NoProgress)


class CheckpointManager:
    """Everything that changes while a training runs: validated, logged and saved.

    All ranks validate, rank 0 alone logs and saves. ``steps`` are one for each stage.
    """

    def __init__(
        self,
        network: Network,
        steps: list[SupervisedStep],
        *,
        recipe: TrainRecipe,
        hooks: Hooks,
        folder: Path,
        checkpoint_seconds: float,
        team: Team = ALONE,
    ) -> None:
        self.network = network
        self.steps = steps
        self.ema = Ema(network, recipe.ema_decay)
        self.position = Position()
        self.recipe = recipe
        self.hooks = hooks
        self.team = team
        self.state_file = folder / "state.safetensors"
        self.log_file = folder / "log.jsonl"
        self.checkpoint_seconds = checkpoint_seconds

    @property
    def step(self) -> SupervisedStep:
        """The step of the stage that is under way, or of the last one."""
        return self.steps[min(self.position.stage, len(self.steps) - 1)]

    def save(self) -> None:
        """Write the whole state; a crash leaves the former file as it was."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"ema.{key}": value for key, value in self.ema.averages.items()}
        tensors |= self.step.state()
        # Cloned, because tied tensors would be refused.
        stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        position = json.dumps(asdict(self.position))
        write_whole(self.state_file, save(stored, metadata={"position": position}))

    def load(self) -> None:
        """Put a saved state back into network, averages and the step of its stage, on all ranks.

        Rank 0 alone reads the file, which may lie on a disk of its own.
        """
        self.position, tensors = self.team.on_rank_zero(partial(_read_state, self.state_file))
        self.team.on_all_ranks(partial(self._restore, tensors))

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        try:
            self.network.load_state_dict(part(tensors, "network."))
            averages = part(tensors, "ema.")
            for key, value in self.ema.averages.items():
                value.copy_(averages[key])
            self.step.restore(tensors)
        except (KeyError, ValueError, RuntimeError) as error:
            raise _unusable(self.state_file, error) from error

    def validate(self) -> None:
        """Validate the averaged weights, unless that was done at this iteration; on all ranks."""
        position = self.position
        if self.hooks.validate is None or position.validated == position.total:
            return
        self.team.on_all_ranks(self._require_finite)
        # The running statistics of batch normalisation are each rank's own.
        self.team.broadcast([*self.ema.averages.values()])
        weights = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.ema.averages)
        self.network.eval()
        try:
            found = dict(self.hooks.validate(self.network))
        finally:
            self.network.load_state_dict(weights)
            self.network.train()
        position.validated = position.total
        self.team.on_rank_zero(partial(self._record, found))

    def _record(self, found: Mapping[str, Sequence[float]]) -> None:
        """Log and report the mean PSNR of every set, and save the weights if they are the best."""
        position = self.position
        means = {name: fmean(pictures) for name, pictures in found.items()}
        value, pictures = next(iter(means.values())), next(iter(found.values()))
        entry: dict[str, object] = {"psnr": value, "sets": means}
        message = ", ".join(f"{name} {psnr:.3f} dB" for name, psnr in means.items())
        better = value > position.best
        if len(position.best_pictures) == len(pictures):
            gain = paired_gain(position.best_pictures, pictures)
            entry["gain"], better = gain, gain > 0
            message += f"; {gain:+.3f} dB to the best so far"
        better = better or not (self.step.best_by_psnr or math.isnan(value))
        entry["best"] = better
        if not self.recipe.degradation.is_clean:
            entry["degradation"] = self.recipe.degradation.name  # these PSNRs depend on it
        self.write("validation", entry)
        self.hooks.progress.message(f"iteration {position.total}: validation: {message}")
        if better:
            position.best, position.best_total, position.at_best = value, position.total, means
            position.best_pictures = [*pictures]
            self.hooks.save_best(self.ema.averages, position)
            self.checkpoint()  # after a kill, a worse one must not replace the best

    def checkpoint(self) -> None:
        """Write the state and the last weights.

        Raises:
            InferenceError: If a weight is no finite number; the former files stay.
            OSError: If they cannot be written.
        """
        self._require_finite()
        self.save()
        self.hooks.save_last(self.ema.averages, self.position)

    def end(self) -> None:
        """Save the last weights as the best ones if nothing was validated."""
        if self.position.best == float("-inf"):
            self.hooks.save_best(self.ema.averages, self.position)

    def write(self, event: str, values: Mapping[str, object]) -> None:
        """Add an entry to the log."""
        position = self.position
        entry: dict[str, object] = {
            "event": event,
            "stage": position.stage,
            "step": position.step,
            "total": position.total,
            "elapsed": round(position.elapsed, 2),
            **values,
        }
        write_entry(self.log_file, entry)
        self.hooks.log(entry)

    def _require_finite(self) -> None:
        # A weight can be lost an iteration before the loss shows it; such a state is never saved.
        tensors = [*self.network.parameters(), *self.step.state().values()]
        sums = [value.sum() for value in tensors]
        if sums and not bool(torch.isfinite(torch.stack(sums)).all()):
            raise diverged()


def paired_gain(before: Sequence[float], after: Sequence[float]) -> float:
    """Return by how much scores have risen: the trimmed mean of the differences of each picture.

    The fifth of the pictures with the lowest differences and the fifth with the highest are left
    out (of fewer than five none), so that single pictures that swing do not decide.
    """
    differences = sorted(b - a if b != a else 0.0 for a, b in zip(before, after, strict=True))
    cut = int(TRIM * len(differences))  # equal ones may be infinite
    return fmean(differences[cut : len(differences) - cut])


def write_entry(file: Path, entry: Mapping[str, object]) -> None:
    """Append an entry as a line of JSON; infinite numbers and NaN become null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in entry.items()
    }
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(finite) + "\n")


def rewind(file: Path, total: int) -> None:
    """Drop entries after iteration ``total``, and a half-written last line.

    A killed run has logged iterations after its checkpoint; they will be done again.
    """
    if not file.is_file():
        return
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _belongs(line, total)]
    if kept != lines:
        write_whole(file, b"".join(kept))


def _belongs(line: bytes, total: int) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and isinstance(entry, dict) and entry.get("total", 0) <= total
