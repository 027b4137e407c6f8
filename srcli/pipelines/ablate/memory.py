"""Peak memory of a forward pass, with or without gradients, on a machine that must not run out."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from srcli.evaluation.cost import fitting_size
from srcli.metrics.free_memory import address_space, free_memory
from srcli.metrics.memory import memory_of, peak_memory
from srcli.pipelines.ablate.results import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.layers.network import Network

SPARE = 256 << 20
"""Bytes of the free memory that are left to others."""
TOO_LITTLE = "out of memory"


def forward_peak(
    network: Network, size: tuple[int, int], device: torch.device, *, gradients: bool
) -> Memory:
    """Measure what one forward pass allocates at most, beside weights and input, in fp32.

    Args:
        network: Left as it is.
        size: LR (height, width); measured at the next size that the network takes.
        device: Where it runs.
        gradients: Record them: then every intermediate result stays alive until the end, as in the
            figures of papers that forget to turn them off.

    Returns:
        The peak; without a figure where the memory does not suffice or is not accounted for.
    """
    twin = copy.deepcopy(network).float().eval()
    twin.to(device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    lr_image = torch.zeros(1, twin.input_channels, *fitting_size(network, size), device=device)

    def forward() -> torch.Tensor:
        with torch.inference_mode(mode=not gradients), torch.set_grad_enabled(gradients):
            result: torch.Tensor = twin(lr_image)
            return result

    of = memory_of(device)
    try:
        with _limited(device):
            peak = peak_memory(forward, device)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return Memory(size=size, peak=None, of=of, reason=TOO_LITTLE)
    if peak is None:
        return Memory(size=size, peak=None, of=of, reason=f"{device.type} keeps no account")
    return Memory(size=size, peak=peak.bytes, of=of)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice; on a processor its text alone does."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "can't allocate memory" in str(error)


@contextmanager
def _limited(device: torch.device) -> Iterator[None]:
    """Let this process take what is free now, and no more.

    Linux hands out more than there is and then kills a process of its choice; with a limit the
    allocation fails instead, and can be told. Other systems, and GPUs, need none.
    """
    free, held = free_memory(), address_space()
    if device.type != "cpu" or free is None or held is None:
        yield
        return
    import resource  # not on Windows, where there is no /proc either

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = held + max(free - SPARE, 0)
    tightest = min(x for x in (wanted, before, hard) if x != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (tightest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
