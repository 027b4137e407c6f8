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

    The memory is that of a whole picture in fp32 and PyTorch's default layout, without gradients,
    weights and input. The network itself is not changed.

    Args:
        network: From ``load_model``; a network on Y (``colour``) gets one channel.
        model: The label of the result.
        size: LR (height, width), padded to the next size that the network takes.
        device: Memory is measured on it.

    Returns:
        The cost; its memory is None if the device keeps no account, or has too little.
    """
    return ModelCost(
        scale=network.scale,
        model=model,
        size=size,
        **asdict(measure_efficiency(network, size)),
        peak_memory=forward_memory(network, size, device),
        memory_of=memory_of(device),
    )


def forward_memory(network: Network, size: tuple[int, int], device: torch.device) -> int | None:
    """Return the most bytes that one forward pass allocates; see :func:`model_cost`."""
    twin = copy.deepcopy(network).float().eval()
    twin.to(device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    lr_image = torch.zeros(1, twin.input_channels, *fitting_size(network, size), device=device)
    try:
        with torch.inference_mode():
            peak = peak_memory(lambda: twin(lr_image), device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None
    return None if peak is None else peak.bytes


def fitting_size(network: Network, size: tuple[int, int]) -> tuple[int, int]:
    """Return the size that an engine pads ``size`` to for this network."""
    return network.padded(size[0]), network.padded(size[1])
