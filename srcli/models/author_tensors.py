"""Tensors of a network by its authors' names, so that other software loads ours.

chaiNNer, spandrel and the authors' own code know a network by these names and shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from srcli.layers.network import DIV2K_MEAN, Network
from srcli.models import name_of
from srcli.models.author_names.esrgan import rrdbnet_names
from srcli.models.author_names.form import Names, Tensors, count_layers, rename
from srcli.models.author_names.modern import span_names
from srcli.models.author_names.residual import edsr_names, rcan_names


def _names_of_rrdbnet(state: Tensors) -> Names:
    return rrdbnet_names(count_layers(state, "body.{}.blocks.0.layers.0"))


def _names_of_srvgg(state: Tensors) -> Names:
    """Return nothing: its authors have our names."""
    del state
    return {}


def _names_of_edsr(state: Tensors) -> Names:
    return edsr_names(count_layers(state, "body.{}.conv1"))


def _names_of_rcan(state: Tensors) -> Names:
    groups = count_layers(state, "body.{}.last")
    return rcan_names(groups, count_layers(state, "body.0.blocks.{}.conv1"))


def _names_of_span(state: Tensors) -> Names:
    return span_names(count_layers(state, "body.{}.first"))


NAMES: Mapping[str, Callable[[Tensors], Names]] = {
    "rrdbnet": _names_of_rrdbnet,
    "srvgg": _names_of_srvgg,
    "edsr": _names_of_edsr,
    "rcan": _names_of_rcan,
    "span": _names_of_span,
}
"""By network: what gives our names by its authors', from the tensors of its deployed form."""
_SHIFTED = ("edsr", "rcan")


def author_tensors(network: Network) -> dict[str, Tensor] | None:
    """Return the tensors of a network by its authors' names; None for networks without such.

    The network is in the form that is deployed, or has one form alone.
    """
    name = name_of(network)
    if name not in NAMES:
        return None
    state = network.state_dict()
    theirs_by_ours = {
        ours: theirs for theirs, ours in NAMES[name](state).items() if ours
    }
    tensors = rename(state, theirs_by_ours)
    if name in _SHIFTED and network.mean is not None:
        tensors |= _shifts(network.white)
    if name == "span":
        tensors = _expanded(tensors)
    return tensors


def _shifts(white: float) -> dict[str, Tensor]:
    """Return the colour shifts of EDSR's code, convolutions that subtract and add a mean."""
    mean = white * torch.tensor(DIV2K_MEAN)
    eye = torch.eye(3).view(3, 3, 1, 1)
    return {
        "sub_mean.weight": eye,
        "sub_mean.bias": -mean,
        "add_mean.weight": eye.clone(),
        "add_mean.bias": mean,
    }


def _expanded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return SPAN's tensors with the branches of its training, whose sum the kernels are.

    A 3x3 kernel alone stands in ``eval_conv``, which its code computes anew from the
    branches: a 1x1 convolution that doubles the channels, a 3x3 and a 1x1 one, beside
    another 1x1 one. The first passes each channel on, the 3x3 one is the kernel, and the
    last picks what it gives.
    """
    expanded = {}
    for key, value in tensors.items():
        layer, _, kind = key.rpartition(".")
        if f"{layer}.weight" not in tensors or not _is_kernel(tensors, layer):
            expanded[key] = value
            continue
        if kind != "weight":  # the bias goes with its kernel
            continue
        outputs, inputs = value.shape[:2]
        bias = tensors[f"{layer}.bias"]
        passing = torch.zeros(2 * inputs, inputs, 1, 1)
        passing[range(inputs), range(inputs)] = 1
        wide = torch.zeros(2 * outputs, 2 * inputs, 3, 3)
        wide[:outputs, :inputs] = value
        picking = torch.zeros(outputs, 2 * outputs, 1, 1)
        picking[range(outputs), range(outputs)] = 1
        branches = {
            "sk.weight": torch.zeros(outputs, inputs, 1, 1),
            "sk.bias": torch.zeros(outputs),
            "conv.0.weight": passing,
            "conv.0.bias": torch.zeros(2 * inputs),
            "conv.1.weight": wide,
            "conv.1.bias": torch.zeros(2 * outputs),
            "conv.2.weight": picking,
            "conv.2.bias": bias,
            "eval_conv.weight": value,
            "eval_conv.bias": bias,
        }
        for name, tensor in branches.items():
            expanded[f"{layer}.{name}"] = tensor
    return expanded


def _is_kernel(tensors: Mapping[str, Tensor], layer: str) -> bool:
    weight = tensors[f"{layer}.weight"]
    return weight.shape[-1] == 3 and layer != "upsampler.0"
