"""Networks in files of ``srx export``, which ONNX Runtime and PyTorch's interpreter run."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.models.storage import zip_names

_OPERATORS = re.compile(
    r"aten::(?!(save|from_file)$)\w+|"
    r"prim::(Constant|GetAttr|NumToTensor|If|Loop|device|dtype|(List|Tuple)(Construct|Unpack))"
)
"""Those of networks: the others reach files and objects, or call what is not looked
at."""
_SPECIAL = re.compile(r"\b__(?!(?:torch|parameters|buffers|annotations)__)[a-z_]+?__\b")
"""Names of code that runs when a file is read, or before a network."""


@lru_cache(maxsize=2)
def onnx_session(content: bytes, device: str) -> Any:  # noqa: ANN401 - of an optional library
    """Return a session of ONNX Runtime, for ``cuda`` on the GPU if it is onnxruntime-gpu."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    wanted = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
    there = [name for name in wanted if name in onnxruntime.get_available_providers()]
    return onnxruntime.InferenceSession(content, settings, there)


class OnnxProgram(nn.Module):
    """The content of an ONNX file as a module."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1]."""
        session = onnx_session(self.content, x.device.type)
        return torch.from_numpy(session.run(None, {"input": x.cpu().numpy()})[0]).to(
            x.device
        )


_MESSAGES = {
    # messages of a message, by the numbers of their fields
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
"""What of an ONNX file, a message of Google's protocol buffers, leads to its
tensors."""


def _names_files(content: bytes) -> bool:
    """Tell if tensors of an ONNX file lie in other files, which ONNX Runtime would read.

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
    """Yield the fields of a message of protocol buffers: numbers, and contents or values."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _number(message, at)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, at = _number(message, at)
        elif not length:
            raise ValueError("its messages are of an unknown kind")
        yield key >> 3, message[at : at + length]
        at += length


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it and where it ends."""
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
        self.network, self.facts = program, facts
        self.reference = (
            "ONNX Runtime" if isinstance(program, OnnxProgram) else "TorchScript"
        )
        self.multiple_of, self.minimum = (
            int(facts["multiple_of"]),
            int(facts["minimum"]),
        )
        self.edge, self.tile_step = int(facts["edge"]), int(facts["tile_step"])
        # A file holds neither statistics of a picture nor places of its tiles.
        self.tiles = self.tile_step == 1 and facts["tile"].isdigit()
        if self.tiles:
            self.tiling = int(facts["tile"]), int(facts["overlap"])

    def extra_repr(self) -> str:
        """What the digest tells files by that hold no tensors."""
        return json.dumps(self.facts)

    def _enlarge(self, x: Tensor) -> Tensor:
        return self.network(x)


def load_exported(path: Path) -> ExportedNetwork | None:
    """Load a file that ``srx export`` wrote, of which its metadata tell; None for any other.

    A TorchScript program that can do more than compute is refused before it runs.
    """
    program: nn.Module
    is_onnx = path.suffix.lower() == ".onnx" and path.is_file()
    content = path.read_bytes() if is_onnx else b""
    try:
        names = zip_names(path)
        facts_name = next(
            (name for name in names if name.endswith("/extra/srx.json")), ""
        )
        if not facts_name and b"srx_version" not in content:
            return None
        if is_onnx:
            if _names_files(content):
                raise ValueError("its weights lie in other files")
            program = OnnxProgram(content)
            facts = onnx_session(content, "cpu").get_modelmeta().custom_metadata_map
        else:
            with zipfile.ZipFile(path) as members:
                facts = json.loads(members.read(facts_name))
                code = b"".join(
                    members.read(name) for name in names if name.endswith(".py")
                )
            strange = set(_SPECIAL.findall(code.decode()))
            if not strange:
                with warnings.catch_warnings(action="ignore"):  # it is deprecated
                    program = torch.jit.load(path, "cpu")  # type: ignore[no-untyped-call] # noqa: TID251
                kinds = re.findall(r"\w+::\w+", str(program.inlined_graph))
                strange = {kind for kind in kinds if not _OPERATORS.fullmatch(kind)}
            if strange:
                raise ValueError(
                    f"it does more than compute: {', '.join(sorted(strange))}"
                )
        return ExportedNetwork(program, facts)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"{path}: needs onnxruntime: pip install onnxruntime"
        ) from error
    except Exception as error:  # whatever the libraries raise
        what = str(error).partition("\n")[0]
        reason = f"cannot be run as a file of srx export ({what}); export it again"
        raise ModelError(f"{path}: {reason}") from error
