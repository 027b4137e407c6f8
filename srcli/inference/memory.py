"""Memory of a machine: what networks take of it, what is kept, and what to do when it is full."""

from __future__ import annotations

import copy
import ctypes
import re
import sys
import weakref
from collections.abc import Callable
from functools import cache, wraps
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

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_THRESHOLD = -3
_MMAP_MAX = -4
_LARGEST_BLOCK = 32 << 20
"""The largest threshold that glibc accepts; tensors of a tile are below it."""
_EXHAUSTED = re.compile(
    "out of memory|STATUS_ALLOC_FAILED|(not enough|can't allocate) memory",
    re.IGNORECASE,
)
"""In errors of CUDA, Metal, cuBLAS, cuDNN and of PyTorch's allocator on the CPU."""
GPU_MEMORY_SHARE = 0.6
"""Of what is free on a GPU, for a batch: the rest is for workspaces of cuDNN and for
blending."""
UNKNOWN_BYTES = 32 * 1024
"""Memory for each input pixel of networks in which it cannot be counted: of the
largest, EDSR."""


@cache
def keep_freed_memory(*, whole_pictures: bool = False) -> bool:
    """Tell glibc not to give freed blocks back to the system; once a process, nothing elsewhere.

    By default large tensors are mapped, zeroed page by page and unmapped again:
    measured for g-idrn on one core, a tile then takes 1.4 to 1.6 times as long. The
    process stays at its peak of memory instead of shrinking between tiles. With
    ``whole_pictures`` tensors of these stay as well, which glibc maps whatever the
    threshold: 1.5 to 1.8 times as fast at 512x512. Blocks of all sizes then share one
    heap, whose gaps take a quarter more memory with large rasters.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = {
        _TRIM_THRESHOLD: 2**31 - 1,
        _TOP_PAD: 64 << 20,
        _MMAP_THRESHOLD: _LARGEST_BLOCK,
    }
    if whole_pictures:
        settings[_MMAP_MAX] = 0
    return all(mallopt(*setting) == 1 for setting in settings.items())


def within_memory(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a method raise ``MemoryError`` for torch's own errors.

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
    """Return how much of a GPU's free memory a batch may take."""
    free = torch.cuda.mem_get_info(device)[0]
    # PyTorch gives to others what it has reserved and nobody uses.
    free += torch.cuda.memory_reserved(device)
    free -= torch.cuda.memory_allocated(device)
    return GPU_MEMORY_SHARE * free


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
