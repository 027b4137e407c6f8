"""What of a raster is enlarged: the choice of its bands, which go together, and a window."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.info import (
    COLOURS,
    LEGEND,
    BandInfo,
    RasterInfo,
    coordinates,
)
from srcli.ports.image import Window

if TYPE_CHECKING:
    from affine import Affine

_SLACK = 1e-4
"""Pixels by which bounds may miss a pixel's edge, because printed coordinates are
rounded."""


@dataclass(frozen=True, kw_only=True)
class BandLayout:
    """Bands of the output and their sources in the file."""

    bands: tuple[int, ...]
    """Colour bands, numbered from 1 as in the file, in the order of the output; without
    alpha. Of a palette: ``(1,)``, which becomes three bands, or one if all its colours
    are gray."""
    smooth: tuple[int, ...]
    """Indices of the output's colour bands, from 0, that the network sees. The others
    hold classes or flags: they are enlarged by nearest neighbour, so that no other
    values arise."""
    groups: tuple[tuple[int, ...], ...]
    """Places in ``smooth``, each once: groups of three go through the network as R, G
    and B, others alone."""
    alpha: int | None = None
    """Alpha band of the file, from 1; 0 for that of a colour table with transparent
    colours or a nodata value; None without one."""
    alpha_place: int | None = None
    """Place of alpha among the bands of the output file, from 0; None is the last."""
    soft_alpha: tuple[float, float] | None = None
    """Lowest and highest value of an alpha band that is interpolated; None repeats its
    pixels."""
    palette: NDArray[np.uint8] | None = None
    """Colours (values of band 1, 4) by which it is turned into R, G and B, or gray, and
    alpha; values without one are transparent black."""
    outputs: tuple[BandInfo, ...]
    """The bands of the output, alpha last; their dtype and nodata do not count."""
    notes: tuple[str, ...] = ()
    """Messages for the user on the choice."""
    remarks: tuple[str, ...] = ()
    """The same on bands that the file itself says to hold classes."""
    dtype: str
    """Of the output, and of the pixels that are read."""
    nodata: float | None = None
    """Value of invalid pixels of the output, in all bands; None if they are marked
    otherwise (NaN, a mask, alpha)."""

    @property
    def channels(self) -> int:
        """Number of colour bands of the output."""
        return len(self.outputs) - (self.alpha is not None)

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the output's colour bands that the network does not see."""
        return tuple(
            place for place in range(self.channels) if place not in self.smooth
        )


def choose_layout(
    info: RasterInfo,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
    classes: Collection[int] = (),
) -> BandLayout:
    """Choose the bands of the output and group those that are R, G and B.

    All bands are numbered from 1, as in the file. ``bands`` are kept in this order,
    alpha if it is among them; None keeps all. ``rgb`` are red, green and blue; None
    takes those that the file interprets so, else the first three of three or four
    bands, else none. See ``choose_bands`` for ``classes``.
    """
    wanted = tuple(bands) if bands is not None else tuple(range(1, len(info.bands) + 1))
    _check_numbers(info, "--bidx", wanted)
    if info.palette is not None and wanted == (1,) and 1 not in classes and rgb is None:
        return _palette_layout(info)
    names = {band: info.bands[band - 1].interpretation for band in wanted}
    alpha = next((band for band in wanted if names[band] == "alpha"), None)
    kept = tuple(band for band in wanted if band != alpha)
    smooth = tuple(band for band in kept if band not in classes)
    chosen, note = _find_rgb(info, smooth, rgb)
    if not kept:
        raise PictureError(
            f"{info.path}: only an alpha band is left; choose more bands by --bidx"
        )
    if chosen and (rgb is not None or bands is not None):
        # show a composite chosen by the user, such as 4,3,2, in the colours it was
        # enlarged in
        names = {
            band: "undefined" if name in COLOURS else name
            for band, name in names.items()
        }
        names.update(zip(chosen, COLOURS, strict=True))
    outputs = [
        replace(info.bands[band - 1], interpretation=names[band]) for band in kept
    ]
    for place, band in enumerate(outputs):
        if kept[place] in smooth:
            # what interpolation makes of indices is gray, and needs all values of the
            # dtype
            is_index = band.interpretation == "palette"
            outputs[place] = replace(
                band,
                interpretation="gray" if is_index else band.interpretation,
                bits=None if is_index or band.dtype.startswith("float") else band.bits,
                about={
                    key: text for key, text in band.about.items() if key not in LEGEND
                },
            )
    if alpha is not None:
        outputs.append(info.bands[alpha - 1])
    together = tuple(smooth.index(band) for band in chosen)
    groups = [(place,) for place in range(len(smooth)) if place not in together]
    said_by_user = bands is not None and len(kept) == 3  # which three, in this order
    return BandLayout(
        bands=kept,
        smooth=tuple(place for place, band in enumerate(kept) if band in smooth),
        groups=tuple(sorted([*groups, *([together] if together else [])], key=min)),
        alpha=alpha,
        alpha_place=None if alpha is None else wanted.index(alpha),
        outputs=tuple(outputs),
        notes=(note,) if note and not said_by_user else (),
        dtype=_output_dtype(info, kept, smooth, alpha),
        nodata=next(
            (n for b in kept if (n := info.bands[b - 1].nodata) is not None), None
        ),
    )


def _palette_layout(info: RasterInfo) -> BandLayout:
    band, colours = info.bands[0], info.palette or {}
    table = np.zeros((int(np.iinfo(band.dtype).max) + 1, 4), np.uint8)
    known = [value for value in colours if 0 <= value < len(table)]
    for value in known:
        table[value] = colours[value]
    # as in scanned plans of one bit: three equal bands would triple the work and the
    # file
    gray = bool((table[known, :3] == table[known, :1]).all())
    clear = band.nodata is not None or bool((table[known, 3] < 255).any())
    if band.nodata is not None:
        table[int(band.nodata), 3] = 0
    names = (*(("gray",) if gray else COLOURS), *(("alpha",) if clear else ()))
    return BandLayout(
        bands=(1,),
        smooth=(0,) if gray else (0, 1, 2),
        groups=((0,),) if gray else ((0, 1, 2),),
        alpha=0 if clear else None,
        palette=table,
        # the metadata of a palette describe its indices, not colours
        outputs=tuple(BandInfo(dtype="uint8", interpretation=name) for name in names),
        notes=(
            f"palette turned into {'gray' if gray else 'RGB'}{' and alpha' * clear}",
        ),
        dtype="uint8",
    )


def _find_rgb(
    info: RasterInfo, kept: tuple[int, ...], asked: Sequence[int] | None
) -> tuple[tuple[int, ...], str]:
    """Return the bands that are R, G and B, none or three, and a note for the user."""
    if asked is not None:
        _check_numbers(info, "--rgb", asked)
        if not {*asked} <= {*kept}:
            raise UsageError(
                f"--rgb {_list(asked)}: give bands that are kept; neither alpha nor classes, which "
                "--classes no takes for colours"
            )
        return tuple(asked), ""
    names = [info.bands[band - 1].interpretation for band in kept]
    if all(names.count(colour) == 1 for colour in COLOURS):
        return tuple(kept[names.index(colour)] for colour in COLOURS), ""
    names = [_described_colour(info.bands[band - 1]) for band in kept]
    if all(names.count(colour) == 1 for colour in COLOURS):
        return tuple(kept[names.index(colour)] for colour in COLOURS), ""
    if len(kept) in (3, 4):
        first = kept[:3]
        return (
            first,
            f"bands {_list(first)} are taken for red, green, blue; --rgb names others",
        )
    many = f"{len(kept)} bands, each enlarged alone; --rgb names three that go together"
    return (), many if len(kept) > 4 else ""


def _described_colour(band: BandInfo) -> str:
    """Return red, green or blue if the name of a band says so, such as ``B04``; else nothing.

    The numbers are those of Sentinel-2 and Landsat 8 and 9.
    """
    text = re.sub("<[^>]*>", "", band.about.get("Description", "")).lower()
    words = re.findall("[a-z0-9]+", text)
    if "edge" in words or not words:
        return ""
    for colour, letter, number in zip(COLOURS, "rgb", "432", strict=True):
        if colour in words or words == [letter]:
            return colour
        if {*words} & {f"b{number}", f"b0{number}", f"band{number}"} and not {
            *words
        } & {*COLOURS}:
            return colour
    return ""


def _output_dtype(
    info: RasterInfo, kept: tuple[int, ...], smooth: tuple[int, ...], alpha: int | None
) -> str:
    """Return the dtype of the bands that go through the network, if it can hold the classes."""
    dtypes = {b: info.bands[b - 1].dtype for b in (*kept, alpha) if b is not None}
    dtype = dtypes[(smooth or kept)[0]]
    same = {*(smooth or kept), alpha}
    if all(
        k == dtype if b in same else np.can_cast(k, dtype) for b, k in dtypes.items()
    ):
        return dtype
    raise PictureError(
        f"{info.path}: bands {_list(sorted(dtypes))} hold values of several kinds "
        f"({', '.join(sorted(set(dtypes.values())))}); choose bands of one kind by --bidx"
    )


def _check_numbers(info: RasterInfo, option: str, bands: Sequence[int]) -> None:
    if max(bands) > len(info.bands):
        raise PictureError(
            f"{info.path}: has {len(info.bands)} band(s), so {option} {_list(bands)} does not fit"
        )


def choose_window(
    info: RasterInfo,
    *,
    srcwin: Sequence[int] | None = None,
    bounds: Sequence[float] | None = None,
) -> tuple[Window, tuple[str, ...]]:
    """Turn --srcwin or --bounds into a window of a file and notes; the entire file without both.

    ``srcwin`` is (column, row, width, height) in pixels from the upper left corner,
    ``bounds`` (left, bottom, right, top) in the file's coordinate system: all pixels
    that they touch are taken, also of rotated rasters. What lies beyond the file is
    cut.
    """
    whole = 0, 0, info.width, info.height
    option, edges, notes = "--srcwin", whole, list[str]()
    if bounds is not None:
        option, edges = "--bounds", _enclosing(info, bounds, notes)
    elif srcwin is not None:
        column, row, width, height = srcwin
        if min(width, height) < 1:
            raise UsageError(
                f"--srcwin {_list(srcwin)}: give a width and a height of at least 1"
            )
        edges = column, row, column + width, row + height
    left, top = max(edges[0], 0), max(edges[1], 0)
    right, bottom = min(edges[2], info.width), min(edges[3], info.height)
    if right <= left or bottom <= top:
        extent = f"has {info.width}x{info.height} pixels"
        if info.place["transform"] is not None:
            extent += (
                f" and bounds {_list(_bounding_box(info.place['transform'], whole))}"
            )
        raise PictureError(
            f"{info.path}: {option} lies outside the file, which {extent}"
        )
    if (left, top, right, bottom) != edges:
        notes = [
            f"{option} reaches beyond the file: {right - left}x{bottom - top} pixels from column "
            f"{left}, row {top} are used"
        ]
    return Window(top=top, left=left, height=bottom - top, width=right - left), tuple(
        notes
    )


def _enclosing(
    info: RasterInfo, bounds: Sequence[float], notes: list[str]
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom edge in pixels; notes if they lie outside the bounds."""
    if not (
        all(map(math.isfinite, bounds))
        and bounds[0] < bounds[2]
        and bounds[1] < bounds[3]
    ):
        raise UsageError(
            f"--bounds {_list(bounds)}: give left,bottom,right,top with left < right, bottom < top"
        )
    transform = info.place["transform"]
    if transform is None or transform.is_degenerate:
        found = (
            "ground control points only"
            if info.place["gcps"]
            else "no place on the map"
        )
        raise PictureError(
            f"{info.path}: has {found}, so --bounds cannot be found; use --srcwin"
        )
    exact = _bounding_box(~transform, bounds)
    left, top = (math.floor(one + _SLACK) for one in exact[:2])
    right, bottom = (math.ceil(one - _SLACK) for one in exact[2:])
    edges = left, top, max(right, left + 1), max(bottom, top + 1)
    if any(abs(a - b) > _SLACK for a, b in zip(edges, exact, strict=True)):
        box = _list(_bounding_box(transform, edges))
        notes.append(
            f"--bounds snapped outwards to whole pixels: {box} (left,bottom,right,top)"
        )
    return edges


def _bounding_box(
    transform: Affine, edges: Sequence[float]
) -> tuple[float, float, float, float]:
    """Return the least and largest coordinates that a box given by its edges is mapped to."""
    places = [coordinates(transform, x, y) for x in edges[::2] for y in edges[1::2]]
    across, up = zip(*places, strict=True)
    return min(across), min(up), max(across), max(up)


def _list(numbers: Sequence[float]) -> str:
    return ",".join(f"{one:.12g}" for one in numbers)
