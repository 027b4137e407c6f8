"""Names that authors have for the tensors of their networks, so that other software loads ours.

The other way than ``published_files.toml``: chaiNNer, spandrel and the authors' own code
know a network by these names and shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from srcli.layers.network import DIV2K_MEAN, Network
from srcli.models import name_of

NAMES: Mapping[str, Mapping[str, str]] = {
    "rrdbnet": {
        r"^head\.": "conv_first.",
        r"^body\.(\d+)\.blocks\.(\d)\.layers\.(\d)\.": "body.{1}.rdb{2+1}.conv{3+1}.",
        r"^tail\.": "conv_body.",
        r"^up\.(\d)\.": "conv_up{1+1}.",
        r"^full\.": "conv_hr.",
        r"^last\.": "conv_last.",
    },
    "srvgg": {},
    "edsr": {
        r"^head\.": "head.0.",
        r"^body\.(\d+)\.conv1\.": "body.{1}.body.0.",
        r"^body\.(\d+)\.conv2\.": "body.{1}.body.2.",
        r"^tail\.": "body.NUM_BLOCKS.",
        r"^up\.": "tail.0.",
        r"^last\.": "tail.1.",
    },
    "rcan": {
        r"^head\.": "head.0.",
        r"^body\.(\d+)\.blocks\.(\d+)\.conv1\.": "body.{1}.body.{2}.body.0.",
        r"^body\.(\d+)\.blocks\.(\d+)\.conv2\.": "body.{1}.body.{2}.body.2.",
        r"^body\.(\d+)\.blocks\.(\d+)\.attention\.squeeze\.": "body.{1}.body.{2}.body.3.conv_du.0.",
        r"^body\.(\d+)\.blocks\.(\d+)\.attention\.expand\.": "body.{1}.body.{2}.body.3.conv_du.2.",
        r"^body\.(\d+)\.last\.": "body.{1}.body.NUM_BLOCKS.",
        r"^tail\.": "body.NUM_GROUPS.",
        r"^up\.": "tail.0.",
        r"^last\.": "tail.1.",
    },
    "span": {
        r"^head\.": "conv_1.",
        r"^body\.(\d)\.first\.": "block_{1+1}.c1_r.",
        r"^body\.(\d)\.second\.": "block_{1+1}.c2_r.",
        r"^body\.(\d)\.third\.": "block_{1+1}.c3_r.",
        r"^tail\.": "conv_2.",
        r"^fuse\.": "conv_cat.",
        r"^up\.": "upsampler.0.",
    },
}
"""By network: expressions for the beginnings of our names, and those of the authors."""
_SHIFTED = ("edsr", "rcan")


def author_tensors(network: Network) -> dict[str, Tensor] | None:
    """Return the tensors of a network by its authors' names; None for networks without such.

    The network is in the form that is deployed, or has one form alone.
    """
    name = name_of(network)
    if name not in NAMES:
        return None
    state = network.state_dict()
    counts = {
        "NUM_GROUPS": str(len(_numbers(state, r"body\.(\d+)\."))),
        "NUM_BLOCKS": str(len(_numbers(state, r"body\.(?:0\.blocks\.)?(\d+)\."))),
    }
    if name == "rcan":
        counts["NUM_BLOCKS"] = str(len(_numbers(state, r"body\.0\.blocks\.(\d+)\.")))
    tensors = {}
    for key, value in state.items():
        for pattern, template in NAMES[name].items():
            match = re.match(pattern, key)
            if match:
                key = _fill(template, match, counts) + key[match.end() :]
                break
        tensors[key] = value
    if name in _SHIFTED and network.mean is not None:
        tensors |= _shifts(network.white)
    if name == "span":
        tensors = _expanded(tensors)
    return tensors


def _numbers(state: Mapping[str, Tensor], pattern: str) -> set[str]:
    matches = (re.match(pattern, key) for key in state)
    return {match[1] for match in matches if match}


def _fill(template: str, match: re.Match[str], counts: Mapping[str, str]) -> str:
    """Put groups of a match, ``{1}`` or one more ``{1+1}``, and counts into a template."""
    text = template
    for number, value in enumerate(match.groups(), start=1):
        text = text.replace(f"{{{number}}}", value)
        text = text.replace(f"{{{number}+1}}", str(int(value) + 1))
    for word, value in counts.items():
        text = text.replace(word, value)
    return text


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
        is_kernel = kind == "weight" and value.shape[-1] == 3 and layer != "upsampler.0"
        if not is_kernel:
            if f"{layer}.weight" not in tensors or not _is_kernel(tensors, layer):
                expanded[key] = value
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
