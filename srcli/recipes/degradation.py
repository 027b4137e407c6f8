"""Degradations from HR to LR as data: steps in order (pieces), each with ranges to draw from."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from srcli.errors import RecipeError
from srcli.files import shipped_text
from srcli.recipes.fields import FRACTION, Range, convert, unknown_name


def _within(low: float, high: float) -> Range:
    """Return the range of fields that hold a lowest and a highest value between two bounds."""

    def holds(value: Any) -> bool:  # noqa: ANN401
        return len(value) == 2 and low <= value[0] <= value[1] <= high

    return Range(f"two numbers, low and high, in {low}..{high}", holds)


Interval = tuple[float, float]
"""Lowest and highest value, between which each is drawn."""
Filter = Literal["bicubic", "bilinear", "box", "lanczos"]
"""Antialiased filters by which programs make pictures smaller."""
NOT_EMPTY = Range("at least one of them", lambda names: len(names) > 0)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One step of a degradation; its ``kind`` is its name in files."""

    probability: Annotated[float, FRACTION] = 1.0
    """Probability that the piece is applied."""


@dataclass(frozen=True, kw_only=True)
class Blur(_Piece):
    """Gaussian blur of optics, motion and sensor, round or drawn out in one direction."""

    kind: Literal["blur"] = "blur"
    sigma: Annotated[Interval, _within(0, 10)]
    """Lowest and highest standard deviation along the wider axis, in LR pixels, so that
    a range means the same at every scale."""
    aspect: Annotated[Interval, _within(0.05, 1)] = (1.0, 1.0)
    """Standard deviation along the narrower axis over that along the wider one; 1 is
    round."""
    angle: Annotated[Interval, _within(0, 180)] = (0.0, 180.0)
    """Direction of the wider axis in degrees: 0 along the rows, 45 right and down, 90
    down."""


@dataclass(frozen=True, kw_only=True)
class Noise(_Piece):
    """Gaussian noise of a sensor, part of which grows with the brightness."""

    kind: Literal["noise"] = "noise"
    sigma: Annotated[Interval, _within(0, 100)]
    """Lowest and highest standard deviation at mid-gray, in levels of 255."""
    shot: Annotated[Interval, _within(0, 1)] = (0.0, 0.0)
    """Share of the variance at mid-gray that is proportional to the brightness (photon
    noise)."""
    gray: Annotated[float, FRACTION] = 0.0
    """Probability that the noise is the same in all three channels."""
    colour: bool = False
    """It is in the colours alone, and never gray, as a phone's noise reduction leaves
    it."""
    size: Annotated[Interval, _within(1, 64)] = (1.0, 1.0)
    """Smallest and largest distance of two independent values, in pixels: above 1 it is
    in blotches, and ``sigma`` is that in their middles."""


@dataclass(frozen=True, kw_only=True)
class Jpeg(_Piece):
    """A JPEG file written and read again; its blocks lie anywhere relative to the patch."""

    kind: Literal["jpeg"] = "jpeg"
    quality: Annotated[tuple[int, int], _within(1, 100)]
    """Lowest and highest quality, on the scale of libjpeg."""
    subsampling: Annotated[float, FRACTION] = 0.5
    """Probability of colours at half the resolution (4:2:0); else they are 4:4:4."""


@dataclass(frozen=True, kw_only=True)
class Sharpen(_Piece):
    """Unsharp masking, which leaves bright and dark halos along edges."""

    kind: Literal["sharpen"] = "sharpen"
    sigma: Annotated[Interval, _within(0, 10)]
    """Standard deviation of the Gaussian whose difference is added, in LR pixels."""
    amount: Annotated[Interval, _within(0, 5)]
    """Times that the difference is added."""


@dataclass(frozen=True, kw_only=True)
class Resize(_Piece):
    """A picture resized after it was saved; only after the downscale.

    The pieces before it work on a picture that is so many times smaller, or larger,
    that its result has the size of LR.
    """

    kind: Literal["resize"] = "resize"
    factor: Annotated[Interval, _within(0.25, 4)]
    """Lowest and highest number of pixels that one pixel becomes along an axis."""
    filters: Annotated[tuple[Filter, ...], NOT_EMPTY] = ("bicubic",)
    """One of them is drawn."""


Piece = Blur | Noise | Jpeg | Sharpen | Resize


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The way from HR to LR: steps on HR, the downscale, steps on LR."""

    before: tuple[Piece, ...] = ()
    """Applied to HR, in this order."""
    after: tuple[Piece, ...] = ()
    """Applied to LR, in this order."""
    clean: Annotated[float, FRACTION] = 0.0
    """Probability that the downscale is MATLAB's bicubic and no piece is applied, so
    that clean pictures are learned as well."""
    filters: Annotated[tuple[Filter, ...], NOT_EMPTY] = ("bicubic",)
    """Filters of the downscale, one of which is drawn; ``bicubic`` is MATLAB's."""

    def __post_init__(self) -> None:
        if any(isinstance(piece, Resize) for piece in self.before):
            raise RecipeError(
                "before: a resize has its place after the downscale, in 'after'"
            )

    @classmethod
    def named(cls, name: str) -> Degradation:
        """Return the degradation of that name in the table; recipes may give it for the fields."""
        if name not in DEGRADATIONS:
            raise unknown_name("degradation", name, "the table", DEGRADATIONS)
        return DEGRADATIONS[name]

    @property
    def name(self) -> str:
        """Its name in the table, or ``custom``."""
        for name, degradation in DEGRADATIONS.items():
            if degradation == self:
                return name
        return "custom"

    @property
    def is_clean(self) -> bool:
        """True if LR is the downscaled HR and no more."""
        plain = not self.before and not self.after and self.filters == ("bicubic",)
        return plain or self.clean == 1


BICUBIC = Degradation()
"""The degradation of nearly every published table."""
DEGRADATIONS: dict[str, Degradation] = {"bicubic": BICUBIC} | {
    name: convert(plain, Degradation, name)
    for name, plain in tomllib.loads(shipped_text("degradations.toml")).items()
}
