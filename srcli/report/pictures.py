"""Pictures of reports: parts that are worth looking at, and pictures that take turns.

Turns stand in the same place, with their names: in GIF, WebP or MP4. The eye finds a
difference where it blinks, which it misses side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srcli.errors import UsageError
from srcli.files import write_whole
from srcli.report.table import printable

PART_SIDE = 80
"""Side of a part that is chosen, in pixels of the photograph."""
DETAIL_RANKS = (1.0, 0.9, 0.5)
"""Ranks of the chosen parts among all by detail: the most, nine tenths, the middle."""
SECONDS = 1.0
"""How long a turn is shown."""
SUFFIXES = (".gif", ".webp", ".mp4")
"""Of files that can hold turns."""
BORDER = 4
"""White pixels around each picture."""
CAPTION_HEIGHT = 28
"""Height of the line below the pictures that holds the name, in pixels."""
PALETTE_PIXELS = 500_000
"""Largest number of pixels by which the colours of a GIF are chosen."""

Part = tuple[int, int, int, int]
"""Left, top, width and height of a part of a photograph, in its pixels."""
Pixels = NDArray[np.uint8]
"""(H, W, 3), in 0 to 255."""


def choose_parts(
    pixels: NDArray[np.generic],
    side: int = PART_SIDE,
    ranks: Sequence[float] = DETAIL_RANKS,
) -> list[Part]:
    """Choose parts of a picture (H, W, 3) by ranks of their detail that do not overlap."""
    height, width = (min(side, length) for length in pixels.shape[:2])
    steps = np.abs(np.diff(pixels.mean(axis=2, dtype=np.float32), axis=1, prepend=0))
    detail = {}
    for top in range(0, steps.shape[0] - height + 1, height):
        for left in range(0, steps.shape[1] - width + 1, width):
            inside = steps[top : top + height, left + 1 : left + width]
            detail[left, top, width, height] = float(inside.sum())
    order = sorted(detail, key=detail.__getitem__)
    chosen = (order[round(share * (len(order) - 1))] for share in ranks)
    return list(dict.fromkeys(chosen))


def cut_part(
    pixels: NDArray[Any], part: Part, margin: int = 0, scale: int = 1
) -> tuple[NDArray[Any], tuple[slice, slice]]:
    """Cut a part, with a margin where the picture has one.

    The second value is where the part lies in an enlargement of what is cut.
    """
    left, top, width, height = part
    above = max(top - margin, 0)
    before = max(left - margin, 0)
    row = scale * (top - above)
    column = scale * (left - before)
    inside = np.s_[row : row + scale * height, column : column + scale * width]
    return pixels[above : top + height + margin, before : left + width + margin], inside


def repeat_pixels(pixels: NDArray[Any], times: int) -> NDArray[Any]:
    """Enlarge a picture (H, W, C), its pixels as they are."""
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def check_turns(out: Path, others: Sequence[str] = ()) -> None:
    """UsageError if turns cannot be written under this name, or not on this machine.

    ``others`` are suffixes that the command writes besides.
    """
    suffix = out.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{out}: give a name that ends in {', '.join((*others, *SUFFIXES))}"
        )
    if suffix == ".mp4" and find_spec("av") is None:
        raise UsageError(
            f'{out}: is a video; pip install "srcli[video]" writes it, or give a name '
            "that ends in .gif"
        )


def draw_turns(turns: Mapping[str, Sequence[Pixels]]) -> list[Pixels]:
    """Draw a frame for each name: its pictures from left to right, the name below.

    Pictures are (H, W, 3) uint8. Each name has as many, of the same sizes; so nothing
    but what they show changes from frame to frame. Frames are (H, W, 3) uint8 with even
    sides, which videos need.
    """
    font = ImageFont.load_default(16)
    frames = []
    for name, pictures in turns.items():
        height = max(len(pixels) for pixels in pictures) + 2 * BORDER + CAPTION_HEIGHT
        width = BORDER
        for pixels in pictures:
            width += pixels.shape[1] + BORDER
        frame = Image.new("RGB", (width + width % 2, height + height % 2), "white")
        left = BORDER
        for pixels in pictures:
            frame.paste(Image.fromarray(pixels), (left, BORDER))
            left += pixels.shape[1] + BORDER
        place = (BORDER + 2, height - CAPTION_HEIGHT + 2)
        ImageDraw.Draw(frame).text(place, printable(name), "black", font)
        frames.append(np.asarray(frame))
    return frames


def write_turns(out: Path, frames: Sequence[Pixels], seconds: float = SECONDS) -> None:
    """Write frames that ``check_turns`` allows: an endless GIF or WebP, or a video.

    An existing file is replaced once the new one is complete. WebP is lossless. A GIF
    has 256 colours, the same ones for all frames, and no dithering: whatever changes
    between two frames is a difference of the pictures.
    """
    suffix = out.suffix.lower()
    encode = partial(iio.imwrite, "<bytes>", extension=suffix)
    if suffix == ".mp4":
        content = encode(
            [*frames],
            plugin="pyav",
            codec="libx264",
            fps=1 / seconds,
            out_pixel_format="yuv420p",  # which every player shows
        )
    else:
        if suffix == ".gif":
            frames = _in_common_colours(frames)
        duration = round(1000 * seconds)
        content = encode(
            [*frames], plugin="pillow", duration=duration, loop=0, lossless=True
        )
    write_whole(out, content)


def _in_common_colours(frames: Sequence[Pixels]) -> list[Pixels]:
    """Return frames with the same 256 colours at most, the best ones for all of them."""
    pixels = np.concatenate([frame.reshape(-1, 3) for frame in frames])
    step = -(-len(pixels) // PALETTE_PIXELS)
    sample = Image.fromarray(pixels[None, ::step])
    palette = sample.quantize(256, Image.Quantize.MEDIANCUT, kmeans=2)
    drawn = []
    for frame in frames:
        image = Image.fromarray(frame)
        limited = image.quantize(palette=palette, dither=Image.Dither.NONE)
        drawn.append(np.asarray(limited.convert("RGB")))
    return drawn
