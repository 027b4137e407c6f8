"""Memory: what a network takes, what a batch may take of a GPU, an end where it was too much."""

from __future__ import annotations

import copy
import re
import weakref
from collections.abc import Callable
from functools import wraps
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from srcli.layers.network import Network

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_EXHAUSTED = re.compile(
    "out of memory|STATUS_ALLOC_FAILED|(not enough|can't allocate) memory",
    re.IGNORECASE,
)
"""In errors of CUDA, Metal, cuBLAS, cuDNN and of PyTorch's allocator on the CPU."""
GPU_MEMORY_SHARE = 0.6
"""Of what is free on a GPU, for a batch: the rest is for workspaces of cuDNN and for
blending."""


def within_memory(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a method raise ``MemoryError`` where torch says that memory is full.

    Nothing of the failed call is alive then: its frames are cleared and the error is
    gone.
    """

    @wraps(method)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return method(*args, **kwargs)
        # torch's OutOfMemoryError and AcceleratorError are such
        except RuntimeError as error:
            if not _EXHAUSTED.search(str(error)):
                raise
            clear_frames(error.__traceback__)
        # Behind the handler: within it, the error would keep all that the pass has
        # computed.
        torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()
        raise MemoryError

    return call


def free_gpu_bytes(device: torch.device) -> float:
    """Return the bytes that a batch may take of a GPU's free memory, a share of it."""
    free = torch.cuda.mem_get_info(device)[0]
    # What PyTorch has reserved and no tensor uses is free for this process.
    free += torch.cuda.memory_reserved(device)
    free -= torch.cuda.memory_allocated(device)
    return GPU_MEMORY_SHARE * free


UNKNOWN_BYTES = 32 * 1024
"""Memory for each input pixel of networks in which it cannot be counted: of the
largest, EDSR."""


def bytes_per_pixel(network: Network, side: int = 96) -> float:
    """Return the memory that a network's largest fp32 tensors take at once, by input pixel.

    Nothing is computed. Half precision takes 0.3 to 0.8 of it.
    """
    try:
        twin = copy.deepcopy(network).to("meta")
        side = twin.padded(side)
        with torch.no_grad(), _Allocations() as allocations:
            twin(torch.empty(1, 3, side, side, device="meta"))
    except Exception:  # noqa: BLE001 - a library's network may raise anything
        return UNKNOWN_BYTES
    return max(float(allocations.peak / side**2), 1.0)


class _Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows how many bytes of tensors are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self,
        call: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        result = call(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        self.peak = max(self.peak, sum(self.alive.values()))
        return result

    def _add(self, memory: torch.UntypedStorage) -> None:
        if memory._cdata not in self.alive:
            self.alive[memory._cdata] = memory.nbytes()
            weakref.finalize(memory, self.alive.pop, memory._cdata)
