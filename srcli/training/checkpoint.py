"""Training state in one safetensors file, written atomically: all that an exact resume needs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from srcli.errors import DataError
from srcli.recipes.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


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
    validated: int = -1
    """``total`` at the last validation."""


def save_state(
    path: Path,
    *,
    position: Position,
    network: nn.Module,
    ema: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the whole state; a crash leaves the former file as it was.

    Raises:
        OSError: If it cannot be written.
    """
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"ema.{key}": value for key, value in ema.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in slots.items()}
    # Cloned, because tied tensors would be refused.
    stored = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    write_whole(path, save(stored, metadata={"position": json.dumps(asdict(position))}))


def load_state(
    path: Path, *, network: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> Position:
    """Put a saved state back into network, averages and optimiser.

    Args:
        path: From ``save_state``.
        network: Of the same architecture.
        ema: Averages, overwritten in place.
        optimizer: Of the stage that ``read_position`` names, over the network's parameters.

    Raises:
        DataError: If the file is damaged or belongs to another network.
    """
    position = read_position(path)
    try:
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
        network.load_state_dict(_part(tensors, "network."))
        saved = _part(tensors, "ema.")
        for key in ema:
            ema[key].copy_(saved[key])
        _restore_optimizer(optimizer, _part(tensors, "optimizer."))
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
    return DataError(
        f"{path}: cannot be resumed ({reason}); use another --out, or delete it to start over"
    )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    content: dict[str, Any] = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": content["param_groups"]})
    for parameter, slots in optimizer.state.items():
        for key, value in slots.items():
            if value.shape == parameter.shape:
                # Fused Adam walks parameter and moments side by side in memory: a moment laid out
                # otherwise than its parameter (channels_last) would silently be another's.
                slots[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
