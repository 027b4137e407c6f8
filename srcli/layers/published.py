"""Weights that others published: their tensors under the names that networks here use."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from srcli.layers.value_range import DIV2K_MEAN

Names = Mapping[str, str | Callable[[re.Match[str]], str]]
"""Regular expressions, and their replacements as ``re.sub`` takes them."""

SHIFTS = ("sub_mean", "add_mean")
FIXED = 1e-2
"""Largest difference of a colour shift that was not trained, in levels of 255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """A file of published weights, as ``from_published`` beside a network's class returns it."""

    tensors: dict[str, Tensor]
    """By the names of the network here."""
    scales: tuple[int, ...]
    """Scales that these tensors are for; several where all scales share one network."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the constructor that differ from its defaults."""


def rename(tensors: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Return tensors by other names.

    Args:
        tensors: By published names.
        names: Applied to each name, all of them, in order. What becomes an empty name is left out.
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


def shuffled_scale(tensors: Mapping[str, Tensor], stem: str) -> int:
    """Return the scale of a ``ShuffleUpsampling`` under ``stem``, of ungrouped convolutions."""
    weights = [value for key, value in tensors.items() if re.match(rf"{stem}\d+\.weight", key)]
    return math.prod(math.isqrt(value.shape[0] // value.shape[1]) for value in weights)


def count_blocks(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many different values the group of a regular expression has among the names."""
    return len({match[1] for key in tensors if (match := re.match(pattern, key))})


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

    Args:
        found: By the network's names; without shifts among ``tensors`` it is returned as it is.
        tensors: By published names, with ``sub_mean`` and ``add_mean``.
        first: Name of the first convolution, which takes RGB.
        last: Name of the last one, which gives RGB or what a shuffle makes RGB of.
    """
    shifts = [tensors.get(f"{name}.{part}") for name in SHIFTS for part in ("weight", "bias")]
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
