"""Networks in files of ``srx export``, which ONNX Runtime and PyTorch's interpreter run."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.models.storage import checked_zip_names
from srcli.threads import warnings_collected

_OPERATORS = re.compile(
    r"aten::(?!(save|from_file)$)\w+|"
    r"prim::(Constant|GetAttr|NumToTensor|If|Loop|device|dtype|(List|Tuple)(Construct|Unpack))"
)
"""Operators that networks consist of; a file with any other is refused, as those reach
files or hidden code."""
_SPECIAL = re.compile(r"\b__(?!(?:torch|parameters|buffers|annotations)__)[a-z_]+?__\b")
"""Names of special methods, whose code would run when a file is read or before a network."""


@lru_cache(maxsize=2)
def onnx_session(content: bytes, device: str) -> Any:  # noqa: ANN401 - of an optional library
    """Return a session of ONNX Runtime, on the GPU if asked for and possible."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    providers = ["CPUExecutionProvider"]
    gpu = "CUDAExecutionProvider"
    if device == "cuda" and gpu in onnxruntime.get_available_providers():
        providers = [gpu, *providers]
    return onnxruntime.InferenceSession(content, settings, providers)


class OnnxProgram(nn.Module):
    """The content of an ONNX file as a module."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1]."""
        session = onnx_session(self.content, x.device.type)
        (enlarged,) = session.run(None, {"input": x.cpu().numpy()})
        return torch.from_numpy(enlarged).to(x.device)


_MESSAGES = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}
"""Kinds of messages within the protocol buffers of an ONNX file that lead to its tensors:
by the kind of the outer one, and the number of its field."""


def _has_external_tensors(content: bytes) -> bool:
    """Return True if tensors of an ONNX file lie in other files.

    A damaged one raises a ValueError.
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        for number, value in _fields(message):
            inner = _MESSAGES[kind].get(number)
            if inner == "external":
                return True
            if inner is not None and isinstance(value, memoryview):
                waiting.append((inner, value))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the number of each field of a protocol buffer, and its content or value."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, at = _read_varint(message, at)
        elif not length:
            raise ValueError("its messages are of an unknown kind")
        yield key >> 3, message[at : at + length]
        at += length


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read a number stored in seven bits of each byte; return it and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at + shift // 7 >= len(message):
            break
        byte = message[at + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + shift // 7 + 1
    raise ValueError("it is cut short")


class ExportedNetwork(Network):
    """A network that the metadata of its file describe; for inference in fp32."""

    fp16 = bf16 = False
    opaque = True

    def __init__(self, program: nn.Module, facts: Mapping[str, str]) -> None:
        super().__init__(int(facts["scale"]))
        if facts["size"] != "any":
            raise ValueError(
                f"it takes pictures of {facts['size']} alone; leave --size out"
            )
        self.network = program
        self.facts = facts
        self.origin = "TorchScript"
        if isinstance(program, OnnxProgram):
            self.origin = "ONNX Runtime"
        self.multiple_of = int(facts["multiple_of"])
        self.minimum = int(facts["minimum"])
        self.edge = int(facts["edge"])
        self.tile_step = int(facts["tile_step"])
        # A file holds neither statistics of a picture nor places of its tiles.
        self.tiles = self.tile_step == 1 and facts["tile"].isdigit()
        if self.tiles:
            self.tiling = int(facts["tile"]), int(facts["overlap"])

    def extra_repr(self) -> str:
        """Return the metadata, which tell files without tensors apart in the digest."""
        return json.dumps(self.facts)

    def _enlarge(self, x: Tensor) -> Tensor:
        return self.network(x)


def load_exported(path: Path) -> ExportedNetwork | None:
    """Load a file of ``srx export``, known by its metadata; None for others.

    A TorchScript program that can do more than compute is refused before it runs.
    """
    try:
        if path.suffix.lower() == ".onnx" and path.is_file():
            content = path.read_bytes()
            return _load_onnx(content) if b"srx_version" in content else None
        for name in checked_zip_names(path):
            if name.endswith("/extra/srx.json"):
                return _load_torchscript(path, name)
        return None
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{path}: needs onnxruntime: pip install onnxruntime"
        ) from error
    except Exception as error:  # whatever the libraries raise
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path}: cannot be run as a file of srx export ({reason}); export it again"
        ) from error


def _load_onnx(content: bytes) -> ExportedNetwork:
    if _has_external_tensors(content):
        raise ValueError("its weights lie in other files")
    facts = onnx_session(content, "cpu").get_modelmeta().custom_metadata_map
    return ExportedNetwork(OnnxProgram(content), facts)


def _load_torchscript(path: Path, facts_name: str) -> ExportedNetwork:
    with zipfile.ZipFile(path) as members:
        facts = json.loads(members.read(facts_name))
        code = ""
        for name in members.namelist():
            if name.endswith(".py"):
                code += members.read(name).decode()
    _refuse(_SPECIAL.findall(code))
    with warnings_collected():  # it is deprecated
        program = torch.jit.load(path, "cpu")  # type: ignore[no-untyped-call] # noqa: TID251
    operators = re.findall(r"\w+::\w+", str(program.inlined_graph))
    _refuse([name for name in operators if not _OPERATORS.fullmatch(name)])
    return ExportedNetwork(program, facts)


def _refuse(names: list[str]) -> None:
    """Raise ValueError for names of code that does more than a network."""
    if names:
        raise ValueError(f"it does more than compute: {', '.join(sorted(set(names)))}")
