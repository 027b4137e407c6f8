"""Measure the parameters, work and peak memory of a variant within the memory that is free."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from srcli.inference.device import choose_device
from srcli.metrics.efficiency import CHALLENGE_SIZE, count_macs, count_parameters
from srcli.metrics.machine import address_space, free_memory
from srcli.metrics.memory import forward_memory, memory_of
from srcli.models import build_network
from srcli.pipelines.ablate.results import Cost, MemoryUse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from srcli.layers.network import Network
    from srcli.pipelines.ablate.units import CostUnit

SPARE = 256 << 20
"""Bytes of the free memory that are left to others."""
OUT_OF_MEMORY = "out of memory"


def measure_cost(unit: CostUnit, device: str) -> Cost:
    """Measure a network in the form that is deployed.

    Raises:
        SrxError: If an option of the network or the device does not fit.
    """
    target, recipe = choose_device(device), unit.recipe
    with torch.random.fork_rng(devices=[]):
        built = build_network(recipe.model, scale=unit.scale, options=recipe.network).deploy()
    sizes, gradients = unit.sizes, unit.gradients
    return Cost(
        parameters=count_parameters(built),
        macs=count_macs(built, *CHALLENGE_SIZE).conv_macs,
        memory=tuple(forward_peak(built, size, target, gradients=gradients) for size in sizes),
    )


def forward_peak(
    network: Network, size: tuple[int, int], device: torch.device, *, gradients: bool
) -> MemoryUse:
    """Measure the peak memory of one forward pass, beside weights and input, in fp32.

    Args:
        network: Left as it is.
        size: LR (height, width); measured at the next size that the network takes.
        device: Device that it runs on.
        gradients: Record them, which keeps every intermediate result alive until the end, as in
            the figures of papers that forget to turn them off.

    Returns:
        The peak, or the reason why it is unknown: too little memory, or a device without account.
    """
    of = memory_of(device)
    try:
        with _limited(device):
            peak = forward_memory(network, size, device, gradients=gradients)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return MemoryUse(size=size, peak=None, of=of, reason=OUT_OF_MEMORY)
    if peak is None:
        return MemoryUse(size=size, peak=None, of=of, reason=f"{device.type} keeps no account")
    return MemoryUse(size=size, peak=peak, of=of)


def out_of_memory(error: Exception) -> bool:
    """Return whether an error is a lack of memory; PyTorch has no type for that on processors."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (type(error) is RuntimeError and "DefaultCPUAllocator" in str(error))


@contextmanager
def _limited(device: torch.device) -> Iterator[None]:
    """Limit this process to the memory that is free now.

    Linux grants more memory than there is and kills a process later; under a limit the allocation
    itself fails, which can be reported. Other systems, and GPUs, need no limit.
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
