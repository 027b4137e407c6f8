"""The OpenVINO engine: tiles as asynchronous requests to a compiled network, on the CPU."""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import InferenceError
from srcli.files import cache_folder
from srcli.inference.engine import TorchEngine
from srcli.inference.held import crop_held, held_values
from srcli.inference.openvino_model import (
    RecordingNetwork,
    TileNetwork,
    import_openvino,
    read_model,
)
from srcli.layers.placement import stretched_maps
from srcli.layers.pooling import MARGIN, global_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

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


class OpenVINOEngine(TorchEngine):
    """Run a network by OpenVINO on the CPU; implements ``srcli.ports.image.Engine``.

    The network is converted once, for pictures of any size, and compiled in each process. PyTorch
    computes again what fails in half precision, calibrations on few windows, and by ``auto``
    networks that cannot be converted.

    Args:
        network: From ``load_model``; one that ``takes_levels`` stays with PyTorch.
        smallest: Input pixels of a tile; PyTorch takes smaller ones. 0 leaves it nothing.
        options: See ``TorchEngine``.
    """

    name = "openvino"

    def __init__(self, network: Network, *, smallest: int = 0, **options: Any) -> None:  # noqa: ANN401
        super().__init__(network, **options)
        self._smallest = smallest
        self._threads = torch.get_num_threads()
        self._pools = list(global_pools(self.network).values())
        self._compiled: dict[tuple[str, ...], _Compiled | None] = {}

    def batch_size(self, height: int, width: int) -> int:
        """Tiles of this size to try at once: a multiple of the threads."""
        if self._batch is not None or height * width < self._smallest:
            return super().batch_size(height, width)
        return max(min(64, BATCH_PIXELS // (height * width)) // self._threads, 1) * self._threads

    def _forward(self, x: Tensor, half: torch.dtype | None, **keywords: int | None) -> Tensor:
        out = None
        if half is self.half and not keywords:
            if any(pool.extremes is not None for pool in self._pools):
                out = self._record(x)
            elif x.shape[2] * x.shape[3] >= self._smallest:
                out = self._run(x)
        return super()._forward(x, half, **keywords) if out is None else out

    def _run(self, x: Tensor) -> Tensor | None:
        """Enlarge tiles; return None where PyTorch must."""
        held = held_values(self._rgb_network)
        side = self._example_side()
        example = [x[:1, :, :side, :side], *crop_held(self._rgb_network, held, side)]
        # Of what is held, (1, C, 1, 1) has that size, and weights (1, length, values) have any.
        shapes = [[1, -1, -1] if each.ndim == 3 else list(each.shape) for each in example]
        shapes[0] = [1, 3, -1, -1]
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
        extremes = self._pools[0].extremes
        assert extremes is not None
        if min(x.shape[2:]) <= 2 * MARGIN or len(x) < FEWEST_WINDOWS:
            return None
        side = self._example_side()
        example = [x[:2, :, :side, :side], torch.tensor(0)]
        shapes = [[-1, *x.shape[1:]], []]
        make = partial(RecordingNetwork, self._rgb_network)
        compiled = self._compile(("recording", str(x.shape[1:])), make, example, shapes)
        if compiled is None:
            return None
        inputs = [x, torch.as_tensor(extremes)]
        for pool, value in zip(self._pools, compiled.run_once(inputs), strict=True):
            pool.held = value
        return x

    def _example_side(self) -> int | None:
        """Return the side that networks are traced on; None where only whole inputs will do."""
        if not self.network.traced_small:
            return None
        shortest = [each.minimum for each in stretched_maps(self.network).values()]
        return self.network.padded(max([EXAMPLE_SIDE, *shortest]))

    def _compile(
        self,
        key: tuple[str, ...],
        make: Callable[[], nn.Module],
        inputs: Sequence[Tensor],
        shapes: Sequence[list[int]],
    ) -> _Compiled | None:
        """Return None where a network cannot be converted and PyTorch may take it."""
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
        """Compute every item of a batch.

        Args:
            inputs: (N or 1, ...): of each item, or one for all.
            out: Takes (N, C, H, W).
        """
        count = len(out)
        last = count % self._threads
        alone = range(count - last, count) if last * 2 <= self._threads else range(0)
        for streams, items in ((self._threads, range(count - len(alone))), (1, alone)):
            if items:
                self._run_items(self._make_requests(streams), inputs, items, out.numpy())

    def _run_items(
        self,
        requests: Sequence[Any],
        inputs: Sequence[Tensor],
        items: range,
        out: NDArray[np.float32],
    ) -> None:
        """Compute items by requests in turn.

        They are waited for in order, without callbacks: threads of OpenVINO that call Python can
        outlive what they call.
        """
        running: deque[tuple[Any, int]] = deque()
        try:
            for item in items:
                if len(running) == len(requests):
                    _take(*running.popleft(), out)
                request = requests[item % len(requests)]
                own = [each[item % len(each)][None].contiguous().numpy() for each in inputs]
                request.start_async(own)
                running.append((request, item))
            while running:
                _take(*running.popleft(), out)
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
        """Compile the network at the first call; return two requests for each stream."""
        if streams not in self._requests:
            openvino = import_openvino()
            options: dict[str, Any] = {
                "INFERENCE_PRECISION_HINT": self._precision,
                "INFERENCE_NUM_THREADS": self._threads,
                "NUM_STREAMS": streams,
                "ENABLE_CPU_PINNING": False,  # processes side by side would share a core
            }
            folder = cache_folder() / "openvino"
            if os.access(folder, os.W_OK):  # 0.15 s instead of 0.45 s for g-idrn
                options["CACHE_DIR"] = str(folder)
            compiled = openvino.Core().compile_model(self._model, "CPU", options)
            count = 2 * streams  # one waits for each that runs: a stream begins it at once
            self._requests[streams] = [compiled.create_infer_request() for _ in range(count)]
        return self._requests[streams]


def _take(request: Any, item: int, out: NDArray[np.float32]) -> None:  # noqa: ANN401
    """Wait for a request and copy its output."""
    request.wait()
    out[item] = request.get_output_tensor(0).data[0]
