"""Recognise tensors by our own names, as ``torch.save(network.state_dict(), FILE)`` keeps them.

They name neither the network nor its options. Networks whose code has all the first
names are built as outlines, and their options changed until names and shapes fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from srcli.models import MODELS, network_class, network_options, outline_network
from srcli.threads import warnings_collected

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by their names."""
LEAST_SHARE = 0.25
"""Share of all names, without numbers, that tensors and a usual network have in common."""
MOST_FITTED = 2
"""Networks whose options are sought, those with the most names first."""
MOST_VALUES = 4
"""Values of an option that are tried because sizes show them."""
MOST_TENSORS = 10_000
"""Tensors of the largest network that is built."""
NUMBERED = 100
"""Votes of a number of layers for a value; a size of a tensor has one."""


@dataclass(frozen=True)
class OwnNetwork:
    """A network of the table to which tensors belong."""

    model: str
    options: Mapping[str, Any]
    """Those that differ from the defaults, as far as shapes show them."""
    scales: tuple[int, ...]
    """All at which it has these shapes."""


def find_own(
    tensors: Mapping[str, Tensor], options: Mapping[str, Any] | None = None
) -> OwnNetwork | None:
    """Return the network of ours whose names and shapes tensors have; None for others.

    The search begins with ``options``, which the user knows.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    first_names = {name.partition(".")[0] for name in shapes}
    likely = []
    for model in _networks():
        if first_names <= _attributes(model):
            search = _Search(model, shapes, options or {})
            if search.share >= LEAST_SHARE:
                likely.append(search)
    likely.sort(key=lambda search: search.share, reverse=True)
    for search in likely:
        if network := search.at_scales(search.known_options):
            return network
    for search in likely[:MOST_FITTED]:
        if network := search.fit():
            return network
    return None


def _networks() -> list[str]:
    """Return a name for each class of networks that has weights."""
    names: dict[str, str] = {}
    for name, entry in MODELS.items():
        if entry.target and entry.needs_weights:
            names.setdefault(entry.target, name)
    return list(names.values())


def _attributes(model: str) -> set[str]:
    """Return the names in the code of a network's constructors, its layers' among them."""
    names: set[str] = set()
    for kind in network_class(model).__mro__[:-1]:
        names.update(kind.__init__.__code__.co_names)
    return names


@lru_cache(512)
def _outline(model: str, options: tuple[tuple[str, Any], ...]) -> Shapes:
    """Return the shapes of a network with options, the scale among them; empty for none."""
    arguments = dict(options)
    scale = arguments.pop("scale")
    # a value that is no good may raise anything in a constructor
    with suppress(Exception), warnings_collected():
        network = outline_network(
            model, scale=scale, options=arguments, most_tensors=MOST_TENSORS
        )
        state = network.state_dict()
        return {name: tuple(tensor.shape) for name, tensor in state.items()}
    return {}


class _Search:
    """The search for the options by which a network has given names and shapes."""

    def __init__(
        self, model: str, shapes: Shapes, known_options: Mapping[str, Any]
    ) -> None:
        self.model = model
        self.shapes = shapes
        self.known_options = {}
        for name, value in known_options.items():
            self.known_options[name] = (
                tuple(value) if isinstance(value, list) else value
            )
        self.scales = [*MODELS[model].scales, 8]
        usual = set(map(_without_numbers, self._outline(self._start())))
        names = set(map(_without_numbers, shapes))
        self.share = len(usual & names) / len(usual | names | {""})

    def _start(self) -> dict[str, Any]:
        return {"scale": self.scales[0], **self.known_options}

    def _outline(self, options: Mapping[str, Any]) -> Shapes:
        return _outline(self.model, tuple(sorted(options.items())))

    def at_scales(self, options: Mapping[str, Any]) -> OwnNetwork | None:
        """Return the network with options at all scales that fit; None where none does."""
        fitting = []
        for scale in self.scales:
            if self._outline({**options, "scale": scale}) == self.shapes:
                fitting.append(scale)
        return OwnNetwork(self.model, options, tuple(fitting)) if fitting else None

    def fit(self) -> OwnNetwork | None:
        """Give one option after the other the value with which the most tensors fit."""
        best = self._start()
        before = None
        while best != before:
            before = best
            for name, hint in get_type_hints(
                network_class(self.model).__init__
            ).items():
                values = self._values(name, hint, best)
                trials = [best, *({**best, name: value} for value in values)]
                best = min(trials, key=self._misfits)
        del best["scale"]
        for option in set(best) - set(self.known_options):
            fewer = {name: best[name] for name in best if name != option}
            if self.at_scales(fewer):  # no shape shows it
                best = fewer
        return self.at_scales(best)

    def _misfits(self, options: Mapping[str, Any]) -> float:
        """Return how many tensors do not fit; other names count twice."""
        outline = self._outline(options)
        if not outline:
            return float("inf")
        names = outline.keys() & self.shapes.keys()
        unmatched = len(outline.keys() ^ self.shapes.keys())
        return 2 * unmatched + sum(outline[name] != self.shapes[name] for name in names)

    def _values(self, name: str, hint: object, options: Mapping[str, Any]) -> list[Any]:
        """Return values of an option to be tried."""
        if name == "scale":
            return self.scales
        if hint is bool:
            return [False, True]
        if get_origin(hint) is Literal:
            return list(get_args(hint))
        if hint is not int:
            return []
        now = {**network_options(self.model, {}), **options}[name]
        votes: Counter[int] = Counter()
        for second_value in (2 * now, now // 2, now + 1, 1):
            changed = _sizes(self._outline({**options, name: second_value}))
            if changed and second_value != now:
                votes = self._votes(
                    now, _sizes(self._outline(options)), second_value, changed
                )
                break
        voted = [value for value, _ in votes.most_common(MOST_VALUES)]
        return [value for value in (*voted, now - 1, now + 1) if value > 0]

    def _votes(
        self,
        now: int,
        sizes: Mapping[Any, int],
        second_value: int,
        changed: Mapping[Any, int],
    ) -> Counter[int]:
        """Count the values of an option that the sizes show, by two values and their sizes.

        A number of layers grows with the option; another size may be proportional to it,
        or to one over it.
        """
        votes: Counter[int] = Counter()
        for key, aim in _sizes(self.shapes).items():
            size, new_size = sizes.get(key, 0), changed.get(key, 0)
            if aim and size and new_size and size != new_size:
                linear = now + (aim - size) * (second_value - now) / (new_size - size)
                values = {linear, second_value * aim / new_size, now * size / aim}
                weight = 1
                if isinstance(key, str):
                    values, weight = {linear}, NUMBERED
                for value in filter(float.is_integer, values):
                    votes[int(value)] += weight
        return votes


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", name)


def _sizes(shapes: Shapes) -> dict[Any, int]:
    """Return sizes by name and axis, and the number of layers by the name before it."""
    sizes: dict[Any, int] = {}
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            sizes[name, axis] = size
        for match in re.finditer(r"\d+", name):
            row = _without_numbers(name[: match.start()])
            sizes[row] = max(sizes.get(row, 0), int(match[0]) + 1)
    return sizes
