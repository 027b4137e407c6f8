"""Optimisers and learning rates of recipes; the state of optimisers as named tensors.

Muon is orthogonal momentum for the kernels of convolutions and Adam for all other
weights: the momentum of a matrix is replaced by the nearest matrix whose singular
values are all one, so that directions with rare gradients are learned as fast as the
frequent ones (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/). The step
has the size of Adam's (Liu et al. 2025, arXiv 2502.16982), so that Adam's learning
rates can be used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from srcli.errors import RecipeError
from srcli.recipes.training import Optimizer, Schedule, Stage
from srcli.training.parallel import ALONE, Team

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of Muon's quintic iteration: the steepest slope at zero that converges to
about one."""
_ROUNDS = 5
"""Steps of that iteration."""
_ADAM_RMS = 0.2
"""Root mean square of Adam's steps, in learning rates."""
_SMALLEST = 4
"""Fewest rows and columns of a kernel that is treated as a matrix."""


def make_optimizer(network: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """Build the optimiser that a recipe describes."""
    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
    }
    if settings.kind != "sgd":
        options["betas"] = settings.beta1, settings.beta2
        options["eps"] = settings.epsilon
    # fused steps know no complex numbers, as of layers on Fourier transforms
    options["fused"] = not any(weight.is_complex() for weight in network.parameters())
    if settings.kind == "muon":
        return Muon(network, **options)
    parameters: Any = network.parameters()
    if settings.rates:
        parameters = _parameter_groups(network, settings.rates)
    if settings.kind == "sgd":
        return torch.optim.SGD(
            parameters,
            **options,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
        )
    if settings.kind == "adamw":
        return torch.optim.AdamW(parameters, **options)
    return torch.optim.Adam(parameters, **options)


def _parameter_groups(
    network: nn.Module, rates: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the weights in groups of equal factors on the learning rate.

    ``rates`` are the factors by the beginning of the weights' names.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    unused = set(rates)
    for name, weight in network.named_parameters():
        start = next((start for start in rates if name.startswith(start)), "")
        unused.discard(start)
        groups.setdefault(rates.get(start, 1.0), []).append(weight)
    if unused:
        raise RecipeError(
            f"rates: no weight of the network begins with {min(unused)!r}"
        )
    return [{"params": weights, "factor": factor} for factor, weights in groups.items()]


def rate_factor(schedule: Schedule, done: float) -> float:
    """Return the factor on the peak learning rate after the fraction ``done`` of a stage."""
    done = min(max(done, 0.0), 1.0)
    if done < schedule.warmup:
        return done / schedule.warmup
    if schedule.kind == "constant":
        return 1.0
    if schedule.kind == "step":
        return schedule.gamma ** sum(done >= m for m in schedule.milestones)
    if schedule.kind == "halving":
        # 0.6 / 0.2 is just below 3: a milestone must not be missed by a rounding error.
        return schedule.gamma ** math.floor(done / schedule.every + 1e-9)
    peak_ends = max(schedule.warmup, schedule.hold)
    if done < peak_ends:
        return 1.0
    begin = peak_ends
    end = 1.0
    for restart in schedule.restarts:
        if done >= restart:
            begin = max(begin, restart)
        else:
            end = min(end, restart)
    fallen = (done - begin) / max(end - begin, 1e-9)
    return schedule.floor + (1.0 - schedule.floor) * 0.5 * (
        1.0 + math.cos(math.pi * fallen)
    )


def rate_at(stage: Stage, done: float) -> float:
    """Return the learning rate after the fraction ``done`` of a stage."""
    return stage.optimizer.learning_rate * rate_factor(stage.schedule, done)


def apply_gradients(
    optimizer: torch.optim.Optimizer,
    *,
    rate: float,
    clip_norm: float,
    team: Team = ALONE,
) -> None:
    """Change the weights once by the means of all processes' gradients; clear these."""
    weights = []
    for group in optimizer.param_groups:
        weights += group["params"]
    # Losses are means over the patches: these are the gradients of the whole batch.
    team.average([weight.grad for weight in weights if weight.grad is not None])
    if clip_norm:
        torch.nn.utils.clip_grad_norm_(weights, clip_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as ``NUMBER.SLOT``, such as ``0.exp_avg``.

    The number is that of the weight.
    """
    tensors = {}
    for index, slots in optimizer.state_dict()["state"].items():
        for key, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{key}"] = value
    return tensors


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what ``optimizer_tensors`` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    content = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": content["param_groups"]})
    for parameter, slots in optimizer.state.items():
        for key, value in slots.items():
            if value.shape == parameter.shape:
                # Fused Adam walks parameter and moments side by side in memory: a
                # moment laid out otherwise than its parameter (channels_last) would
                # silently be another's.
                slots[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
            else:  # PyTorch leaves counts of steps where the file was read
                slots[key] = value.to(parameter.device)


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it."""
    named = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            named[name.removeprefix(prefix)] = tensor
    return named


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with ``prefix`` before their names, as ``without_prefix`` takes them."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


class Muon(torch.optim.AdamW):
    """Optimises kernels by orthogonal momentum and the other weights by AdamW.

    The kernel of a convolution is a matrix for each of its groups: output channels by
    input channels times taps. Biases, gains and kernels with less than four rows or
    columns are the rest. ``momentum`` is Nesterov's, of the matrices; all else is as in
    AdamW.
    """

    def __init__(
        self, network: nn.Module, *, momentum: float = 0.95, **settings: Any
    ) -> None:
        super().__init__(
            network.parameters(), **({"weight_decay": 0.0, "fused": True} | settings)
        )
        self.momentum = momentum
        self._shapes = _matrices(network)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        # AdamW's own way misses its moments where a kernel has its momentum
        torch.optim.Optimizer.__setstate__(self, state)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients."""
        (group,) = self.param_groups
        kernels = [kernel for kernel in self._shapes if kernel.grad is not None]
        if kernels and group["weight_decay"]:
            torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
        alike: dict[tuple[int, int], list[Tensor]] = {}
        for kernel in kernels:
            alike.setdefault(self._shapes[kernel][1:], []).append(kernel)
        for size, stack in alike.items():
            self._update_kernels(stack, size, group["lr"])
        gradients = []
        for kernel in kernels:
            gradients.append(kernel.grad)
            kernel.grad = None  # AdamW passes over it
        super().step(closure)
        for kernel, gradient in zip(kernels, gradients, strict=True):
            kernel.grad = gradient

    def _update_kernels(
        self, kernels: list[Tensor], size: tuple[int, int], rate: float
    ) -> None:
        """Change kernels whose matrices all have ``size``, rows and columns, as one stack."""
        gradients = []
        momenta = []
        for kernel in kernels:
            assert kernel.grad is not None
            gradients.append(kernel.grad.float())
            state = self.state[kernel]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(gradients[-1])
            momenta.append(state["momentum"])
        torch._foreach_lerp_(momenta, gradients, 1 - self.momentum)
        updates = torch._foreach_lerp(gradients, momenta, self.momentum)  # Nesterov's
        stack = torch.cat([update.reshape(-1, *size) for update in updates])
        stack = orthogonal(stack) * (_ADAM_RMS * max(size) ** 0.5)
        matrices = stack.split([self._shapes[kernel][0] for kernel in kernels])
        steps = [
            step.reshape(kernel.shape)
            for step, kernel in zip(matrices, kernels, strict=True)
        ]
        torch._foreach_add_(kernels, steps, alpha=-rate)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (B, H, W) near one.

    By a Newton-Schulz iteration they come between about 0.7 and 1.2; those that are 0
    stay.
    """
    a, b, c = _COEFFICIENTS
    wide = matrices
    if matrices.shape[1] > matrices.shape[2]:
        wide = matrices.mT
    x: Tensor = wide / (wide.flatten(1).norm(dim=1)[:, None, None] + 1e-12)
    if x.is_cuda or x.shape[2] < 2 * x.shape[1]:
        for _ in range(_ROUNDS):
            square = x @ x.mT
            x = a * x + torch.baddbmm(b * square, square, square, alpha=c) @ x
    else:  # the same factors from the small squares alone, where TF32's errors would add up
        square = x @ x.mT
        factors = torch.eye(len(square[0]), device=x.device)
        for _ in range(_ROUNDS):
            factor = torch.baddbmm(b * square, square, square, alpha=c)
            factor.diagonal(dim1=1, dim2=2).add_(a)
            factors = factor @ factors
            square = factor @ square @ factor
        x = factors @ x
    return x if wide is matrices else x.mT


def _matrices(network: nn.Module) -> dict[Tensor, tuple[int, int, int]]:
    """Return (groups, rows, columns) of every kernel that is a stack of matrices."""
    shapes = {}
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            kernel = module.weight
            groups = 1 if isinstance(module, nn.Linear) else module.groups
            rows = kernel.shape[0] // groups
            columns = kernel[0].numel()
            if min(rows, columns) >= _SMALLEST:
                shapes[kernel] = (groups, rows, columns)
    return shapes
