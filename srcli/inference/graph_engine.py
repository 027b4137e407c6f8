"""The torch engine by CUDA graphs: all kernels of a batch are launched at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import InferenceError
from srcli.inference.engine import TorchEngine
from srcli.inference.held import held_values, hold_values
from srcli.layers.pooling import global_pools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from srcli.layers.network import Network

MOST_GRAPHS = 8
"""Shapes that get a graph, and with it memory for their inputs; others run as without."""


class GraphEngine(TorchEngine):
    """Run a network by a CUDA graph for each shape of batch; implements ``Engine``.

    The first batch of a shape runs without one, which readies libraries as well; the second is
    captured, and all from there on are replayed.

    Args:
        network: From ``load_model``.
        options: See ``TorchEngine``.
    """

    name = "torch-graphs"

    def __init__(self, network: Network, **options: Any) -> None:  # noqa: ANN401
        super().__init__(network, **options)
        self._pools = global_pools(self._rgb_network).values()
        self._graphs: dict[tuple[object, ...], _Graph | None] = {}

    def _forward(self, x: Tensor, half: torch.dtype | None, **keywords: int | None) -> Tensor:
        if keywords or any(pool.extremes is not None for pool in self._pools):
            return super()._forward(x, half, **keywords)
        held = held_values(self._rgb_network)
        inputs = [x.contiguous(memory_format=self._layout), *held.values()]
        key = (half, *held, *(each.shape for each in inputs))
        if key not in self._graphs:
            if len(self._graphs) < MOST_GRAPHS:
                self._graphs[key] = None
            return super()._forward(x, half)
        graph = self._graphs[key]
        if graph is None:
            own = [each.clone() for each in inputs]
            hold_values(self._rgb_network, dict(zip(held, own[1:], strict=True)))
            graph = self._graphs[key] = _Graph(own, lambda: self._plain(own[0], half), self.device)
        return graph.run(inputs)

    def _plain(self, x: Tensor, half: torch.dtype | None) -> Tensor:
        return super()._forward(x, half)


class _Graph:
    """A captured forward pass.

    Args:
        inputs: What it reads.
        call: The forward pass.
        device: Of CUDA.

    Raises:
        InferenceError: If the network does what cannot be captured.
    """

    def __init__(
        self, inputs: list[Tensor], call: Callable[[], Tensor], device: torch.device
    ) -> None:
        self._inputs = inputs
        try:
            self._out, self._replay = capture(call, device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise InferenceError(
                f"--engine torch-graphs: this network cannot be captured ({error})",
                advice="use --engine torch",
            ) from error

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """Compute again with other numbers of the same shapes."""
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        return self._out.clone()  # the next batch is written to the same memory


def capture(call: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, Callable[[], None]]:
    """Capture what a call launches on a GPU; return its output, and what computes it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = call()

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return out, replay
