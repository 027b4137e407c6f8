"""The table of networks: names on the command line, where their classes live, their scales."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError, RecipeError
from srcli.recipes.fields import check_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """One network of the table."""

    target: str
    """``module:Class``; imported on use."""
    summary: str
    scales: tuple[int, ...] = (2, 3, 4)
    tile: int = 192
    """Default tile edge in input pixels; one number, so that results are the same everywhere."""
    overlap: int = 16
    trained: bool = True
    """Whether it needs weights."""


MODELS: dict[str, NetworkEntry] = {
    "g-idrn": NetworkEntry(
        target="srcli.models.g_idrn:GIDRN",
        summary="grouped information distillation residual network, 0.58 M parameters (flagship)",
    ),
    "bicubic": NetworkEntry(
        target="srcli.models.bicubic:Bicubic",
        summary="MATLAB-compatible bicubic interpolation, the baseline",
        tile=512,
        overlap=8,
        trained=False,
    ),
}


def find_entry(name: str) -> NetworkEntry:
    """Return the table's entry for ``name``.

    Raises:
        ModelError: If there is none; the message lists those there are.
    """
    if name not in MODELS:
        raise ModelError(f"no model {name!r}; there are: {', '.join(MODELS)}")
    return MODELS[name]


def build_network(name: str, *, scale: int, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build an untrained network.

    Args:
        name: A key of ``MODELS``.
        scale: One of the entry's scales.
        options: Keyword arguments of its constructor that differ from the defaults.

    Raises:
        ModelError: If the name, the scale or an option does not fit.
    """
    entry = find_entry(name)
    if scale not in entry.scales:
        have = ", ".join(map(str, entry.scales))
        raise ModelError(f"model {name} has no scale {scale}; it has: {have}")
    module, _, attribute = entry.target.partition(":")
    constructor = getattr(import_module(module), attribute)
    try:
        checked = check_options(constructor, options or {}, f"model {name}")
    except RecipeError as error:
        raise ModelError(str(error)) from error
    if "scale" in checked:
        raise ModelError(f"model {name}: the scale is no option of the network; give it by --scale")
    try:
        network: nn.Module = constructor(scale=scale, **checked)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"model {name}: {error}") from error
    return network
