"""What a variant costs before it has learned anything: parameters, work, peak memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from srcli.evaluation.cost import fitting_size
from srcli.inference.device import choose_device
from srcli.metrics.efficiency import CHALLENGE_SIZE, count_macs, count_parameters
from srcli.models import build_network
from srcli.pipelines.ablate.memory import forward_peak
from srcli.recipes.files import read_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def measure_cost(
    recipe: Path, *, scale: int, sizes: Sequence[tuple[int, int]], gradients: bool, device: str
) -> dict[str, Any]:
    """Measure a recipe's network in the form that is deployed.

    Args:
        recipe: Its file.
        scale: The factor.
        sizes: LR (height, width) at which the peak memory is measured.
        gradients: Record gradients then.
        device: Where memory is measured.

    Returns:
        The fields of a :class:`~srcli.pipelines.ablate.results.Cost`, as plain data.

    Raises:
        SrxError: If the recipe or the device does not fit.
    """
    own = read_recipe(recipe)
    where = choose_device(device)
    with torch.random.fork_rng(devices=[]):
        network = build_network(own.model, scale=scale, options=own.network).deploy()
    counts = count_macs(network, *fitting_size(network, CHALLENGE_SIZE))
    peaks = [forward_peak(network, size, where, gradients=gradients) for size in sizes]
    return {
        "parameters": count_parameters(network),
        "macs": counts.conv_macs,
        "memory": [asdict(each) for each in peaks],
    }
