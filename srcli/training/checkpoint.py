"""Training state in one safetensors file, written atomically: all that an exact resume needs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from srcli.errors import DataError
from srcli.files import write_whole
from srcli.layers.network import Network
from srcli.training.ema import Ema
from srcli.training.optimizers import part
from srcli.training.steps import Step

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(kw_only=True)
class Position:
    """Where a training stands."""

    stage: int = 0
    step: int = 0
    """Iterations done in this stage."""
    total: int = 0
    """Iterations done in all stages."""
    elapsed: float = 0.0
    """Seconds spent in this stage, pauses between runs left out."""
    best: float = float("-inf")
    """Best validation PSNR so far, dB."""
    best_total: int = 0
    """``total`` at that validation."""
    at_best: dict[str, float] = field(default_factory=dict)
    """PSNR of every set at that validation, dB."""
    validated: int = -1
    """``total`` at the last validation."""


@dataclass(kw_only=True)
class State:
    """Everything that changes while a training runs."""

    network: Network
    ema: Ema
    steps: list[Step]
    """One for each stage."""
    position: Position = field(default_factory=Position)

    @property
    def step(self) -> Step:
        """The step of the stage that is under way, or of the last one."""
        return self.steps[min(self.position.stage, len(self.steps) - 1)]

    def save(self, file: Path) -> None:
        """Write it whole; a crash leaves the former file as it was.

        Raises:
            OSError: If it cannot be written.
        """
        save_state(
            file,
            position=self.position,
            network=self.network,
            ema=self.ema.averages,
            step=self.step,
        )

    def load(self, file: Path) -> None:
        """Go on from what ``save`` wrote.

        Raises:
            DataError: If the file is damaged or belongs to another network.
        """
        self.position = read_position(file)  # tells which of the steps the file knows
        load_state(file, network=self.network, ema=self.ema.averages, step=self.step)


def save_state(
    path: Path, *, position: Position, network: Network, ema: dict[str, Tensor], step: Step
) -> None:
    """Write the whole state; a crash leaves the former file as it was.

    Raises:
        OSError: If it cannot be written.
    """
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"ema.{key}": value for key, value in ema.items()}
    tensors |= step.state()
    # Cloned, because tied tensors would be refused.
    stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    write_whole(path, save(stored, metadata={"position": json.dumps(asdict(position))}))


def load_state(path: Path, *, network: Network, ema: dict[str, Tensor], step: Step) -> Position:
    """Put a saved state back into network, averages and step.

    Args:
        path: From ``save_state``.
        network: Of the same architecture.
        ema: Averages, overwritten in place.
        step: Of the stage that ``read_position`` names.

    Raises:
        DataError: If the file is damaged or belongs to another network.
    """
    position = read_position(path)
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        network.load_state_dict(part(tensors, "network."))
        saved = part(tensors, "ema.")
        for key in ema:
            ema[key].copy_(saved[key])
        step.restore(tensors)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise _unusable(path, error) from error
    return position


def read_position(path: Path) -> Position:
    """Read only where a saved training stands.

    Raises:
        DataError: If the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            return Position(**json.loads((stored.metadata() or {})["position"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0]
    found = DataError(
        f"{path}: cannot be resumed ({reason})",
        advice="use another --out, or delete it to start over",
    )
    found.of_checkpoint = True
    return found
