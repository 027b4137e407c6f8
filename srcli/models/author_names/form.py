"""One kind of files that authors published: how it is known, and its layers' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Tensors = Mapping[str, Tensor]
"""The tensors of a file by their names."""
Options = Mapping[str, Any]
"""Arguments of a network's constructor, without the scale."""
Names = dict[str, str]
"""Our names of layers, or of tensors, by the authors'; "" for what is left out."""
FoundLayers = tuple[Options, Names]
"""What the layers of a file show of its network, and their names."""


def as_published(tensors: Tensors) -> Tensors:
    """Return the tensors of a file as they are."""
    return tensors


@dataclass(frozen=True, kw_only=True)
class AuthorFile:
    """One kind of files that authors published."""

    model: str
    """Our name of its network."""
    layers: tuple[str, ...]
    """The file has a weight of each of these."""
    find_layers: Callable[[Tensors], FoundLayers]
    """KeyError where the tensors lack one that every such file has."""
    upsampling: str = ""
    """The upsampling of files that hold one for each scale, {} for the scale."""
    prepare: Callable[[Tensors], Tensors] = as_published
    """Changes the tensors before, where other names are not enough."""
    files: str = ""
    """Which files these are, in words of docs/reference/networks.md."""
    scales: tuple[int, ...] = ()
    """Scales that are tried; none for all of the network."""
    either: tuple[Options, ...] = ({},)
    """Further options of the network, tried in this order until the tensors fit."""
    unseen: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of options that no tensor shows, the usual one first: a test picture decides."""
    shifted: tuple[str, str] | None = None
    """First and last layer of a file with colour shifts before and behind them."""

    def upsampling_names(self, scale: int) -> Names:
        """Return our name of the upsampling of a scale, where a file has one for each."""
        if not self.upsampling:
            return {}
        return {self.upsampling.format(scale): "up"}


def count_layers(tensors: Tensors, name: str) -> int:
    """Count the layers whose names differ in a number alone, {} in ``name``."""
    before, behind = name.split("{}")
    pattern = re.compile(rf"{re.escape(before)}(\d+){re.escape(behind)}\.")
    numbers = set()
    for key in tensors:
        if match := pattern.match(key):
            numbers.add(match[1])
    return len(numbers)


def count_outputs(tensors: Tensors, layer: str) -> int:
    """Return the number of output channels of a convolution."""
    return len(tensors[f"{layer}.weight"])


def squeeze_names(theirs: str, ours: str) -> Names:
    """Return names of the two convolutions of an attention by the means of channels."""
    return {
        f"{theirs}.conv_du.0": f"{ours}.squeeze",
        f"{theirs}.conv_du.2": f"{ours}.expand",
    }


def rename(tensors: Tensors, names: Names) -> dict[str, Tensor]:
    """Return tensors by new names, those of layers or of the tensors themselves.

    What has no new name keeps its own, and what is renamed to "" is left out.
    """
    renamed = {}
    for key, tensor in tensors.items():
        new_key = _renamed(key, names)
        if new_key:
            renamed[new_key] = tensor
    return renamed


def _renamed(key: str, names: Names) -> str:
    """Replace the longest beginning of a tensor's name that has a new one."""
    parts = key.split(".")
    for count in range(len(parts), 0, -1):
        beginning = ".".join(parts[:count])
        if beginning in names:
            new = names[beginning]
            return ".".join([new, *parts[count:]]) if new else ""
    return key
