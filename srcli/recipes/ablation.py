"""An ablation as data: variants of a recipe that differ in single fields, and printed figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from srcli.errors import RecipeError

SCALES = (2, 3, 4)
METRICS = ("psnr", "ssim")
KEYS = (
    "parameters",
    "gflops",
    "training.seconds",
    "memory.HEIGHTxWIDTH",
    "SET.psnr",
    "SET.ssim",
    "SET.seconds",
    "SET.psnr.difference",
    "SET.ssim.difference",
)
"""Forms of the keys of ``Variant.published``; ``SET`` is a set's name as the paper prints it."""

_KEY = re.compile(
    r"parameters|gflops|training\.seconds|memory\.[1-9]\d*x[1-9]\d*"
    r"|[^.]+\.(?:seconds|(?:psnr|ssim)(?:\.difference)?)"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(?:/[a-z0-9][a-z0-9._-]*)?")
_VARIANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .,:;=+_-]*[A-Za-z0-9])?")


def changes_text(changes: Mapping[str, object]) -> list[str]:
    """Return changes of a recipe as ``srx train --set`` takes them."""
    return [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in changes.items()]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One line of an ablation: a recipe with single fields changed."""

    name: str
    """Short name for tables: letters, digits, blanks and ``.,:;=+_-``."""
    changes: Mapping[str, object] = field(default_factory=dict)
    """Changes of the ablation's recipe, in order: dotted fields as ``srx train --set`` takes them
    (``network.block``, ``stages.0.losses``), each with a plain value, the text ``null`` for none.
    A stage one past the last is a copy of the last one."""
    sentence: str
    """Description, a sentence without a full stop."""
    published: Mapping[str, float] = field(default_factory=dict)
    """Printed figures by a key of ``KEYS``: ``parameters`` in thousands, of the form that runs
    (``rrlfn``: the deployed one), ``gflops`` of an LR picture of 256x256 as efficient-SR challenges
    count them, ``memory.128x128`` in the paper's MB, ``SET.psnr`` in dB,
    ``SET.seconds`` a picture, ``training.seconds`` of 100 iterations; ``.difference`` is a printed
    difference to the base, where no value is printed."""
    note: str = ""
    """Doubts about a printed figure; empty for most."""

    def __post_init__(self) -> None:
        """Refuse names and figures of another form."""
        if not _VARIANT.fullmatch(self.name):
            raise RecipeError(
                f"name of a variant: letters, digits, blanks and .,:;=+_- only, got {self.name!r}"
            )
        for key in self.published:
            if not _KEY.fullmatch(key):
                raise RecipeError(
                    f"{self.name}: no published figure {key!r}; the forms are: {', '.join(KEYS)}"
                )


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A question to a network, and the variants that answer it."""

    name: str
    """Name, such as ``g-idrn/blocks``."""
    question: str
    """Question that it answers, ending with a question mark."""
    recipe: str
    """Recipe that all variants start from: a name of the recipe table, or the path of a file."""
    scale: int
    """Scale factor: 2, 3 or 4."""
    base: str
    """Name of the variant that the others are compared with."""
    variants: tuple[Variant, ...]
    changes: Mapping[str, object] = field(default_factory=dict)
    """Changes of the recipe for all variants, before their own."""
    sets: tuple[str, ...] = ()
    """Evaluation sets of the paper, the first of them decides; a set that is not available
    shows a dash. Each a name below ``$SRX_DATA/benchmarks``, a folder or ``built-in``."""
    source: str = ""
    """Paper and table; empty for an ablation of our own."""
    own: bool = False
    """True if no paper has it; variants may still have printed figures from elsewhere."""
    protocol: str = "y"
    """Name of the measurement protocol."""
    memory_sizes: tuple[tuple[int, int], ...] = ()
    """(height, width) of LR inputs, in pixels, at which the peak memory is measured."""
    memory_gradients: bool = False
    """Measure it with gradients recorded, as the paper did."""
    note: str = ""
    """Differences from the paper, and doubtful figures."""

    def __post_init__(self) -> None:
        """Refuse values that do not fit together."""
        if not _NAME.fullmatch(self.name):
            raise RecipeError(
                f"name of an ablation: small letters, digits and ._- with at most one /, "
                f"got {self.name!r}"
            )
        if self.scale not in SCALES:
            raise RecipeError(f"{self.name}: scale must be 2, 3 or 4, got {self.scale}")
        names = [variant.name for variant in self.variants]
        if len(names) < 2:
            raise RecipeError(f"{self.name}: an ablation needs at least two variants")
        for name in names:
            if names.count(name) > 1:
                raise RecipeError(f"{self.name}: variant {name!r} is there twice")
        if self.base not in names:
            have = ", ".join(names)
            raise RecipeError(f"{self.name}: base {self.base!r} is none of the variants: {have}")
        sizes: tuple[tuple[int, ...], ...] = self.memory_sizes  # a file may hold other lengths
        if any(len(size) != 2 or min(size) < 1 for size in sizes):
            raise RecipeError(
                f"{self.name}: memory_sizes must be pairs of height and width, got {sizes}"
            )

    def variant(self, name: str) -> Variant:
        """Return the variant called ``name``.

        Raises:
            RecipeError: If there is none; the message lists those there are.
        """
        found = {variant.name: variant for variant in self.variants}
        if name not in found:
            raise RecipeError(f"no variant {name!r} in {self.name}; there are: {', '.join(found)}")
        return found[name]

    def published_difference(self, name: str, key: str) -> float | None:
        """Printed difference of a variant to the base.

        Args:
            name: A variant.
            key: ``SET.psnr`` or ``SET.ssim``.

        Returns:
            The variant's figure minus the base's, rounded to six digits; where the paper prints
            only the difference, that; None where it prints neither, and for the base itself.
        """
        if name == self.base:
            return None
        figures, base = self.variant(name).published, self.variant(self.base).published
        if f"{key}.difference" in figures:
            return figures[f"{key}.difference"]
        if key in figures and key in base:
            return round(figures[key] - base[key], 6)
        return None
