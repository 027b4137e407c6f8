"""Read Real-ESRGAN's networks from files of ncnn: layers in a .param, their values in a .bin.

Layers stand in the order in which they run, so that their tensors get the names of
Real-ESRGAN's own checkpoints by counting.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

_MAGIC = "7767517"
_HALF = 0x01306B47
"""Mark before weights of 16 bits, which are padded to whole words; that of 32 is 0."""
_DENSE = 15
"""Convolutions of a residual block: three dense blocks of five."""
_AROUND = ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
"""Convolutions before the first block and after the last one."""


def read_ncnn(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a ``.param`` file by Real-ESRGAN's names.

    A ValueError is raised for other networks, an OSError where the ``.bin`` beside it
    is missing.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != [_MAGIC]:
        raise ValueError("no description of a network of ncnn")
    stream = io.BytesIO(path.with_suffix(".bin").read_bytes())
    kinds = []
    layers = []
    for line in lines[2:]:
        kind, _, inputs, outputs, *words = line.split()
        settings = _settings(words[int(inputs) + int(outputs) :])
        if kind in ("Convolution", "PReLU"):
            kinds.append(kind)
            layers.append(_read_layer(kind, settings, stream))
    if lines[-1].startswith("Interp"):
        raise ValueError("its result is made smaller; give the file for x4")
    if stream.read(1):
        raise ValueError("layers that only other networks have")
    tensors = {}
    for name, layer in zip(_names(kinds), layers, strict=True):
        for key, tensor in layer.items():
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
    kind: str, settings: dict[int, int], stream: IO[bytes]
) -> dict[str, Tensor]:
    """Read the tensors of a layer, which come next in a .bin."""
    width = settings[0]
    if kind == "PReLU":
        return {"weight": _read_numbers(stream, "<f4", width)}
    count = settings[6]
    side = settings[1]
    mark = int.from_bytes(stream.read(4), "little")
    if mark not in (_HALF, 0):
        raise ValueError("layers of other networks, or numbers that are quantised")
    weight = _read_numbers(stream, "<f2" if mark else "<f4", count)
    if mark:
        stream.seek(-2 * count % 4, io.SEEK_CUR)
    return {
        "weight": weight.reshape(width, -1, side, side),
        "bias": _read_numbers(stream, "<f4", width),
    }


def _read_numbers(stream: IO[bytes], kind: str, count: int) -> Tensor:
    content = stream.read(np.dtype(kind).itemsize * count)
    return torch.from_numpy(np.frombuffer(content, kind, count).astype(np.float32))


def _names(kinds: list[str]) -> list[str]:
    """Return the names of the layers of SRVGGNetCompact, or of RRDBNet."""
    if "PReLU" in kinds:
        return [f"body.{number}" for number in range(len(kinds))]
    block_count, odd = divmod(len(kinds) - len(_AROUND), _DENSE)
    if block_count < 1 or odd:
        raise ValueError("layers that only other networks have")
    names = []
    for number in range(block_count * _DENSE):
        block, inner = divmod(number, _DENSE)
        dense, convolution = divmod(inner, 5)
        names.append(f"body.{block}.rdb{dense + 1}.conv{convolution + 1}")
    return [_AROUND[0], *names, *_AROUND[1:]]
