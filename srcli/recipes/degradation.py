"""Degradations from HR to LR as data: pieces in order, each with its ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srcli.errors import RecipeError
from srcli.recipes.fields import require_fraction, unknown


def _check_ranges(piece: Blur | Noise | Jpeg, **bounds: tuple[float, float]) -> None:
    """Refuse fields that are no ranges (low, high) within their bounds."""
    for name, (low, high) in bounds.items():
        value = getattr(piece, name)
        if len(value) != 2 or not value[0] <= value[1]:
            wanted = "must be two numbers, low and high"
            raise RecipeError(f"{name} of {piece.kind} {wanted}, got {value}")
        if not (low <= value[0] and value[1] <= high):
            raise RecipeError(f"{name} of {piece.kind} must lie in {low}..{high}, got {value}")


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur of optics, motion and sensor, round or drawn out in one direction."""

    kind: Literal["blur"] = "blur"
    probability: float = 1.0
    """Probability that the piece is applied."""
    sigma: tuple[float, float]
    """Lowest and highest standard deviation along the wider axis, in LR pixels, so that a range
    means the same at every scale."""
    aspect: tuple[float, float] = (1.0, 1.0)
    """Standard deviation along the narrower axis over that along the wider one; 1 is round."""
    angle: tuple[float, float] = (0.0, 180.0)
    """Direction of the wider axis in degrees: 0 along the rows, 45 right and down, 90 down."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "probability", of="blur")
        _check_ranges(self, sigma=(0, 10), aspect=(0.05, 1), angle=(0, 180))


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Gaussian noise of a sensor, part of which grows with the brightness."""

    kind: Literal["noise"] = "noise"
    probability: float = 1.0
    """Probability that the piece is applied."""
    sigma: tuple[float, float]
    """Lowest and highest standard deviation at mid-gray, in levels of 255."""
    shot: tuple[float, float] = (0.0, 0.0)
    """Share of the variance at mid-gray that is proportional to the brightness (photon noise)."""
    gray: float = 0.0
    """Probability that the noise is the same in all three channels."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "probability", "gray", of="noise")
        _check_ranges(self, sigma=(0, 100), shot=(0, 1))


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """A JPEG file written and read again; its blocks lie anywhere relative to the patch."""

    kind: Literal["jpeg"] = "jpeg"
    probability: float = 1.0
    """Probability that the piece is applied."""
    quality: tuple[int, int]
    """Lowest and highest quality, on the scale of libjpeg."""
    subsampling: float = 0.5
    """Probability of colours at half the resolution (4:2:0); else they are 4:4:4."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "probability", "subsampling", of="jpeg")
        _check_ranges(self, quality=(1, 100))


Piece = Blur | Noise | Jpeg


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """From HR to LR: pieces, the downscale by MATLAB's bicubic, more pieces."""

    before: tuple[Piece, ...] = ()
    """Applied to HR, in this order."""
    after: tuple[Piece, ...] = ()
    """Applied to LR, in this order."""
    clean: float = 0.0
    """Probability that no piece is applied, so that clean pictures are learned as well."""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_fraction(self, "clean", of="a degradation")

    @classmethod
    def named(cls, name: str) -> Degradation:
        """Return the degradation of the table; recipes may give a name instead of the fields.

        Raises:
            RecipeError: If there is none of that name; the message names the nearest, or all.
        """
        if name not in DEGRADATIONS:
            raise unknown("degradation", name, "the table", DEGRADATIONS)
        return DEGRADATIONS[name]

    @property
    def name(self) -> str:
        """Its name in the table, or ``custom``."""
        return next((name for name, known in DEGRADATIONS.items() if known == self), "custom")

    @property
    def is_clean(self) -> bool:
        """True if LR is the downscaled HR and no more."""
        return self.clean == 1 or not (self.before or self.after)


BICUBIC = Degradation()
"""The degradation of nearly every published table."""

# An imaging chain is described by its contrast (MTF) at LR's Nyquist frequency. The bicubic
# downscale by itself leaves 0.49 there, a Gaussian of sigma LR pixels exp(-(pi * sigma)^2 / 2) of
# it: sigma = sqrt(2 * log(0.49 / MTF)) / pi.

PHOTO = Degradation(
    before=(
        # Colour filter array, lens and low-pass filter, seen at 100 %: MTF 0.25..0.45 in the wider
        # axis. Half of the pictures stay as they are: many were sharpened or made smaller since.
        Blur(probability=0.5, sigma=(0.13, 0.37), aspect=(0.8, 1.0)),
    ),
    after=(
        # What a camera's noise reduction leaves at low ISO. It works harder on colour than on
        # brightness, so half of what is left is gray. In gamma-encoded values photon noise hardly
        # depends on the brightness, hence a small share.
        Noise(probability=0.5, sigma=(0.5, 2.0), shot=(0.0, 0.3), gray=0.5),
        # Cameras and phones write about 90..97; 75 is the default of libjpeg, and so of much
        # software that saves a picture again. One in ten is no JPEG.
        Jpeg(probability=0.9, quality=(75, 97), subsampling=0.5),
    ),
    # Pictures that their owners have made smaller before: sharp, free of noise and blocks. A
    # network that never sees them takes their finest detail for noise.
    clean=0.2,
)
"""Mild: photographs as cameras and phones save them."""

AERIAL = Degradation(
    before=(
        # MTF 0.1..0.3: Pléiades has 0.09 at the instrument and 0.2 as delivered (International
        # Archives of the Photogrammetry XXXV-B1, 2004), well-focused drones more. Forward motion
        # and smear draw the blur out in one direction, which lies anywhere in a north-up picture.
        Blur(sigma=(0.32, 0.57), aspect=(0.7, 1.0)),
    ),
    after=(
        # The same source gives a signal-to-noise ratio of 90: 1.4 levels at mid-gray. The contrast
        # stretch to 8 bits raises it up to threefold. Values are close to linear, so that photon
        # noise is a large share; pan-sharpening gives all channels the same noise.
        Noise(sigma=(1.0, 4.0), shot=(0.2, 0.8), gray=0.5),
        # JPEG inside GeoTIFF and from map servers: 75 is the default of GDAL and ArcGIS, 4:2:0 that
        # of YCbCr; drone cameras write better ones. Three in ten come losslessly.
        Jpeg(probability=0.7, quality=(75, 95), subsampling=0.5),
    ),
)
"""Pictures from drones, aircraft and satellites, 8 bits, three channels."""

DEGRADATIONS: dict[str, Degradation] = {"bicubic": BICUBIC, "photo": PHOTO, "aerial": AERIAL}
