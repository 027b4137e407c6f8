"""Files of weights that authors published: a table of how they are known, and their layers' names.

The table is ``author_names.toml``; loading renames tensors by it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from srcli.files import shipped_text
from srcli.models import load_target
from srcli.recipes.fields import convert

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = Mapping[str, Tensor]
    """The tensors of a file by their names."""
Options = Mapping[str, Any]
"""Arguments of a network's constructor, without the scale."""

_SOUGHT = re.compile(r"(outputs|count) (\S+)(?: ([+-]) (\d+))?")
"""An option that the tensors show: its kind, a name, and a number that is added."""
_PLACE = re.compile(r"\{(\w*?)([+-]\d+)?\}")
"""A number in a name of ours: an option or nothing, and what is added."""


@dataclass(frozen=True, kw_only=True)
class AuthorFile:
    """One kind of files; ``author_names.toml`` says what its fields are."""

    model: str
    layers: tuple[str, ...]
    files: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    upsampling: str = ""
    scales: tuple[int, ...] = ()
    either: tuple[Mapping[str, Any], ...] = ({},)
    unseen: Mapping[str, Any] = field(default_factory=dict)
    shifted: tuple[str, ...] = ()
    prepare: str = ""

    def prepared(self, tensors: Tensors) -> Tensors:
        """Return the tensors of a file with a weight and a bias in each layer of ours."""
        if self.prepare:
            prepared: Tensors = load_target(self.prepare)(tensors)
            return prepared
        return tensors

    def find_options(self, tensors: Tensors) -> dict[str, Any]:
        """Return what the layers of a file show; KeyError where one is missing."""
        found = {}
        for option, value in self.options.items():
            sought = _SOUGHT.fullmatch(str(value))
            found[option] = value
            if sought is None:
                continue
            kind, name, sign, number = sought.groups()
            if kind == "outputs":
                found[option] = len(tensors[f"{name}.weight"])
                continue
            surplus = int(f"{sign or '+'}{number or 0}")
            found[option] = _count(tensors, name) + surplus
        return found

    def rename(
        self, tensors: Tensors, options: Options, scale: int
    ) -> dict[str, Tensor]:
        """Return the tensors by our names, as a network of a scale has them."""
        names = dict(self.names)
        if self.upsampling:
            names[self.upsampling.format(scale)] = "up"
        # names without a number count before those with one
        rows = sorted(names.items(), key=lambda row: row[0].count("{}"))
        renamed = {}
        for key, tensor in tensors.items():
            new_key = _renamed(key, rows, options)
            if new_key:
                renamed[new_key] = tensor
        return renamed


@cache
def _beginning(theirs: str) -> re.Pattern[str]:
    """Return the expression for names that begin as one of the table does."""
    return re.compile(re.escape(theirs).replace(r"\{\}", r"(\d+)") + r"(?=\.|$)")


def _count(tensors: Tensors, name: str) -> int:
    """Count the numbers in the place {} of a name that the tensors have."""
    found = (_beginning(name).match(key) for key in tensors)
    return len({match[1] for match in found if match})


def _renamed(key: str, rows: Sequence[tuple[str, str]], options: Options) -> str:
    """Replace the longest beginning of a tensor's name that has a new one; "" for none."""
    length = 0
    renamed = key
    for theirs, ours in rows:
        match = _beginning(theirs).match(key)
        if match is None or match.end() <= length:
            continue
        length = match.end()
        numbers = iter(match.groups())

        def number_of(place: re.Match[str], numbers: Any = numbers) -> str:  # noqa: ANN401
            number = options[place[1]] if place[1] else next(numbers)
            return str(int(number) + int(place[2] or 0))

        new = _PLACE.sub(number_of, ours)
        renamed = new and new + key[length:]
    return renamed


def _read_table() -> tuple[AuthorFile, ...]:
    tables = tomllib.loads(shipped_text("author_names.toml", "srcli.models"))["file"]
    return tuple(convert(table, AuthorFile, "author_names.toml") for table in tables)


AUTHOR_FILES = _read_table()
"""Files of authors that are known; those before others are tried first."""
