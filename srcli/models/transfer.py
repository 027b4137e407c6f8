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

SCALES = (2, 3, 4)


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
    """Copy every tensor whose name and shape agree: all but the head, from another scale.

    Returns how many of the network's tensors were taken over, and how many it has.
    """
    own = network.state_dict()
    fitting = {
        key: tensors[key].to(value.dtype)
        for key, value in own.items()
        if key in tensors and tensors[key].shape == value.shape
    }
    network.load_state_dict(fitting, strict=False)
    return len(fitting), len(own)


def to_scale(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Interpolate weights of another scale at the sub-pixel positions of this one.

    A convolution before a sub-pixel shuffle (Shi et al. 2016) has one output channel for each
    position within an enlarged pixel; the positions of the new scale begin as what lies there
    between those of the former. Left new, it would read trained features by random weights.

    Returns ``tensors``, a state of this or another scale, with such ones in the network's shape.
    """
    scale = network.scale
    found = dict(tensors)
    for key, own in network.state_dict().items():
        former = tensors.get(key)
        if former is None or not former.ndim or former.shape[1:] != own.shape[1:]:
            continue
        colours, rest = divmod(len(own), scale**2) if scale else (0, 1)
        before = 0 if rest or not colours else math.isqrt(len(former) // colours)
        if before in SCALES and before != scale and colours * before**2 == len(former):
            found[key] = _spread(former, before, scale)
    return found


def _spread(tensor: Tensor, before: int, after: int) -> Tensor:
    """Interpolate between the positions (colours x before^2, ...), linearly along each axis."""
    positions: Tensor = tensor.unflatten(0, (-1, before, before))  # type: ignore[no-untyped-call]
    grid = positions.movedim((1, 2), (-2, -1))
    planes = grid.reshape(1, -1, before, before).float()
    spread = interpolate(planes, size=(after, after), mode="bilinear", align_corners=False)
    own = spread.reshape(*grid.shape[:-2], after, after).movedim((-2, -1), (1, 2))
    return own.flatten(0, 2).to(tensor.dtype).contiguous()
