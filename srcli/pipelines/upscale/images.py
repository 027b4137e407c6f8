"""PIL images as arrays, arrays as PIL images, and photographs on disk as PIL images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.errors import PictureError, UsageError
from srcli.imaging.reading import read_photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from srcli.imaging.photograph import Photograph

# PIL's modes: of 16 bits, gray, of colours, with alpha in a form that networks do not take, ready
_DEEP = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})
_GRAY = frozenset({"1", "L", "LA", "La", "F"}) | _DEEP
_RGB = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX"})
_ALPHA = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA"}
_PLAIN = frozenset({"L", "LA", "RGB", "RGBA", "F"})


def join_alpha(picture: Photograph) -> NDArray[Any]:
    """Return colours and alpha as one array (H, W, C)."""
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


def read_image(path: Path) -> Image.Image:
    """Read a photograph as an image, upright, with its colour profile and resolution.

    Raises:
        PictureError: If it cannot be read, or PIL has no mode for its pixels.
    """
    photograph = read_photograph(path)
    array = join_alpha(photograph)
    try:
        image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    except TypeError as error:
        raise PictureError(
            f"{path}: PIL has no mode for {array.shape[2]} channels of {array.dtype}; give an "
            "array, or use 'srx upscale'"
        ) from error
    known = {"icc_profile": photograph.metadata.profile, "dpi": photograph.metadata.dpi}
    image.info |= {key: value for key, value in known.items() if value is not None}
    return image


def array_of(image: Image.Image) -> NDArray[Any]:
    """Return the pixels of an image.

    Args:
        image: Of any mode.

    Returns:
        (H, W) uint8, uint16 or float32, or (H, W, C) uint8 with C 2 to 4: transparency of any form
        is alpha, colours of other kinds are RGB.

    Raises:
        UsageError: If the mode cannot be converted, mode I holds other values than 0 to 65535, or
            a value of 16 bits stands for transparent.
    """
    if image.mode in _DEEP:
        return _deep(image)
    try:
        return np.asarray(_plain(image))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"PIL image of mode {image.mode}: cannot be converted ({error}); "
            "give an image of mode L, LA, RGB or RGBA"
        ) from error


def image_of(array: NDArray[Any], source: Image.Image) -> Image.Image:
    """Return upscaled pixels as an image.

    Args:
        array: ``array_of(source)``, upscaled.
        source: The original; its resolution is kept, and its colour profile if that fits the
            colours of the result.
    """
    image = Image.fromarray(array)
    if source.info.get("dpi"):
        image.info["dpi"] = source.info["dpi"]
    profile = source.info.get("icc_profile")
    kind = b"GRAY" if source.mode in _GRAY else b"RGB " if source.mode in _RGB else None
    if profile and profile[16:20] == kind:
        image.info["icc_profile"] = profile
    return image


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in _ALPHA:
        return image.convert(_ALPHA[image.mode])
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("L", "RGB", "P") and image.has_transparency_data:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    return image if image.mode in _PLAIN else image.convert("RGB")


def _deep(image: Image.Image) -> NDArray[Any]:
    if image.info.get("transparency") is not None:
        raise UsageError(
            f"PIL image of mode {image.mode} with a transparent value: PIL has no mode for 16 bits "
            "with alpha; give an array (H, W, 2), or delete info['transparency']"
        )
    values = np.asarray(image)
    if image.mode == "I" and values.size:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise UsageError(
                f"PIL image of mode I with values {low} to {high}: only 0 to 65535 are taken, as "
                "16 bits; scale them, or convert it to mode F"
            )
    return values.astype(np.uint16)
