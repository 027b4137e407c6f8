"""Weights that others published: their tensors under the names that networks here use."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Names = Mapping[str, str | Callable[[re.Match[str]], str]]
"""Regular expressions, and their replacements as ``re.sub`` takes them."""


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
