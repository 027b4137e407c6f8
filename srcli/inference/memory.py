"""Memory of a GPU: how much a batch may take, and an orderly end where it was too much."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from traceback import clear_frames
from typing import ParamSpec, TypeVar

import torch

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
