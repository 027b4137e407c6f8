"""Networks in files of ``srx export``, which ONNX Runtime and PyTorch's interpreter run."""

from __future__ import annotations

import json
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class OnnxProgram(nn.Module):
    """An ONNX file as a module; every copy has a session of ONNX Runtime of its own.

    That computes where the first input lies: on a GPU if onnxruntime-gpu is installed.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content, self._session = content, None

    def __deepcopy__(self, memo: object) -> OnnxProgram:
        return OnnxProgram(self.content)

    def session(self, device: str) -> Any:  # noqa: ANN401 - of an optional library
        """Return the session, for the device of the first call."""
        import onnxruntime

        if self._session is None:
            settings = onnxruntime.SessionOptions()
            settings.intra_op_num_threads = torch.get_num_threads()
            wanted = ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]
            there = [name for name in wanted if name in onnxruntime.get_available_providers()]
            self._session = onnxruntime.InferenceSession(self.content, settings, there)
        return self._session

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1]."""
        out = self.session(x.device.type).run(None, {"input": x.cpu().numpy()})[0]
        return torch.from_numpy(out).to(x.device)


class ExportedNetwork(Network):
    """A network that the metadata of its file describe; for inference in fp32."""

    fp16 = bf16 = False
    opaque = True

    def __init__(self, program: nn.Module, facts: Mapping[str, str]) -> None:
        super().__init__(int(facts["scale"]))
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
        out: Tensor = self.network(x)
        return out


def load_exported(path: Path) -> ExportedNetwork | None:
    """Load a file that ``srx export`` wrote, of which its metadata tell; None for any other.

    TorchScript is a program, which runs in PyTorch's interpreter.
    """
    if not path.is_file():
        return None
    program: nn.Module
    try:
        if path.suffix.lower() == ".onnx":
            content = path.read_bytes()
            if b"srx_version" not in content:
                return None
            program = OnnxProgram(content)
            facts = program.session("cpu").get_modelmeta().custom_metadata_map
        elif not zipfile.is_zipfile(path):
            return None
        else:
            with zipfile.ZipFile(path) as members:
                found = [n for n in members.namelist() if n.endswith("/extra/srx.json")]
                if not found:
                    return None
                facts = json.loads(members.read(found[0]))
            with warnings.catch_warnings(action="ignore"):  # it is deprecated
                program = torch.jit.load(path, "cpu")  # type: ignore[no-untyped-call] # noqa: TID251
        network = ExportedNetwork(program, facts)
    except ImportError as error:
        raise ModelError(f"{path}: needs onnxruntime: pip install onnxruntime") from error
    except Exception as error:  # whatever the libraries raise
        reason = str(error).partition("\n")[0]
        what = f"cannot be read as a file of srx export ({reason}); export it again"
        raise ModelError(f"{path}: {what}") from error
    if (size := facts.get("size", "any")) != "any":
        raise ModelError(f"{path}: takes pictures of {size} alone; export it without --size")
    return network
