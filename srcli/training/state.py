"""State of a training: weights, averages, optimiser and position, saved for an exact resume."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from srcli.errors import CheckpointError
from srcli.files import parse_text, write_whole
from srcli.layers.network import Network
from srcli.training.optimizers import part
from srcli.training.parallel import ALONE, Team
from srcli.training.supervised import SupervisedStep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn


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


@dataclass(kw_only=True)
class TrainingState:
    """Everything that changes while a training runs."""

    network: Network
    ema: Ema
    steps: list[SupervisedStep]
    """One for each stage."""
    position: Position = field(default_factory=Position)

    @property
    def step(self) -> SupervisedStep:
        """The step of the stage that is under way, or of the last one."""
        return self.steps[min(self.position.stage, len(self.steps) - 1)]

    def save(self, file: Path) -> None:
        """Write the whole state; a crash leaves the former file as it was."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"ema.{key}": value for key, value in self.ema.averages.items()}
        tensors |= self.step.state()
        # Cloned, because tied tensors would be refused.
        stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        write_whole(file, save(stored, metadata={"position": json.dumps(asdict(self.position))}))

    def load(self, file: Path, team: Team = ALONE) -> None:
        """Put a saved state back into network, averages and the step of its stage, on all ranks.

        Rank 0 alone reads the file, which may lie on a disk of its own.
        """
        self.position, tensors = team.on_rank_zero(partial(_read_state, file))
        team.on_all_ranks(partial(self._restore, tensors, file))

    def _restore(self, tensors: Mapping[str, Tensor], file: Path) -> None:
        try:
            self.network.load_state_dict(part(tensors, "network."))
            averages = part(tensors, "ema.")
            for key, value in self.ema.averages.items():
                value.copy_(averages[key])
            self.step.restore(tensors)
        except (KeyError, ValueError, RuntimeError) as error:
            raise _unusable(file, error) from error


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
