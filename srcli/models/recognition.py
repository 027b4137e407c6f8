"""Recognise the network that tensors without metadata belong to, by their names and shapes."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from srcli.errors import ModelError
from srcli.models import MODELS, network_class, network_options, outline_network
from srcli.models.storage import WeightsInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from srcli.layers.network import Network
    from srcli.layers.published import Published

    Named = tuple[Mapping[str, Tensor], WeightsInfo]

LIKE = 0.5
"""Share of common shapes from which a network counts as like a file."""


def recognise(origin: str, tensors: Mapping[str, Tensor], scale: int | None = None) -> Named:
    """Find the network of the table that tensors without metadata belong to.

    Args:
        origin: The file, for messages.
        tensors: Its content, by published names or our own.
        scale: The one that is wanted; None for any.

    Returns:
        The tensors by the network's own names, and what the metadata would say.

    Raises:
        ModelError: If there is none, or several scales that cannot be told apart.
    """
    found = find_matches(tensors)
    if not found:
        raise unknown_network(origin, tensors)
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


def unknown_network(
    origin: str | Path, tensors: Mapping[str, Tensor], hint: str = ""
) -> ModelError:
    """Return the error for a file of no network of the table; it names the nearest one.

    Args:
        origin: The file.
        tensors: Its content.
        hint: More to say.
    """
    return ModelError(
        f"{origin}: does not say which network it belongs to, and none has such tensors "
        f"({describe(tensors)}); {hint}{hint and '; '}srx train NAME --init takes over those that "
        "fit"
    )


def find_matches(tensors: Mapping[str, Tensor]) -> list[Named]:
    """Return the network that tensors belong to, several times where it may be of several scales.

    Args:
        tensors: By the names that their authors published them under, which a function
            ``from_published`` beside the class of the network knows; or by the names of a network
            of the table with default settings.

    Returns:
        The tensors by the network's own names, and what the metadata would say.
    """
    for name, read in _readers().items():
        found: list[Named] = [
            (each.tensors, WeightsInfo(model=name, scale=scale, network=_options(name, each)))
            for each in read(tensors)
            for scale in each.scales
        ]
        if found and _fits(*found[0]):  # descendants have much in common with a network
            return found
    for name in _networks():
        if len(_first(name)[0] & tensors.keys()) < LIKE * len(tensors):
            continue
        own = [
            (tensors, WeightsInfo(model=name, scale=scale, network=options))
            for scale, options, network in _forms(name, MODELS[name].scales)
            if _shapes(network.state_dict()) == _shapes(tensors)
        ]
        if own:
            return own
    return []


def _fits(tensors: Mapping[str, Tensor], info: WeightsInfo) -> bool:
    try:
        network = outline_network(info.model, scale=info.scale, options=info.network)
    except ModelError:
        return False
    return _shapes(network.state_dict()) == _shapes(tensors)


def describe(tensors: Mapping[str, Tensor]) -> str:
    """Say how large a file is and which network is most like it, for messages."""
    size = f"{len(tensors)} tensors, {sum(each.numel() for each in tensors.values()):,} parameters"
    own = _multiset(tensors)

    def share(shapes: Counter[tuple[int, ...]]) -> float:
        return (own & shapes).total() / max(own.total(), shapes.total(), 1)

    nearest = max(_networks(), key=lambda name: share(_first(name)[1]))
    likeness, scale = max((share(shapes), scale) for scale, shapes in _sizes(nearest))
    if likeness == 1:
        return f"{size}: {nearest} x{scale} under other names?"
    return f"{size}; the nearest is {nearest} x{scale}" if likeness >= LIKE else size


@cache
def _networks() -> tuple[str, ...]:
    """Names of the networks that have weights, each class once."""
    first = {entry.target: name for name, entry in reversed(MODELS.items()) if entry.trained}
    return tuple(reversed(first.values()))


@cache
def _readers() -> dict[str, Callable[[Mapping[str, Tensor]], list[Published]]]:
    """Functions ``from_published`` by the name of their network."""
    return {name: network_class(name).from_published for name in _networks()}


def _options(name: str, published: Published) -> dict[str, Any]:
    """Return the options that differ from the defaults."""
    defaults = network_options(name, {})
    return {key: value for key, value in published.options.items() if value != defaults[key]}


@cache
def _first(name: str) -> tuple[frozenset[str], Counter[tuple[int, ...]]]:
    """Names of tensors of a network in all forms, at its first scale; shapes of the last form."""
    forms = [network.state_dict() for _, _, network in _forms(name, MODELS[name].scales[:1])]
    return frozenset().union(*forms), _multiset(forms[-1])


@cache
def _sizes(name: str) -> list[tuple[int, Counter[tuple[int, ...]]]]:
    """Scale and shapes of the tensors of a network in all its forms."""
    forms = _forms(name, MODELS[name].scales)
    return [(scale, _multiset(network.state_dict())) for scale, _, network in forms]


def _forms(name: str, scales: tuple[int, ...]) -> Iterator[tuple[int, dict[str, Any], Network]]:
    """Yield a network in every form, with scale and options, without its weights."""
    for scale in scales:
        network = outline_network(name, scale=scale)
        yield scale, {}, network
        if "deployed" in network_options(name, {}):
            deployed = outline_network(name, scale=scale, options={"deployed": True})
            if deployed.state_dict().keys() != network.state_dict().keys():
                yield scale, {"deployed": True}, deployed


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}


def _multiset(tensors: Mapping[str, Tensor]) -> Counter[tuple[int, ...]]:
    return Counter(tuple(value.shape) for value in tensors.values())
