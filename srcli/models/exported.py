"""Networks in files of ``srx export``, which ONNX Runtime and PyTorch's interpreter run."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Mapping
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
"""Those of networks: the others reach files and objects, or call what is not looked at."""
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
        return torch.from_numpy(session.run(None, {"input": x.cpu().numpy()})[0]).to(x.device)


class ExportedNetwork(Network):
    """A network that the metadata of its file describe; for inference in fp32."""

    fp16 = bf16 = False
    opaque = True

    def __init__(self, program: nn.Module, facts: Mapping[str, str]) -> None:
        super().__init__(int(facts["scale"]))
        if facts["size"] != "any":
            raise ValueError(f"it takes pictures of {facts['size']} alone; leave --size out")
        self.network, self.facts = program, facts
        self.reference = "ONNX Runtime" if isinstance(program, OnnxProgram) else "TorchScript"
        self.multiple_of, self.minimum = int(facts["multiple_of"]), int(facts["minimum"])
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
        facts_name = next((name for name in names if name.endswith("/extra/srx.json")), "")
        if not facts_name and b"srx_version" not in content:
            return None
        if is_onnx:
            program = OnnxProgram(content)
            facts = onnx_session(content, "cpu").get_modelmeta().custom_metadata_map
        else:
            with zipfile.ZipFile(path) as members:
                facts = json.loads(members.read(facts_name))
                code = b"".join(members.read(name) for name in names if name.endswith(".py"))
            strange = set(_SPECIAL.findall(code.decode()))
            if not strange:
                with warnings.catch_warnings(action="ignore"):  # it is deprecated
                    program = torch.jit.load(path, "cpu")  # type: ignore[no-untyped-call] # noqa: TID251
                kinds = re.findall(r"\w+::\w+", str(program.inlined_graph))
                strange = {kind for kind in kinds if not _OPERATORS.fullmatch(kind)}
            if strange:
                raise ValueError(f"it does more than compute: {', '.join(sorted(strange))}")
        return ExportedNetwork(program, facts)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(f"{path}: needs onnxruntime: pip install onnxruntime") from error
    except Exception as error:  # whatever the libraries raise
        what = str(error).partition("\n")[0]
        reason = f"cannot be run as a file of srx export ({what}); export it again"
        raise ModelError(f"{path}: {reason}") from error
