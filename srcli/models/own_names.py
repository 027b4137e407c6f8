"""Recognise tensors by our own names, as ``torch.save(network.state_dict(), FILE)`` keeps them.

They name neither the network nor its options. Both are found by building outlines of
networks until names and shapes are those of the tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from inspect import signature
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from srcli.models import MODELS, network_class, outline_network
from srcli.threads import warnings_collected

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by their names."""
LEAST_SHARE = 0.4
"""Share of the names, without numbers, that a network must have with its usual options."""
NO_OPTIONS: Mapping[str, Any] = {}
LARGEST = 4096
"""Largest value of an option that is tried."""


@dataclass(frozen=True)
class OwnNetwork:
    """A network of the table to which tensors belong."""

    model: str
    options: Mapping[str, Any]
    """Those that differ from the defaults, as far as shapes show them."""
    scales: tuple[int, ...]
    """All at which it has these shapes."""


def find_own(tensors: Mapping[str, Tensor]) -> OwnNetwork | None:
    """Return the network of ours whose names and shapes tensors have; None for others."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    names = {_without_numbers(name) for name in shapes}
    shares = {}
    for model in _first_names():
        shares[model] = len(_usual_names(model) & names) / max(len(names), 1)
    likely = [model for model in shares if shares[model] >= LEAST_SHARE]
    likely.sort(key=shares.__getitem__, reverse=True)
    for search in (_usual, _fit):
        for model in likely:
            if network := search(model, shapes):
                return network
    return None


def _first_names() -> list[str]:
    """Return a name for each class of networks that has weights."""
    names: dict[str, str] = {}
    for name, entry in MODELS.items():
        if entry.target and entry.needs_weights:
            names.setdefault(entry.target, name)
    return list(names.values())


def _scales(model: str) -> list[int]:
    return [*MODELS[model].scales, 8]


def _outline(model: str, options: Mapping[str, Any], count: int) -> Shapes:
    """Return the shapes of a network with options and a scale among them; empty for none."""
    arguments = dict(options)
    scale = arguments.pop("scale")
    # a value that is no good may raise anything in a constructor
    with suppress(Exception), warnings_collected():
        outline = outline_network(
            model, scale=scale, options=arguments, most_tensors=4 * count + 5000
        )
        state = outline.state_dict()
        return {name: tuple(tensor.shape) for name, tensor in state.items()}
    return {}


@cache
def _usual_names(model: str) -> frozenset[str]:
    """Return the names, numbers left out, of a network with its usual options."""
    outline = _outline(model, {"scale": MODELS[model].scales[0]}, LARGEST)
    return frozenset(map(_without_numbers, outline))


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name)


def _usual(
    model: str, shapes: Shapes, options: Mapping[str, Any] = NO_OPTIONS
) -> OwnNetwork | None:
    """Return a network with its usual options, or others, that has these shapes."""
    scales = []
    for scale in _scales(model):
        if _outline(model, {**options, "scale": scale}, len(shapes)) == shapes:
            scales.append(scale)
    return OwnNetwork(model, options, tuple(scales)) if scales else None


def _fit(model: str, shapes: Shapes) -> OwnNetwork | None:
    """Return a network with options by which it has these shapes.

    One option after the other is given the value with which the most tensors fit, and
    two at once where none is better alone.
    """
    best: dict[str, Any] = {"scale": MODELS[model].scales[0]}
    fewest = _misfits(_outline(model, best, len(shapes)), shapes)
    choices = dict(_choices(model, shapes))
    singles = [{name: choice} for name in choices for choice in choices[name]]
    counts = _counts(shapes)
    numbers = [name for name, values in choices.items() if len(values) > 2]
    pairs = []
    for names in combinations(numbers, 2):
        for values in product(counts, counts):
            pairs.append(dict(zip(names, values, strict=True)))
    while fewest:
        before = fewest
        for changes in (singles, pairs):
            for change in changes:
                trial = {**best, **change}
                misfits = _misfits(_outline(model, trial, len(shapes)), shapes)
                if misfits < fewest:
                    best, fewest = trial, misfits
                if not fewest:
                    break
            if fewest < before:
                break
        if fewest == before:
            return None
    for option in [name for name in best if name != "scale"]:
        trial = {name: best[name] for name in best if name != option}
        if _outline(model, trial, len(shapes)) == shapes:  # no shape shows it
            best = trial
    del best["scale"]
    return _usual(model, shapes, best)


def _misfits(outline: Shapes, shapes: Shapes) -> int:
    """Return how far shapes are from those of a network; other names count twice."""
    names = outline.keys() & shapes.keys()
    unmatched = len(outline.keys() ^ shapes.keys())
    return 2 * unmatched + sum(outline[name] != shapes[name] for name in names)


def _choices(model: str, shapes: Shapes) -> Iterator[tuple[str, list[Any]]]:
    """Yield the scale and each option that shapes may show, with values it may have."""
    yield "scale", _scales(model)
    kind = network_class(model)
    hints = get_type_hints(kind.__init__)
    counts = _counts(shapes)
    sizes = {size for shape in shapes.values() for size in shape if size}
    ratios = {large // small for large, small in product(sizes, sizes)}
    # a layer and its activation may be two of a row, and some layers stand around it
    bases = counts + [count // 2 for count in counts]
    near = {base + more for base in bases for more in (0, 1, 2)}
    numbers = sorted(number for number in sizes | ratios | near if number <= LARGEST)
    for name in signature(kind).parameters:
        hint = hints.get(name)
        if hint is bool:
            yield name, [False, True]
        elif hint is int and name != "scale":
            yield name, numbers
        elif get_origin(hint) is Literal:
            yield name, list(get_args(hint))


def _counts(shapes: Shapes) -> list[int]:
    """Return numbers of layers of a name, and products of two of them."""
    largest: dict[str, int] = {}
    for layer in shapes:
        for match in re.finditer(r"\d+", layer):
            name = _without_numbers(layer[: match.start()])
            largest[name] = max(largest.get(name, 0), int(match[0]) + 1)
    counts = set(largest.values())
    return sorted(counts | {a * b for a, b in product(counts, counts)})
