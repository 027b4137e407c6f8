"""What published networks expect: their ranges of values, and their own names of tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean RGB of DIV2K's training pictures, which EDSR and its descendants subtract."""
FIXED = 1e-2
"""Largest difference of a colour shift that was not trained, in levels of 255."""


class ValueRange(nn.Module):
    """Subtract a mean RGB in [0, 1] from pictures in [0, 1] and multiply by ``top``; or undo it."""

    mean: Tensor

    def __init__(self, *, top: float = 255.0, mean: tuple[float, ...] = (0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.top = top
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)

    def extra_repr(self) -> str:
        """Return the range, which belongs to the settings that a network's digest covers."""
        return f"top={self.top:g}"

    def forward(self, x: Tensor) -> Tensor:
        """Shift and scale (N, C, H, W)."""
        return (x - self.mean) * self.top

    def undo(self, x: Tensor) -> Tensor:
        """Bring (N, C, H, W) back, in fp32 at least: half precision would cost 8-bit steps."""
        return x.to(torch.promote_types(x.dtype, torch.float32)) / self.top + self.mean


def range_of(network: nn.Module) -> float:
    """Return the value that white has inside a network, 1 unless it declares another."""
    tops = [each.top for each in network.modules() if isinstance(each, ValueRange)]
    return tops[0] if tops else 1.0


def set_value_range(network: nn.Module, top: float) -> None:
    """Let a network see pictures in [0, 1] as 0..``top``, and give them back in [0, 1]."""
    if range_of(network) == top:
        return
    declared = [each for each in network.modules() if isinstance(each, ValueRange)]
    for each in declared:
        each.top = top
    if not declared:
        network.add_module("value_range", ValueRange(top=top, mean=(0.0,)))
        network.register_forward_pre_hook(_enter)
        network.register_forward_hook(_leave)


def _enter(network: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:  # noqa: ANN401
    return network.value_range(given[0]), *given[1:]


def _leave(network: Any, given: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ANN401
    undone: Tensor = network.value_range.undo(out)
    return undone


Names = Mapping[str, str | Callable[[re.Match[str]], str]]
"""Regular expressions, and their replacements as ``re.sub`` takes them."""


class Published(NamedTuple):
    """A file of published weights, as ``from_published`` of a network's class returns it."""

    tensors: dict[str, Tensor]
    """By the names of the network here."""
    scales: tuple[int, ...]
    """Scales that these tensors are for; several where all scales share one network."""
    options: Mapping[str, Any]
    """Keyword arguments of the constructor, all that may differ from its defaults."""


def has_layers(tensors: Mapping[str, Tensor], *names: str) -> bool:
    """Return whether there is a weight of every layer that is named."""
    return all(f"{name}.weight" in tensors for name in names)


def rename(tensors: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Return tensors by other names; all expressions are applied to each name, in order.

    What becomes an empty name is left out.
    """
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        for pattern, replacement in names.items():
            key = re.sub(pattern, replacement, key)
        if key:
            found[key] = value
    return found


def from_zero(before: str, after: str = "") -> Callable[[re.Match[str]], str]:
    """Return a replacement that counts from 0 what the pattern's group counts from 1."""
    return lambda match: f"{before}{int(match[1]) - 1}{after}"


def count_blocks(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many different values the group of a regular expression has among the names."""
    return len({match[1] for key in tensors if (match := re.match(pattern, key))})


def shuffled_scale(tensors: Mapping[str, Tensor], stem: str) -> int:
    """Return the scale of a ``ShuffleUpsampling`` under ``stem``, of ungrouped convolutions."""
    weights = [value for key, value in tensors.items() if re.match(rf"{stem}\d+\.weight", key)]
    return math.prod(math.isqrt(value.shape[0] // value.shape[1]) for value in weights)


def shuffle_scale(weight: Tensor, colours: int = 3) -> int:
    """Return the scale of a convolution before the one sub-pixel shuffle at a network's end."""
    return math.isqrt(weight.shape[0] // colours)


def fold_shifts(
    found: dict[str, Tensor], tensors: Mapping[str, Tensor], *, first: str, last: str
) -> dict[str, Tensor]:
    """Fold colour shifts that training has changed into the first and the last convolution.

    EDSR's descendants subtract the mean colour of DIV2K on 0..255 by a 1x1 convolution, and add it
    by another. Some trained these, too, by mistake; ``ValueRange`` has the fixed ones. Outputs are
    equal but near borders: the zeros around a picture stand for another colour then.

    ``found`` are tensors by the network's names, ``tensors`` by published ones, perhaps with such
    shifts; the last convolution gives RGB, or what a shuffle makes RGB of.
    """
    shifts = [
        tensors.get(f"{n}_mean.{part}") for n in ("sub", "add") for part in ("weight", "bias")
    ]
    if any(each is None or len(each) != 3 for each in shifts):
        return found
    before, subtracted, behind, added = (each.float() for each in shifts if each is not None)
    before, behind = before[:, :, 0, 0], behind[:, :, 0, 0]
    mean = 255 * torch.tensor(DIV2K_MEAN)
    offset = before @ mean + subtracted
    if max(offset.abs().max(), (added - mean).abs().max()) < FIXED:
        return found
    kernel = found[f"{first}.weight"]
    weight, bias = found[f"{last}.weight"], found[f"{last}.bias"].reshape(3, -1)
    return found | {
        f"{first}.weight": torch.einsum("oihw,ij->ojhw", kernel, before),
        f"{first}.bias": found[f"{first}.bias"] + torch.einsum("oihw,i->o", kernel, offset),
        f"{last}.weight": (behind @ weight.reshape(3, -1)).reshape(weight.shape),
        f"{last}.bias": (behind @ bias + (added - mean)[:, None]).flatten(),
    }
