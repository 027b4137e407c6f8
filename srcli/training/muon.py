"""Muon: orthogonal momentum for the kernels of convolutions, Adam for all other weights.

The momentum of a matrix is replaced by the nearest matrix whose singular values are all one, so
that directions with rare gradients are learned as fast as the frequent ones (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/). The step has the size of Adam's (Liu et al. 2025, arXiv
2502.16982), so that Adam's learning rates can be used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration: the steepest slope at zero that converges to about one."""
_ROUNDS = 5
_SIZE = 0.2
"""Root mean square of Adam's steps, in learning rates."""
_SMALLEST = 4
"""Fewest rows and columns of a kernel that is treated as a matrix."""


class Muon(torch.optim.Optimizer):
    """Optimise kernels by orthogonal momentum and the other weights by Adam.

    The kernel of a convolution is a matrix for each of its groups: output channels by input
    channels times taps. Biases, gains and kernels with less than four rows or columns are the rest.

    Args:
        network: Its weights are optimised.
        lr: Learning rate.
        momentum: Nesterov's, of the matrices.
        betas: Of Adam.
        eps: Of Adam.
        weight_decay: Decoupled, as in AdamW.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps}
        super().__init__(network.parameters(), {**settings, "weight_decay": weight_decay})
        self._shapes = _matrices(network)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients."""
        assert closure is None
        for group in self.param_groups:
            given = [each for each in group["params"] if each.grad is not None]
            if group["weight_decay"]:
                torch._foreach_mul_(given, 1 - group["lr"] * group["weight_decay"])
            kernels = [each for each in given if each in self._shapes]
            self._adam([each for each in given if each not in self._shapes], group)
            if kernels:
                updates = self._nesterov(kernels, group["momentum"])
                torch._foreach_add_(kernels, self._steps(kernels, updates), alpha=-group["lr"])

    def _nesterov(self, kernels: list[nn.Parameter], momentum: float) -> Sequence[Tensor]:
        """Update the momenta of kernels and return Nesterov's means of them and the gradients."""
        gradients = [each.grad.float() for each in kernels if each.grad is not None]
        for kernel, gradient in zip(kernels, gradients, strict=True):
            if "momentum" not in self.state[kernel]:
                self.state[kernel]["momentum"] = torch.zeros_like(gradient)
        momenta = [self.state[kernel]["momentum"] for kernel in kernels]
        torch._foreach_lerp_(momenta, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, momenta, momentum)

    def _steps(self, kernels: list[nn.Parameter], updates: Sequence[Tensor]) -> list[Tensor]:
        """Return the steps at a learning rate of 1: matrices of equal size are computed as one."""
        alike: dict[tuple[int, int], list[int]] = {}
        for number, kernel in enumerate(kernels):
            alike.setdefault(self._shapes[kernel][1:], []).append(number)
        steps = list(updates)
        for (rows, columns), numbers in alike.items():
            stack = torch.cat([updates[i].reshape(-1, rows, columns) for i in numbers])
            found = orthogonal(stack) * (_SIZE * max(rows, columns) ** 0.5)
            counts = [self._shapes[kernels[i]][0] for i in numbers]
            for i, step in zip(numbers, found.split(counts), strict=True):
                steps[i] = step.reshape(kernels[i].shape)
        return steps

    def _adam(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Apply PyTorch's Adam, without weight decay, to parameters that are no matrices."""
        for parameter in parameters:
            state = self.state[parameter]
            if "step" not in state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        adam(
            list(parameters),
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (B, H, W) near one by a Newton-Schulz iteration.

    Returns:
        The same shape; singular values between about 0.7 and 1.2, and 0 where they are 0.
    """
    a, b, c = _COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x: Tensor = wide / (wide.flatten(1).norm(dim=1)[:, None, None] + 1e-12)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = a * x + torch.baddbmm(b * square, square, square, alpha=c) @ x
    return x if wide is matrices else x.mT


def _matrices(network: nn.Module) -> dict[Tensor, tuple[int, int, int]]:
    """Return (groups, rows, columns) of every kernel that is a stack of matrices."""
    found: dict[Tensor, tuple[int, int, int]] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            kernel = module.weight
            groups = 1 if isinstance(module, nn.Linear) else module.groups
            rows, columns = kernel.shape[0] // groups, kernel[0].numel()
            if min(rows, columns) >= _SMALLEST:
                found[kernel] = (groups, rows, columns)
    return found
