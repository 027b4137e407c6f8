"""Read Real-ESRGAN's networks from files of ncnn: layers in a .param, their values in a .bin.

Layers stand in the order in which they run, so that their tensors get the names of
Real-ESRGAN's own checkpoints by counting.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MAGIC = "7767517"
_HALF = 0x01306B47
"""Mark before weights of 16 bits, which are padded to whole words; that of 32 is 0."""
_DENSE = 15
"""Convolutions of a residual block: three dense blocks of five."""
_AROUND = ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
"""Convolutions before the first block and after the last one."""


@dataclass(frozen=True)
class _Layer:
    """One layer that has tensors."""

    kind: str
    tensors: dict[str, Tensor]


def read_ncnn(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.param`` file by Real-ESRGAN's names.

    A ValueError is raised for other networks, an OSError where the ``.bin`` beside it
    is missing.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != [_MAGIC]:
        raise ValueError("no description of a network of ncnn")
    content = path.with_suffix(".bin").read_bytes()
    layers = []
    position = 0
    for line in lines[2:]:
        kind, _, inputs, outputs, *words = line.split()
        settings = _settings(words[int(inputs) + int(outputs) :])
        if kind not in ("Convolution", "PReLU"):
            continue
        layer, position = _read_layer(kind, settings, content, position)
        layers.append(layer)
    if lines[-1].startswith("Interp"):
        raise ValueError("its result is made smaller; give the file for x4")
    if position != len(content):
        raise ValueError("layers that only other networks have")
    tensors = {}
    for name, layer in zip(_names(layers), layers, strict=True):
        for key, tensor in layer.tensors.items():
            tensors[f"{name}.{key}"] = tensor
    return tensors


def _settings(words: list[str]) -> dict[int, int]:
    """Return the whole numbers among the settings of a layer."""
    settings = {}
    for word in words:
        key, _, value = word.partition("=")
        if value.isdecimal():
            settings[int(key)] = int(value)
    return settings


def _read_layer(
    kind: str, settings: dict[int, int], content: bytes, position: int
) -> tuple[_Layer, int]:
    """Read a layer's tensors from a .bin; return it and the position after them."""
    width = settings[0]
    if kind == "PReLU":
        slopes = _floats(content, position, width)
        return _Layer(kind, {"weight": torch.from_numpy(slopes)}), position + 4 * width
    count = settings[6]
    side = settings[1]
    (mark,) = struct.unpack_from("<I", content, position)
    position += 4
    if mark == _HALF:
        weights = np.frombuffer(content, "<f2", count, position).astype(np.float32)
        position += -(-2 * count // 4) * 4
    elif mark == 0:
        weights = _floats(content, position, count)
        position += 4 * count
    else:
        raise ValueError("layers of other networks, or numbers that are quantised")
    bias = _floats(content, position, width)
    tensors = {
        "weight": torch.from_numpy(weights.reshape(width, -1, side, side)),
        "bias": torch.from_numpy(bias),
    }
    return _Layer(kind, tensors), position + 4 * width


def _floats(content: bytes, position: int, count: int) -> NDArray[np.float32]:
    return np.frombuffer(content, "<f4", count, position).copy()


def _names(layers: list[_Layer]) -> list[str]:
    """Return the names of the layers of SRVGGNetCompact, or of RRDBNet."""
    if any(layer.kind == "PReLU" for layer in layers):
        return [f"body.{number}" for number in range(len(layers))]
    block_count, odd = divmod(len(layers) - len(_AROUND), _DENSE)
    if block_count < 1 or odd:
        raise ValueError("layers that only other networks have")
    names = []
    for number in range(block_count * _DENSE):
        block, inner = divmod(number, _DENSE)
        dense, convolution = divmod(inner, 5)
        names.append(f"body.{block}.rdb{dense + 1}.conv{convolution + 1}")
    return [_AROUND[0], *names, *_AROUND[1:]]
