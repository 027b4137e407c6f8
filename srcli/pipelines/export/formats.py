"""Write and run networks as ONNX, OpenVINO and TorchScript files."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

import numpy as np
import torch
from torch import Tensor, nn

from srcli.inference.openvino import TileNetwork, convert, import_openvino
from srcli.layers.colour import as_rgb_network

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.layers.network import Network

Run = Callable[["NDArray[np.float32]"], "NDArray[np.float32]"]
"""Enlarges (1, 3, H, W) by a file."""
Target = Literal["onnx", "openvino", "torchscript"]
PACKAGES: dict[Target, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("openvino",),
    "torchscript": (),
}
OPSET = 18
"""Of ONNX; read by ONNX Runtime from 1.14 on, and by TensorRT and OpenVINO of its time."""


class ExportedForm(nn.Module):
    """A network as other software meets it: RGB in [0, 1] in and out, whatever it works on.

    Args:
        network: From ``load_model``.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = as_rgb_network(network.deploy())

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale H, scale W), clipped to [0, 1]."""
        out: Tensor = self.network(x)
        return out.clamp(0.0, 1.0)


def write_onnx(
    form: ExportedForm, x: Tensor, file: Path, metadata: Mapping[str, str], fixed: bool
) -> None:
    """Write an ONNX file; without ``fixed`` it takes any number of pictures of any size."""
    import onnx

    axes = {
        "input": {0: "batch", 2: "height", 3: "width"},
        "output": {0: "batch", 2: "output_height", 3: "output_width"},
    }
    with warnings.catch_warnings(), torch.no_grad():
        # Deprecated, but it takes seconds where its successor takes minutes and more packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            form,
            (x,),
            file,
            dynamo=False,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={} if fixed else axes,
            opset_version=OPSET,
        )
    model = onnx.load(file)
    plugin = {"model_type": json.dumps("Superresolution")}  # for Deepness, a plugin of QGIS
    if fixed:
        percent = math.ceil(100 * int(metadata["overlap"]) / min(x.shape[2:]))
        plugin["tiles_overlap"] = json.dumps(percent)
    onnx.helper.set_model_props(model, {**metadata, **plugin})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def write_openvino(
    form: ExportedForm, x: Tensor, file: Path, metadata: Mapping[str, str], fixed: bool
) -> None:
    """Write the XML file of an OpenVINO model and, beside it, its weights as ``.bin``."""
    xml, weights = convert(TileNetwork(form, []), [x], [[1, 3, -1, -1]])
    # Edited as text: OpenVINO would read and write it without the marks of what stays in fp32.
    root = ET.fromstring(xml)
    layers = {layer.get("id"): layer for layer in root.iterfind("layers/layer")}
    kinds = {layer.get("type"): layer for layer in layers.values()}
    result = kinds["Result"].get("id")
    (last,) = (
        e.get("from-layer") for e in root.iterfind("edges/edge") if e.get("to-layer") == result
    )
    for layer, name in ((kinds["Parameter"], "input"), (layers[last], "output")):
        for port in layer.iterfind("output/port"):
            port.set("names", name)
    for data in kinds["Parameter"].iterfind("data") if fixed else ():
        data.set("shape", ",".join(map(str, x.shape)))
    info = root.find("rt_info")
    own = ET.SubElement(ET.SubElement(root, "rt_info") if info is None else info, "srx")
    for key, value in metadata.items():
        ET.SubElement(own, key, value=value)
    file.with_suffix(".bin").write_bytes(weights)
    file.write_bytes(ET.tostring(root))


def write_torchscript(
    form: ExportedForm, x: Tensor, file: Path, metadata: Mapping[str, str], fixed: bool
) -> None:
    """Write a TorchScript file; whatever ``fixed`` is, it takes any number of any size."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecated, and the form that loads without Python
        traced = torch.jit.trace(form, (x,), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files={"srx.json": json.dumps(dict(metadata))})


def load_onnx(file: Path) -> Run:
    """Load an ONNX file in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return lambda picture: np.asarray(session.run(None, {"input": picture})[0])


def load_openvino(file: Path) -> Run:
    """Load an OpenVINO model, to compute in fp32."""
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().compile_model(file, "CPU", precision)
    return lambda picture: np.asarray(compiled(picture)[0])


def load_torchscript(file: Path) -> Run:
    """Load a TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(file)  # type: ignore[no-untyped-call] # noqa: TID251 - just written
    return partial(_run_torchscript, loaded)


def _run_torchscript(loaded: nn.Module, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        out: NDArray[np.float32] = loaded(torch.from_numpy(picture)).numpy()
    return out


WRITERS: dict[Target, Callable[[ExportedForm, Tensor, Path, Mapping[str, str], bool], None]] = {
    "onnx": write_onnx,
    "openvino": write_openvino,
    "torchscript": write_torchscript,
}
LOADERS: dict[Target, Callable[[Path], Run]] = {
    "onnx": load_onnx,
    "openvino": load_openvino,
    "torchscript": load_torchscript,
}
