"""Training state in one safetensors file, written atomically: everything an exact resume needs."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from srcli.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


@dataclass(kw_only=True)
class Position:
    """Where a training stands."""

    stage: int = 0
    step: int = 0
    """Iterations done in this stage."""
    total: int = 0
    """Iterations done in all stages."""
    elapsed: float = 0.0
    """Seconds of training in this stage, pauses left out."""
    best: float = float("-inf")
    """Best validation PSNR so far, dB."""


def save_state(
    path: Path,
    *,
    position: Position,
    network: nn.Module,
    ema: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the whole state; a crash leaves the former file as it was."""
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"ema.{key}": value for key, value in ema.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in slots.items()}
    stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(stored, part, metadata={"position": json.dumps(asdict(position))})
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_state(
    path: Path, *, network: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> Position:
    """Put a saved state back into network, averages and optimiser.

    Raises:
        DataError: If the file is damaged or belongs to another network.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            position = Position(**json.loads((stored.metadata() or {})["position"]))
        network.load_state_dict(_part(tensors, "network."))
        saved = _part(tensors, "ema.")
        for key in ema:
            ema[key].copy_(saved[key])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path}: cannot be resumed ({reason}); use another --out, or delete it to start over"
        ) from error
    _restore_optimizer(optimizer, _part(tensors, "optimizer."))
    return position


def read_position(path: Path) -> Position:
    """Read only where a saved training stands."""
    try:
        with safe_open(path, framework="pt") as stored:
            return Position(**json.loads((stored.metadata() or {})["position"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: cannot be resumed ({error}); delete it to start over") from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    content: dict[str, Any] = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": content["param_groups"]})
