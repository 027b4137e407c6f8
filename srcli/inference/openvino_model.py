"""Convert networks to OpenVINO's form, with the image path in fp32, and keep them in the cache."""

from __future__ import annotations

import copy
import hashlib
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import torch
from torch import Tensor, nn

from srcli.files import cache_folder, write_whole
from srcli.inference.held import hold_values
from srcli.layers.pooling import GlobalPool, record_calibration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEAVY = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}
"""Operations that half precision is worth it for."""


def import_openvino() -> Any:  # noqa: ANN401
    """Import OpenVINO, late: it takes a fifth of a second.

    Its telemetry is kept out, which would report every import over the network.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")


class TileNetwork(nn.Module):
    """A network that takes as inputs what its modules hold."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.names = names

    def forward(self, x: Tensor, *values: Tensor) -> Tensor:
        """Run the network."""
        hold_values(self.network, dict(zip(self.names, values, strict=True)))
        out: Tensor = self.network(x)
        return out


class RecordingNetwork(nn.Module):
    """A network that gives what its global pools record."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)

    def forward(self, x: Tensor, extremes: Tensor) -> tuple[Tensor, ...]:
        """Return (1, C, 1, 1) of each pool; see ``record_calibration``."""
        with record_calibration(self.network, extremes) as found:
            self.network(x)
        return tuple(found.values())


def read_model(network: nn.Module, inputs: Sequence[Tensor], shapes: Sequence[list[int]]) -> Any:  # noqa: ANN401
    """Read a converted network from the cache, or convert it and write it there.

    Args:
        network: One of the above.
        inputs: An example.
        shapes: What inputs are taken; -1 for any length.
    """
    path = cache_folder() / "openvino" / f"{_digest(network, shapes)}.xml"
    core = import_openvino().Core()
    if path.is_file():
        return core.read_model(path)
    xml, weights = convert(network, inputs, shapes)
    with suppress(OSError):  # a folder that cannot be written costs time alone
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path.with_suffix(".bin"), weights)
        write_whole(path, xml)
    return core.read_model(xml, weights)


def convert(
    network: nn.Module, inputs: Sequence[Tensor], shapes: Sequence[list[int]]
) -> tuple[bytes, bytes]:
    """Convert a network; see ``read_model``."""
    openvino = import_openvino()
    from openvino.frontend import FrontEndManager, OpConversionFailure
    from openvino.frontend.pytorch import ConversionExtension
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    exact = _exact_modules(network, inputs)
    with warnings.catch_warnings():
        # Sides become numbers of the graph, and tracing, deprecated, is what OpenVINO takes.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, tuple(inputs), check_trace=False)  # type: ignore[no-untyped-call]
        # What openvino.convert_model does, without its telemetry.
        frontend = FrontEndManager().load_by_framework("pytorch")
        frontend.add_extension(ConversionExtension("aten::pixel_shuffle", _depth_to_space))
        decoder = TorchScriptPythonDecoder(traced, example_input=tuple(inputs))
        try:
            model = frontend.convert(frontend.load(decoder))
        except OpConversionFailure as error:
            raise RuntimeError(str(error)) from error
    model.reshape({i: openvino.PartialShape(shape) for i, shape in enumerate(shapes)})
    _split_joined(model)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        openvino.serialize(model, path, path.with_suffix(".bin"))
        return _keep_exact(path.read_bytes(), exact), path.with_suffix(".bin").read_bytes()


def _depth_to_space(context: Any) -> Any:  # noqa: ANN401
    """Convert a pixel shuffle to one operation; by default it becomes five, twice as slow."""
    operations = import_module("openvino.opset13")
    factor = int(context.get_values_from_const_input(1))
    return operations.depth_to_space(context.get_input(0), "depth_first", factor).outputs()


def _split_joined(model: Any) -> None:  # noqa: ANN401
    """Turn convolutions of concatenated maps into sums of convolutions of each.

    Nothing is copied then, and convolutions add to what is there.
    """
    operations = import_module("openvino.opset13")
    for layer in model.get_ordered_ops():
        if layer.get_type_name() != "Convolution":
            continue
        parts = list(_joined(layer.input_value(0)))
        weights = layer.input_value(1).get_node()
        if len(parts) == 1 or weights.get_type_name() != "Constant":
            continue
        ends = np.cumsum([part.get_partial_shape()[1].get_length() for part in parts])
        kernels = np.split(weights.data, ends[:-1], axis=1)
        how = layer.get_attributes()
        total: Any = None
        for i, (part, kernel) in enumerate(zip(parts, kernels, strict=True)):
            own = operations.convolution(
                part,
                operations.constant(np.ascontiguousarray(kernel)),
                **{key: how[key] for key in ("strides", "pads_begin", "pads_end", "dilations")},
            )
            own.set_friendly_name(f"{layer.get_friendly_name()}/{i}")
            total = own if total is None else operations.add(total, own)
        for target in layer.output(0).get_target_inputs():
            target.replace_source_output(total.output(0))


def _joined(source: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the outputs that are concatenated along channels, or the one that it is."""
    node = source.get_node()
    if node.get_type_name() != "Concat" or node.get_attributes()["axis"] != 1:
        yield source
        return
    for each in node.input_values():
        yield from _joined(each)


def _exact_modules(network: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """Return the names of modules without children that run in fp32 under autocast, and pools."""
    exact: list[str] = []

    def note(module: nn.Module, _: object) -> None:
        if not torch.is_autocast_enabled("cpu") or isinstance(module, GlobalPool):
            exact.append(names[module])

    names = {each: name for name, each in network.named_modules() if not list(each.children())}
    hooks = [module.register_forward_pre_hook(note) for module in names]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return exact


def _keep_exact(xml: bytes, names: list[str]) -> bytes:
    """Mark operations that stay in fp32, and all that lie between them and heavy ones before.

    What follows the last heavy operation is in fp32 anyway.
    """
    begins = tuple(f"__module.{name}/" for name in names)
    root = ET.fromstring(xml)
    layers = {layer.get("id"): layer for layer in root.iterfind("layers/layer")}
    sources: dict[str | None, list[str | None]] = {key: [] for key in layers}
    for edge in root.iterfind("edges/edge"):
        sources[edge.get("to-layer")].append(edge.get("from-layer"))
    waiting = [key for key, layer in layers.items() if str(layer.get("name")).startswith(begins)]
    marked: set[str | None] = set()
    while waiting:
        key = waiting.pop()
        if key in marked or layers[key].get("type") in ("Const", "Parameter"):
            continue
        marked.add(key)
        before = [each for each in sources[key] if layers[each].get("type") not in _HEAVY]
        waiting += before
    for key in marked:
        data = layers[key].find("data")
        info = ET.Element("rt_info")
        ET.SubElement(info, "attribute", name="precise", version="0")
        layers[key].insert(0 if data is None else 1, info)
    return ET.tostring(root)


def _digest(network: nn.Module, shapes: Sequence[list[int]]) -> str:
    """Digest of all that a converted network depends on, in hex."""
    package = Path(__file__).parents[1]
    files = [Path(__file__), *(package / "layers").glob("*.py"), *(package / "models").glob("*.py")]
    digest = hashlib.sha256(repr((version("openvino"), version("torch"), shapes)).encode())
    for path in sorted(files):
        digest.update(path.read_bytes())
    for name, module in network.named_modules():
        settings = {
            key: value
            for key, value in vars(module).items()
            if isinstance(value, int | float | str | tuple | list)
        }
        digest.update(f"{name} {type(module).__qualname__} {settings}".encode())
    for value in network.state_dict().values():
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
