"""Files and tensors of others that enlarge no picture here: what they are, and what helps."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

_CONVERT = "convert it to .safetensors or .pth by the program that it is for"
_STARTS = {
    rb"GGUF": "weights for llama.cpp (GGUF)",
    rb"\x89HDF\r\n\x1a\n": "HDF5, as of Keras",
    rb".{4}TFL3": "a program for LiteRT (TensorFlow Lite)",
    rb"[fp]trt": "an engine of TensorRT",
}
"""Regular expressions for the first bytes of files."""
_SUFFIXES = {
    ".caffemodel": "weights of Caffe",
    ".engine": "an engine of TensorRT",
    ".mlmodel": "a model for Core ML",
    ".mnn": "a model for MNN",
    ".msgpack": "weights of Flax",
    ".npz": "arrays of NumPy",
    ".pdparams": "weights of PaddlePaddle",
}
_PROTOBUF_ENTRY = re.compile(rb"\x0a.{1,2}\x0a", re.DOTALL)
"""How checkpoints of MindSpore begin, which are called .ckpt as those of others are."""
_INDEX = re.compile(r'"weight_map"\s*:')
_PART = re.compile(r"-\d{5}-of-(\d{5})\.\w+$")
_INDEX_BYTES = 2**16
_JOIN = "put all parts into one .safetensors"
_DISCRIMINATORS = (
    {"conv0.weight", "conv9.weight"},
    {"conv0_0.weight", "linear1.weight"},
    {"features.0.weight", "classifier.0.weight"},
)
"""Layers of those of Real-ESRGAN, ESRGAN and SRGAN."""
_WHOLE_NUMBERS = re.compile(r"torch\.u?int\d+")
_OF_FILMS = ("spynet.", "pcd_align.", "deform_align.", "backward_trunk.", "tsa_fusion.")
"""Parts of networks that look at several frames."""


def describe_file(path: Path, start: bytes) -> str:
    """Return what a file is that is no weights file of PyTorch, by its first bytes; maybe empty."""
    suffix = path.suffix.lower()
    words = _SUFFIXES.get(suffix, "")
    for pattern, kind in _STARTS.items():
        if re.match(pattern, start, re.DOTALL):
            words = kind
    if suffix == ".ckpt" and _PROTOBUF_ENTRY.match(start):
        words = "a checkpoint of MindSpore"
    if words:
        return f"{words}, which srx does not read; {_CONVERT}"
    if suffix == ".json":
        with path.open("rb") as stream:
            text = stream.read(_INDEX_BYTES).decode("utf-8", "replace")
        if _INDEX.search(text):
            return f"only the index of weights in several parts; {_JOIN}"
    return ""


def describe_tensors(path: Path, names: Collection[str]) -> str:
    """Return what tensors of such names belong to, if it enlarges no picture; maybe empty."""
    part = _PART.search(path.name)
    if part:
        return f"is one of {int(part[1])} parts of a network's weights; {_JOIN}"
    if any(layers <= set(names) for layers in _DISCRIMINATORS):
        return (
            "is a discriminator, which judges pictures in a training and enlarges none; "
            "give the file of the generator (net_g)"
        )
    if any(name.startswith(_OF_FILMS) for name in names):
        return "is of a network for several frames of a film at once, which srx does not run"
    return ""


def describe_types(types: Collection[str]) -> str:
    """Return what is wrong with kernels of such types, such as ``torch.int8``; maybe empty."""
    if types and all(_WHOLE_NUMBERS.fullmatch(name) for name in types):
        return (
            "its weights are whole numbers, as quantised ones are, and do not tell what they "
            "stand for; give the weights that they were made from"
        )
    return ""
