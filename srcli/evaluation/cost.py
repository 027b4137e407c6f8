"""Cost of a model at one size: parameters, work, and the memory of one forward pass."""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from srcli.evaluation.scores import ModelCost
from srcli.metrics.efficiency import CHALLENGE_SIZE, measure_efficiency
from srcli.metrics.memory import memory_of, peak_memory

if TYPE_CHECKING:
    from srcli.layers.network import Network

CPU = torch.device("cpu")


def model_cost(
    network: Network,
    *,
    model: str,
    size: tuple[int, int] = CHALLENGE_SIZE,
    device: torch.device = CPU,
) -> ModelCost:
    """Count a network's parameters and work, and measure the memory of one forward pass.

    The memory is that of a whole picture in fp32 and PyTorch's default layout. The network itself
    is not changed.

    Args:
        network: From ``load_model``; a network on Y (``colour``) gets one channel.
        model: The label of the result.
        size: LR (height, width), padded to the next size that the network takes.
        device: Memory is measured on it.

    Returns:
        The cost; its memory is None if the device keeps no account, or has too little.
    """
    try:
        memory = forward_memory(network, size, device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        memory = None
    return ModelCost(
        scale=network.scale,
        model=model,
        size=size,
        **asdict(measure_efficiency(network, size)),
        peak_memory=memory,
        memory_of=memory_of(device),
    )


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
        peak = peak_memory(lambda: twin(lr_image), device)
    return None if peak is None else peak.bytes
