"""Fit what cameras of drones say of their lens in pixels: DJI, and the makers of Pix4D's names.

Parrot, MicaSense, Sentera and senseFly write the namespace ``Camera`` of Pix4D.
Photogrammetry reads all of it, and calibrates wrongly by numbers of a smaller picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from srcli.imaging.metadata.pixel_map import PixelMap
from srcli.imaging.metadata.xmp_nodes import (
    RDF,
    decimal,
    drop_property,
    replace_numbers,
    text_nodes,
)

if TYPE_CHECKING:
    from xml.dom import minidom

_DJI = "http://www.dji.com/drone-dji/1.0/"
_PIX4D = "http://pix4d.com/camera/1.0"
"""Some write a slash behind it."""
_PIXEL_UNITS = ("px", "pixel", "pixels")

Fit = Callable[[list[float], PixelMap], list[float]]
"""Turns numbers of a property into those of the new pixels; ValueError if it cannot."""


def fit_calibration(document: minidom.Document, pixel_map: PixelMap) -> tuple[str, ...]:
    """Let focal lengths, centres, vignetting and distortion in pixels follow the pixels.

    What does not follow, as a picture was turned or enlarged by two factors, is dropped;
    a line a property is returned.
    """
    names = (
        "CalibratedFocalLength",
        "CalibratedOpticalCenterX",
        "CalibratedOpticalCenterY",
        "RelativeOpticalCenterX",
        "RelativeOpticalCenterY",
    )
    lengths, *centres = text_nodes(document, _DJI, names)
    _fit_lengths(lengths, pixel_map)
    replace_numbers(centres[:2], pixel_map.area)
    left_out = []
    if pixel_map.orientation == 1:
        # from the centre of another band's lens, without an origin
        replace_numbers(centres[2:], pixel_map.size)
    else:
        for text in (*centres[2], *centres[3]):
            drop_property(text)
            left_out.append("RelativeOpticalCenter")
    for name, fit in _DJI_LISTS.items():
        (texts,) = text_nodes(document, _DJI, (name,))
        left_out += [name for text in texts if not _fit_list(text, fit, pixel_map)]
    left_out += _fit_pix4d(document, pixel_map)
    return tuple(
        f"calibration of the lens ({name}) left out: it does not follow the new pixels"
        for name in dict.fromkeys(left_out)
    )


def _fit_lengths(nodes: Sequence[Any], pixel_map: PixelMap) -> None:
    """Let lengths in pixels, which have no direction, grow with the width."""
    replace_numbers([nodes], lambda values: pixel_map.size((*values, *values))[:1])


def _fit_list(text: Any, fit: Fit, pixel_map: PixelMap) -> bool:  # noqa: ANN401 - a node
    """Fit numbers between commas, behind a date and a semicolon; False if it was dropped."""
    date, semicolon, numbers = text.nodeValue.rpartition(";")
    words = numbers.split(",")
    try:
        values = [float(word) for word in words]
    except ValueError:
        return True  # no numbers: as it is
    try:
        fitted = fit(values, pixel_map)
    except ValueError:
        drop_property(text)
        return False
    for place, (value, new) in enumerate(zip(values, fitted, strict=True)):
        if new != value:
            words[place] = f"{new:.12g}" if abs(new) < 1e-3 else decimal(new)
    text.nodeValue = f"{date}{semicolon}{','.join(words)}"
    return True


def _unturned(pixel_map: PixelMap) -> tuple[float, float]:
    """Return the factors of width and height; ValueError if the picture was turned."""
    if pixel_map.orientation != 1:
        raise ValueError("turned")
    (height, width), (new_height, new_width) = pixel_map.before, pixel_map.after
    return new_width / width, new_height / height


def _fit_dewarping(values: list[float], pixel_map: PixelMap) -> list[float]:
    """Fit fx, fy, and the distances of the centre from the middle; coefficients stay."""
    across, down = _unturned(pixel_map)
    if len(values) < 4:
        raise ValueError("too few numbers")
    factors = (across, down, across, down)
    lengths = [value * factor for value, factor in zip(values, factors, strict=False)]
    return [*lengths, *values[4:]]


def _fit_homography(values: list[float], pixel_map: PixelMap) -> list[float]:
    """Fit nine numbers of a projection of pixels, row by row: S H S^-1."""
    across, down = _unturned(pixel_map)
    if len(values) != 9:
        raise ValueError("not a matrix")
    scales = (across, down, 1.0)
    return [
        value * scales[place // 3] / scales[place % 3]
        for place, value in enumerate(values)
    ]


def _fit_polynomial(values: list[float], pixel_map: PixelMap) -> list[float]:
    """Fit coefficients of r, r^2, r^3 ..., r in pixels from the centre."""
    height, width = pixel_map.before
    sides = pixel_map.size((width, height))
    if pixel_map.swaps_sides:
        height, width = width, height
    factor = sides[0] / width
    if not math.isclose(factor, sides[1] / height, rel_tol=0.01):
        raise ValueError("by two factors")
    return [value / factor**power for power, value in enumerate(values, start=1)]


_DJI_LISTS: dict[str, Fit] = {
    "DewarpData": _fit_dewarping,
    "VignettingData": _fit_polynomial,
    "CalibratedHMatrix": _fit_homography,
    "DewarpHMatrix": _fit_homography,
}
"""Lists of numbers of DJI's cameras, as its guide for image processing of the Mavic 3M
(2023) explains them."""


def _fit_pix4d(document: minidom.Document, pixel_map: PixelMap) -> list[str]:
    """Fit what Pix4D's names say in pixels; return the names of what was dropped."""
    left_out = []
    for uri in (_PIX4D, f"{_PIX4D}/"):
        (units,) = text_nodes(document, uri, ("PerspectiveFocalLengthUnits",))
        if any(unit.nodeValue.strip().lower() in _PIXEL_UNITS for unit in units):
            names = ("PerspectiveFocalLength", "PrincipalPoint")
            lengths, points = text_nodes(document, uri, names)
            _fit_lengths(lengths, pixel_map)
            for text in points:
                _fit_list(text, _fit_point, pixel_map)
        for name, fit in _PIX4D_LISTS.items():
            (whole,) = text_nodes(document, uri, (name,))
            written = [text for text in whole if "," in (text.nodeValue or "")]
            left_out += [
                name for text in written if not _fit_list(text, fit, pixel_map)
            ]
            for element in document.getElementsByTagNameNS(uri, name):
                (items,) = text_nodes(element, RDF, ("li",))
                if items and not _fit_items(items, fit, pixel_map):
                    element.parentNode.removeChild(element)  # type: ignore[union-attr]
                    left_out.append(name)
    return left_out


def _fit_items(items: Sequence[Any], fit: Fit, pixel_map: PixelMap) -> bool:
    """Fit numbers that are items of a sequence; False if they cannot follow."""
    try:
        values = [float(item.nodeValue) for item in items]
    except (TypeError, ValueError):
        return True
    try:
        fitted = fit(values, pixel_map)
    except ValueError:
        return False
    for item, new in zip(items, fitted, strict=True):
        item.nodeValue = f"{new:.12g}"
    return True


def _fit_point(values: list[float], pixel_map: PixelMap) -> list[float]:
    """Fit x and y of a position."""
    if len(values) != 2:
        raise ValueError("not a point")
    return pixel_map.area(values)


def _fit_affine(values: list[float], pixel_map: PixelMap) -> list[float]:
    """Fit C, D, E and F of a fisheye lens, which give x = C X + D Y, y = E X + F Y."""
    across, down = _unturned(pixel_map)
    if len(values) != 4:
        raise ValueError("not a matrix")
    factors = (across, across, down, down)
    return [value * factor for value, factor in zip(values, factors, strict=True)]


_PIX4D_LISTS: dict[str, Fit] = {
    "VignettingCenter": _fit_point,
    "VignettingPolynomial": _fit_polynomial,
    "FisheyeAffineMatrix": _fit_affine,
}
"""Lists in pixels by Pix4D's names; polynomials of a fisheye and of VignettingPolynomial2D
are of angles and of shares of the sides, and stay."""
