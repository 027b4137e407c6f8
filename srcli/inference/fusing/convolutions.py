"""The fastest form of a network on a device: merged layers, packed or half convolutions."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from srcli.inference.fusing import onednn
from srcli.inference.fusing.g_idrn import merge_layers
from srcli.inference.fusing.layers import HalfConv2d, PackedConv2d
from srcli.inference.fusing.strips import use_strips
from srcli.layers.mixture import Mixture
from srcli.models.g_idrn import GIDRN

if TYPE_CHECKING:
    from srcli.layers.network import Network


def fuse(network: Network, device: torch.device, half: torch.dtype | None) -> Network:
    """Return a network's fastest form on a device, a new network for inference alone.

    ``half`` is the type of its forward pass; None for fp32.
    """
    if isinstance(network, Mixture):
        members = [fuse(member, device, half) for member in network.members]
        return Mixture(members, network.share)
    fused = network.for_inference()
    if device.type == "cpu":
        pack_convolutions(fused)
        if isinstance(fused, GIDRN):
            use_strips(fused)
    elif device.type == "cuda" and half is not None:
        keep_half_weights(fused, half)
    return fused


def keep_half_weights(network: Network, half: torch.dtype) -> None:
    """Make convolutions ``HalfConv2d``, with weights that are rounded to ``half`` once."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = HalfConv2d
            for name in ("weight", "bias"):
                value = getattr(module, name)
                if value is not None:
                    value = value.detach().to(half)
                module.register_buffer(f"half_{name}", value, persistent=False)
    if isinstance(network, GIDRN):
        merge_layers(network, half)


def pack_convolutions(network: nn.Module) -> bool:
    """Make a network's convolutions ``PackedConv2d``; return False where these fail.

    Activations that follow convolutions within ``nn.Sequential`` become a part of them,
    but not in networks of users' code, which may call the layers of a ``Sequential`` one
    by one.
    """
    if onednn.find_fault(torch.float32):
        return False
    for module in list(network.modules()):
        if type(module) is not nn.Conv2d or module.padding_mode != "zeros":
            continue
        if isinstance(module.padding, tuple):  # not "same"
            module.__class__ = PackedConv2d
            module.slope = None  # type: ignore[assignment]
            module.packed = {}  # type: ignore[assignment]
    if not getattr(network, "origin", ""):
        for module in network.modules():
            if isinstance(module, nn.Sequential):
                _absorb_activations(module)
    return True


def _absorb_activations(layers: nn.Sequential) -> None:
    """Let packed convolutions compute the activations that directly follow them."""
    for (_, layer), (name, activation) in pairwise(list(layers.named_children())):
        if not isinstance(layer, PackedConv2d):
            continue
        if isinstance(activation, nn.LeakyReLU):
            layer.slope = activation.negative_slope
        elif isinstance(activation, nn.ReLU):
            layer.slope = 0.0
        else:
            continue
        setattr(layers, name, nn.Identity())
