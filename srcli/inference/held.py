"""Values that modules of a network hold of a picture, as further inputs of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.layers.placement import StretchedMap
from srcli.layers.pooling import GlobalPool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


def held_values(network: nn.Module) -> dict[str, Tensor]:
    """Return the calibration and the weights of positions that modules hold.

    Returns:
        (N or 1, ...) by names of buffers.
    """
    return {
        f"{name}.{key}": value
        for name, module in network.named_modules()
        if isinstance(module, GlobalPool | StretchedMap)
        for key, value in module.named_buffers(recurse=False)
    }


def crop_held(network: nn.Module, values: Mapping[str, Tensor], side: int | None) -> list[Tensor]:
    """Return held values of the first item, as its corner of ``side`` pixels needs them."""
    cropped = []
    for name, value in values.items():
        module = network.get_submodule(name.rpartition(".")[0])
        own = value[:1]
        if side is not None and isinstance(module, StretchedMap):
            own = own[:, :side, : (side - module.minimum) // module.step + 1]
        cropped.append(own)
    return cropped


def hold_values(network: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Let modules hold other tensors, by the names that ``held_values`` gives."""
    for name, value in values.items():
        module, _, key = name.rpartition(".")
        setattr(network.get_submodule(module), key, value)
