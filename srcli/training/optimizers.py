"""Optimisers and learning rates of recipes; the state of optimisers as named tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srcli.errors import RecipeError
from srcli.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from srcli.recipes.training import Optimizer, Schedule, Stage


def make_optimizer(network: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """Build the optimiser that a recipe describes."""
    lr, weight_decay = settings.learning_rate, settings.weight_decay
    parameters = _groups(network, settings.rates) if settings.rates else network.parameters()
    if settings.kind == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=weight_decay,
            fused=True,
        )
    betas, eps = (settings.beta1, settings.beta2), settings.epsilon
    if settings.kind == "muon":
        return Muon(network, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def _groups(network: nn.Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the weights in groups of equal factors on the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    unused = set(rates)
    for name, weight in network.named_parameters():
        start = next((start for start in rates if name.startswith(start)), None)
        unused.discard(start or "")
        groups.setdefault(rates.get(start or "", 1.0), []).append(weight)
    if unused:
        raise RecipeError(f"rates: no weight of the network begins with {min(unused)!r}")
    return [{"params": weights, "factor": factor} for factor, weights in groups.items()]


def rate_factor(schedule: Schedule, progress: float) -> float:
    """Return the factor on the peak learning rate.

    Args:
        schedule: Kind, warm-up and milestones, all in fractions of the stage.
        progress: Fraction of the stage that is done, 0..1.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < schedule.warmup:
        return progress / schedule.warmup
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "step":
        return schedule.gamma ** sum(progress >= m for m in schedule.milestones)
    if schedule.kind == "halving":
        # 0.6 / 0.2 is just below 3: a milestone must not be missed by a rounding error.
        return schedule.gamma ** math.floor(progress / schedule.every + 1e-9)
    peak_ends = max(schedule.warmup, schedule.hold)
    if progress < peak_ends:
        return 1.0
    rest = (progress - peak_ends) / max(1.0 - peak_ends, 1e-9)
    return schedule.floor + (1.0 - schedule.floor) * 0.5 * (1.0 + math.cos(math.pi * rest))


def rate_at(stage: Stage, done: float) -> float:
    """Return the learning rate after the fraction ``done`` of a stage."""
    return stage.optimizer.learning_rate * rate_factor(stage.schedule, done)


def apply_gradients(optimizer: torch.optim.Optimizer, *, rate: float, clip_norm: float) -> None:
    """Take one step of an optimiser, and clear the gradients."""
    if clip_norm:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser, by number of the weight and name of the slot."""
    return {
        f"{index}.{key}": value
        for index, slots in optimizer.state_dict()["state"].items()
        for key, value in slots.items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` returned."""
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


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
