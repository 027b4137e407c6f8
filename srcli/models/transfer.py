"""Turn the weights of one form or scale of a network into those of another."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from srcli.layers.network import Network

SCALES = (2, 3, 4, 8)


def to_deployed(
    network: Network, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state and the options with which a trained network is stored.

    They are those of the deployed form, where it has another; else what was given: a state of the
    network as it is trained, and the options that it was built with.
    """
    if network.reference:  # code of users has one form, and may not be copied while it is trained
        return dict(tensors), dict(options)
    twin = copy.deepcopy(network)
    twin.load_state_dict(tensors)
    deployed = twin.deploy().state_dict()
    if deployed.keys() == tensors.keys():  # it was built without branches
        return dict(tensors), dict(options)
    return deployed, {**options, "deployed": True}


def warm_start(network: Network, tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Take over every tensor of a stored state, of this or another scale, that fits.

    A convolution before a sub-pixel shuffle (Shi et al. 2016) has one output channel for each
    position within an enlarged pixel; those of another scale are interpolated at the positions of
    this one. Left new, it would read trained features by random weights.

    Returns how many of the network's tensors were taken over, and how many it has.
    """
    own, given = network.state_dict(), network.training_state(tensors)
    fitting: dict[str, Tensor] = {}
    for key, value in own.items():
        former = given.get(key)
        if former is not None and former.ndim and former.shape[1:] == value.shape[1:]:
            colours, rest = divmod(len(value), network.scale**2)
            before = 0 if rest or not colours else math.isqrt(len(former) // colours)
            if before in SCALES and before != network.scale and colours * before**2 == len(former):
                former = _spread(former, before, network.scale)
        if former is not None and former.shape == value.shape:
            fitting[key] = former.to(value.dtype)
    network.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def _spread(tensor: Tensor, before: int, after: int) -> Tensor:
    """Interpolate between the positions (colours x before^2, ...), linearly along each axis."""
    positions: Tensor = tensor.unflatten(0, (-1, before, before))  # type: ignore[no-untyped-call]
    grid = positions.movedim((1, 2), (-2, -1))
    planes = grid.reshape(1, -1, before, before).float()
    spread = interpolate(planes, size=(after, after), mode="bilinear", align_corners=False)
    own = spread.reshape(*grid.shape[:-2], after, after).movedim((-2, -1), (1, 2))
    return own.flatten(0, 2).to(tensor.dtype).contiguous()
