"""Recognise the network that bare tensors belong to by their names and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from srcli.errors import ModelError
from srcli.models import MODELS, build_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor


def recognise(
    origin: str, tensors: Mapping[str, Tensor], scale: int | None = None
) -> tuple[str, int, dict[str, Any]]:
    """Return the network of the table that, with default settings, has exactly these tensors.

    Args:
        origin: The file, for messages.
        tensors: Its content.
        scale: The one that is wanted; None for any.

    Returns:
        Name, scale and options to build it with.

    Raises:
        ModelError: If there is none, or several scales that cannot be told apart.
    """
    shapes = _shapes(tensors)
    found = [(name, at, own) for name, at, own, net in _networks() if _shapes(net) == shapes]
    if not found:
        raise ModelError(
            f"{origin}: does not say which network it belongs to, and none has such tensors; "
            "srx train NAME --init takes over those that fit"
        )
    scales = [at for _, at, _ in found]
    chosen = [each for each in found if scale in (None, each[1])]
    if not chosen:
        raise ModelError(f"{origin}: is for scale {', '.join(map(str, scales))}, not {scale}")
    if len(chosen) > 1:
        raise ModelError(
            f"{origin}: is of {found[0][0]}, and does not say for which scale "
            f"({', '.join(map(str, scales))}); name one"
        )
    return chosen[0]


def _networks() -> Iterator[tuple[str, int, dict[str, Any], Mapping[str, Tensor]]]:
    """Yield every network of the table, at every scale, in every form, without its weights."""
    known = set()
    for name, entry in MODELS.items():
        if not entry.trained or entry.target in known:
            continue  # the same network under another name, with other weights
        known.add(entry.target)
        for scale in entry.scales:
            with torch.device("meta"):
                network = build_network(name, scale=scale)
                state, deployed = network.state_dict(), network.deploy().state_dict()
            yield name, scale, {}, state
            if _shapes(deployed) != _shapes(state):
                yield name, scale, {"deployed": True}, deployed


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}
