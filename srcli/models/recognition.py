"""Recognise the network that tensors without metadata belong to, by their names and shapes."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError
from srcli.models import MODELS, network_class, network_options, outline_network
from srcli.models.storage import WeightsInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

    Named = tuple[Mapping[str, Tensor], WeightsInfo]
    Shapes = dict[str, tuple[int, ...]]

LIKE = 0.5
"""Share of common names or shapes from which a network counts as like a file."""


def recognise(
    origin: str | Path, tensors: Mapping[str, Tensor], scale: int | None = None
) -> Named | None:
    """Find the network of the table that tensors belong to, or None; see ``find_matches``.

    ModelError if it is not of the scale, or of several where none is given.
    """
    found = find_matches(tensors)
    if not found:
        return None
    scales = ", ".join(str(info.scale) for _, info in found)
    chosen = [each for each in found if scale in (None, each[1].scale)]
    if not chosen:
        raise ModelError(f"{origin}: is for scale {scales}, not {scale}")
    if len(chosen) > 1:
        raise ModelError(
            f"{origin}: is of {found[0][1].model}, and does not say for which scale "
            f"({scales}); name one"
        )
    return chosen[0]


def find_matches(tensors: Mapping[str, Tensor]) -> list[Named]:
    """Return the network that tensors belong to, several times where it may be of several scales.

    Their names are those that their authors published them under, which ``from_published`` of the
    network's class knows, or those of a network with default settings. Each match has them by the
    network's own names, and what the metadata would say.
    """
    shapes = _shapes(tensors)
    for name in _networks():
        defaults = network_options(name, {})
        found: list[Named] = []
        for each in network_class(name).from_published(tensors):
            options = {k: v for k, v in each.options.items() if v != defaults[k]}
            for scale in each.scales:
                info = WeightsInfo(model=name, scale=scale, network=options)
                found.append((each.tensors, info))
        if found and _fits(*found[0]):  # descendants have much in common with a network
            return found
    for name in _networks():
        scales = MODELS[name].scales
        names = set().union(*(own for _, own in _forms(name, scales[0])))
        if len(names & tensors.keys()) < LIKE * len(tensors):
            continue
        own = [
            WeightsInfo(model=name, scale=scale, network=options)
            for scale in scales
            for options, own in _forms(name, scale)
            if own == shapes
        ]
        if own:
            return [(tensors, info) for info in own]
    return []


def unknown_network(
    origin: str | Path, tensors: Mapping[str, Tensor], hint: str = ""
) -> ModelError:
    """Return the error for a file of no network of the table; it names the nearest one."""
    size = f"{len(tensors)} tensors, {sum(each.numel() for each in tensors.values()):,} parameters"
    own = Counter(_shapes(tensors).values())

    def likeness(name: str, scale: int) -> float:
        forms = [Counter(shapes.values()) for _, shapes in _forms(name, scale)]
        return max((own & one).total() / max(own.total(), one.total()) for one in forms)

    nearest = max(_networks(), key=lambda name: likeness(name, MODELS[name].scales[0]))
    share, scale = max((likeness(nearest, scale), scale) for scale in MODELS[nearest].scales)
    if share == 1:
        size += f": {nearest} x{scale} under other names?"
    elif share >= LIKE:
        size += f"; the nearest is {nearest} x{scale}"
    return ModelError(
        f"{origin}: does not say which network it belongs to, and none has such tensors "
        f"({size}); {hint}{hint and '; '}srx train NAME --init takes over those that fit"
    )


@cache
def _networks() -> tuple[str, ...]:
    """Names of the networks that have weights, each class once."""
    first = {entry.target: name for name, entry in reversed(MODELS.items()) if entry.trained}
    return tuple(reversed(first.values()))


@cache
def _forms(name: str, scale: int) -> list[tuple[dict[str, Any], Shapes]]:
    """Return options and shapes of a network's tensors: as trained, and deployed if they differ."""
    found: list[tuple[dict[str, Any], Shapes]] = []
    both: Iterable[dict[str, Any]] = ({}, {"deployed": True})
    for options in both if "deployed" in network_options(name, {}) else [{}]:
        shapes = _shapes(outline_network(name, scale=scale, options=options).state_dict())
        if not found or shapes != found[0][1]:
            found.append((options, shapes))
    return found


def _fits(tensors: Mapping[str, Tensor], info: WeightsInfo) -> bool:
    try:
        network = outline_network(info.model, scale=info.scale, options=info.network)
    except ModelError:
        return False
    return _shapes(network.state_dict()) == _shapes(tensors)


def _shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in tensors.items()}
