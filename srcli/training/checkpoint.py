"""State of a training, saved for an exact resume; its log, and what counts as better weights."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from srcli.errors import CheckpointError, InferenceError
from srcli.files import parse_text, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn

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

    ``decay`` is the share of the old average that is kept at each step; 0 follows the weights.
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
        raise unusable(file, error) from error


def write_state(file: Path, position: Position, tensors: Mapping[str, Tensor]) -> None:
    """Write a state; a crash leaves the former file as it was."""
    # Cloned, because tied tensors would be refused.
    stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    write_whole(file, save(stored, metadata={"position": json.dumps(asdict(position))}))


def read_state(file: Path) -> tuple[Position, dict[str, Tensor]]:
    """Read what ``write_state`` wrote."""
    try:
        return read_position(file), load_file(file)
    except (SafetensorError, OSError) as error:
        raise unusable(file, error) from error


def unusable(file: Path, error: Exception) -> CheckpointError:
    """Return the error of a state that cannot be resumed."""
    reason = str(error).partition("\n")[0]
    advice = "use another --out, or delete it to start over"
    return CheckpointError(f"{file}: cannot be resumed ({reason}); {advice}")


def diverged() -> InferenceError:
    """Return the error of a training whose loss or weights are no longer finite."""
    return InferenceError(
        "the training has diverged: the loss or a weight is not a finite number; "
        "what was saved before is kept. Train in another --out, from the best weights "
        "(--init .../best.safetensors) or anew, with a lower rate (--set "
        "stages.0.optimizer.learning_rate=...), with clipping (--set stages.0.optimizer.clip_norm=1"
        ") or in --precision fp32",
    )


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
