"""Peak memory of a call or a forward pass: the most that PyTorch's allocator held for it."""

from __future__ import annotations

import copy
import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import torch
from torch._C._profiler import _ExtraFields_Allocation
from torch.profiler import ProfilerActivity, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch._C._profiler import _ProfilerEvent

    from srcli.layers.network import Network

MemoryOf = Literal["host", "device"]


def memory_of(device: torch.device) -> MemoryOf:
    """Return whose memory a network on this device lives in."""
    return "host" if device.type == "cpu" else "device"


def peak_memory(call: Callable[[], object], device: torch.device) -> int | None:
    """Measure what a call allocates at most, its result included, beside what stood before it.

    Seen are tensors and the scratch space that PyTorch allocates itself; on a GPU the workspaces of
    cuDNN too, and blocks as its allocator rounds them up. A block counts in full until it is freed,
    whether its pages were touched or not. With one machine, version of PyTorch and number of
    threads the figure is the same every time; another number of threads may bring other kernels,
    with other scratch space.

    Record gradients inside ``call`` or not, as the figure to compare with did: with them every
    intermediate result stays alive.

    Args:
        call: Runs the network. On a GPU it is called twice: the first call allocates what stays.
        device: Where the network runs.

    Returns:
        Bytes; None on devices whose allocator keeps no account (MPS).
    """
    gc.collect()  # garbage of earlier work must not be freed while the call is watched
    if device.type == "cpu":
        return _host_peak(call)
    if device.type == "cuda":
        return _cuda_peak(call, device)
    return None


def forward_memory(
    network: Network, size: tuple[int, int], device: torch.device, *, gradients: bool = False
) -> int | None:
    """Return the most bytes that one forward pass in fp32 allocates, beside weights and input.

    Args:
        network: Left as it is.
        size: LR (height, width), padded to the next size that the network takes.
        device: Device that it runs on.
        gradients: Record them, which keeps every intermediate result alive until the end.

    Returns:
        Bytes; None if the device keeps no account.

    Raises:
        torch.OutOfMemoryError: If the memory of a GPU does not suffice.
    """
    twin = copy.deepcopy(network).float().eval()
    twin.to(device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    height, width = (network.padded(side) for side in size)
    lr_image = torch.zeros(1, network.input_channels, height, width, device=device)
    with torch.inference_mode(mode=not gradients), torch.set_grad_enabled(gradients):
        return peak_memory(lambda: twin(lr_image), device)


def _cuda_peak(call: Callable[[], object], device: torch.device) -> int:
    call()
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _host_peak(call: Callable[[], object]) -> int:
    with (
        _silent_profiler(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler,
    ):
        result = call()
    del result  # alive until the profiler has stopped, so that it counts
    results = profiler.profiler.kineto_results if profiler.profiler else None
    assert results is not None
    return _highest(_host_blocks(results.experimental_event_tree()))


def _host_blocks(events: Iterable[_ProfilerEvent]) -> Iterator[tuple[int, int]]:
    """Address and signed size of every block that was allocated or freed, in order of time."""
    found = []
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        waiting.extend(event.children)
        block = event.extra_fields
        if isinstance(block, _ExtraFields_Allocation) and block.device.type == "cpu":
            found.append((event.start_time_ns, block.ptr, block.alloc_size))
    for _, address, size in sorted(found, key=lambda block: block[0]):
        yield address, size


def _highest(blocks: Iterable[tuple[int, int]]) -> int:
    """Follow blocks by their addresses: those that stood before the call may be freed in it."""
    alive: dict[int, int] = {}
    held = peak = 0
    for address, size in blocks:
        if size > 0:
            alive[address] = size
            held += size
        else:
            held -= alive.pop(address, 0)
        peak = max(peak, held)
    return peak


@contextmanager
def _silent_profiler() -> Iterator[None]:
    """Keep the profiler from writing to stderr that it starts and stops (torch 2.13)."""
    name = "KINETO_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ.setdefault(name, "99")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
