"""Run networks on the CPU by OpenVINO: converted to its form once, with the image path in fp32.

Converted networks are kept in the cache; ``srx export`` writes the same form.
"""

from __future__ import annotations

import copy
import hashlib
import os
import sys
import warnings
from collections import deque
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import torch
from torch import Tensor, nn

from srcli.errors import InferenceError
from srcli.files import cache_folder, write_whole
from srcli.inference.engine import TorchEngine
from srcli.layers.tiles import MARGIN, GlobalPool, StretchedMap, modules_of, record_calibration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from srcli.layers.network import Network

SMALLEST_TILE = 96 * 96
"""Input pixels of tiles from which on ``auto`` takes this engine: pictures with smaller ones are
done before a network is compiled."""
BATCH_PIXELS = 512 * 1024
"""Input pixels of a batch: enough tiles to keep all streams busy."""
FEWEST_WINDOWS = 40
"""Windows of a calibration; fewer are recorded by PyTorch sooner than a network is converted."""
EXAMPLE_SIDE = 2 * MARGIN + 1
"""Pixels of what networks are traced on, along each side, where stretched maps need no more: the
fewest that pools record. While PyTorch traces, it keeps the outputs of all layers."""
_HEAVY = {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}
"""Operations that half precision is worth it for."""


class OpenVINOEngine(TorchEngine):
    """Run a network by OpenVINO on the CPU; implements ``srcli.ports.image.Engine``.

    The network is converted once, for pictures of any size, and compiled in each process. PyTorch
    computes again what fails in half precision, calibrations on few windows, and by ``auto``
    networks that cannot be converted.
    Tiles of fewer than ``smallest`` pixels stay with it, and networks that ``takes_levels``.
    """

    name = "openvino"

    def __init__(self, network: Network, *, smallest: int = 0, **options: Any) -> None:  # noqa: ANN401
        super().__init__(network, **options)
        self._smallest = smallest
        self._threads = torch.get_num_threads()
        self._pools = list(modules_of(self.network, GlobalPool).values())
        self._compiled: dict[tuple[str, ...], _Compiled | None] = {}

    def _wanted(self, pixels: int) -> int:
        if pixels < self._smallest:
            return super()._wanted(pixels)
        # a multiple of the threads
        return max(min(64, BATCH_PIXELS // pixels) // self._threads, 1) * self._threads

    def _forward(self, x: Tensor, half: torch.dtype | None, **keywords: int | None) -> Tensor:
        out = None
        if half is self.half and not keywords:
            if any(pool.recording for pool in self._pools):
                out = self._record(x)
            elif x.shape[2] * x.shape[3] >= self._smallest:
                out = self._run(x)
        return super()._forward(x, half, **keywords) if out is None else out

    def _run(self, x: Tensor) -> Tensor | None:
        held = picture_values(self._rgb_network)
        side = self._example_side()
        example, shapes = [x[:1, :, :side, :side]], [[1, 3, -1, -1]]
        for name, value in held.items():
            own, module = value[:1], self._rgb_network.get_submodule(name.rpartition(".")[0])
            if side is not None and isinstance(module, StretchedMap):
                own = own[:, :side, : (side - module.minimum) // module.step + 1]
            example.append(own)
            # (1, C, 1, 1) of a pool has that size, and weights (1, length, values) have any.
            shapes.append([1, -1, -1] if own.ndim == 3 else list(own.shape))
        make = partial(TileNetwork, self._rgb_network, list(held))
        compiled = self._compile(tuple(held), make, example, shapes)
        if compiled is None:
            return None
        n, channels, height, width = x.shape
        out = torch.empty((n, channels, height * self.scale, width * self.scale))
        compiled.run([x, *held.values()], out)
        return out

    def _record(self, x: Tensor) -> Tensor | None:
        """Record the global pools on windows; return anything, or None where PyTorch must."""
        if min(x.shape[2:]) <= 2 * MARGIN or len(x) < FEWEST_WINDOWS:
            return None
        side = self._example_side()
        example, shapes = [x[:2, :, :side, :side]], [[-1, *x.shape[1:]]]
        make = partial(RecordingNetwork, self._rgb_network)
        compiled = self._compile(("recording", str(x.shape[1:])), make, example, shapes)
        if compiled is None:
            return None
        for pool, value in zip(self._pools, compiled.run_once([x]), strict=True):
            pool.held = value
        return x

    def _example_side(self) -> int | None:
        """Return the side that networks are traced on; None where only whole inputs will do."""
        if not self.network.traced_small:
            return None
        shortest = [each.minimum for each in modules_of(self.network, StretchedMap).values()]
        return self.network.padded(max([EXAMPLE_SIDE, *shortest]))

    def _compile(
        self,
        key: tuple[str, ...],
        make: Callable[[], nn.Module],
        inputs: Sequence[Tensor],
        shapes: Sequence[list[int]],
    ) -> _Compiled | None:
        if key not in self._compiled:
            try:
                model = read_model(make(), inputs, shapes)
                self._compiled[key] = _Compiled(model, self.half is not None, self._threads)
            except RuntimeError as error:
                if not self._smallest:
                    raise InferenceError(
                        f"--engine openvino: this network cannot be converted ({error})",
                        advice="use --engine torch",
                    ) from error
                self._compiled[key] = None
        return self._compiled[key]


class _Compiled:
    """A network compiled for many tiles at once, a thread each, and for one by all threads."""

    def __init__(self, model: Any, half: bool, threads: int) -> None:  # noqa: ANN401
        self._model = model
        self._precision = "bf16" if half else "f32"
        self._threads = threads
        self._requests: dict[int, list[Any]] = {}

    def run(self, inputs: Sequence[Tensor], out: Tensor) -> None:
        """Compute every item of a batch from inputs (N or 1, ...) into (N, C, H, W)."""
        count = len(out)
        last = count % self._threads
        alone = last if last * 2 <= self._threads else 0
        self._run_items(self._threads, inputs, range(count - alone), out.numpy())
        self._run_items(1, inputs, range(count - alone, count), out.numpy())

    def _run_items(
        self, streams: int, inputs: Sequence[Tensor], items: range, out: NDArray[np.float32]
    ) -> None:
        """Compute items by requests in turn.

        They are waited for in order, without callbacks: threads of OpenVINO that call Python can
        outlive what they call.
        """
        requests = self._make_requests(streams) if items else []
        running: deque[tuple[Any, int]] = deque()

        def take() -> None:
            request, item = running.popleft()
            request.wait()
            out[item] = request.get_output_tensor(0).data[0]

        try:
            for item in items:
                if len(running) == len(requests):
                    take()
                request = requests[item % len(requests)]
                own = [each[item % len(each)][None].contiguous().numpy() for each in inputs]
                request.start_async(own)
                running.append((request, item))
            while running:
                take()
        finally:  # after Ctrl-C none still writes
            for request, _ in running:
                request.wait()

    def run_once(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute all items in one request, and return all outputs; free its memory."""
        request = self._make_requests(1)[0]
        request.infer([each.contiguous().numpy() for each in inputs])
        out = [torch.from_numpy(each.data.copy()) for each in request.output_tensors]
        request.get_compiled_model().release_memory()
        return out

    def _make_requests(self, streams: int) -> list[Any]:
        if streams not in self._requests:
            options: dict[str, Any] = {
                "INFERENCE_PRECISION_HINT": self._precision,
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": streams,
                "ENABLE_CPU_PINNING": False,  # processes side by side would share a core
            }
            folder = cache_folder() / "openvino"
            if os.access(folder, os.W_OK):  # 0.15 s instead of 0.45 s for g-idrn
                options["CACHE_DIR"] = str(folder)
            compiled = openvino_core().compile_model(self._model, "CPU", options)
            count = 2 * streams  # one waits for each that runs: a stream begins it at once
            self._requests[streams] = [compiled.create_infer_request() for _ in range(count)]
        return self._requests[streams]


def import_openvino() -> Any:  # noqa: ANN401
    """Import OpenVINO, late: it takes a fifth of a second.

    Its telemetry is kept out, which would report every import over the network.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")


@cache
def openvino_core() -> Any:  # noqa: ANN401
    """Return OpenVINO's runtime, the only one of the process.

    Each puts up memory for handling signals, and of two that end in the order in which they began
    the second puts up what the first has freed: Ctrl-C would crash the process afterwards.
    """
    return import_openvino().Core()


def picture_values(network: nn.Module) -> dict[str, Tensor]:
    """Return what modules hold of a whole picture for its tiles, (N or 1, ...) by buffers' names.

    That is the calibration of pools and the weights of positions.
    """
    return {
        f"{name}.{key}": value
        for name, module in network.named_modules()
        if isinstance(module, GlobalPool | StretchedMap)
        for key, value in module.named_buffers(recurse=False)
    }


class TileNetwork(nn.Module):
    """A network that takes as inputs what its modules hold."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.names = names

    def forward(self, x: Tensor, *values: Tensor) -> Tensor:
        """Run the network."""
        for name, value in zip(self.names, values, strict=True):
            module, _, key = name.rpartition(".")
            setattr(self.network.get_submodule(module), key, value)
        out: Tensor = self.network(x)
        return out


class RecordingNetwork(nn.Module):
    """A network that gives what its global pools record."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return (1, C, 1, 1) of each pool; see ``record_calibration``."""
        with record_calibration(self.network) as found:
            self.network(x)
        return tuple(found.values())


def read_model(network: nn.Module, inputs: Sequence[Tensor], shapes: Sequence[list[int]]) -> Any:  # noqa: ANN401
    """Read one of these networks, converted, from the cache, or convert it and write it there.

    ``inputs`` are an example; ``shapes`` say what is taken, with -1 for any length.
    """
    path = cache_folder() / "openvino" / f"{_digest(network, shapes)}.xml"
    core = openvino_core()
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
