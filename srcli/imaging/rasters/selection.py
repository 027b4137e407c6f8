"""Choose what is enlarged of a raster: the bands of the output, which go together, the window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters.info import coordinates
from srcli.ports.image import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from affine import Affine

    from srcli.imaging.rasters.info import RasterInfo

COLOURS = ("red", "green", "blue")
_SLACK = 1e-4
"""Pixels by which bounds may miss a pixel's edge, because printed coordinates are rounded."""


@dataclass(frozen=True, kw_only=True)
class BandLayout:
    """Bands of the output and their sources in the file."""

    bands: tuple[int, ...]
    """Colour bands, numbered from 1 as in the file, in the order of the output; without alpha. Of
    a palette: ``(1,)``, which becomes three bands, or one if all its colours are gray."""
    smooth: tuple[int, ...]
    """Indices of the output's colour bands, from 0, that the network sees. The others hold classes
    or flags: they are enlarged by nearest neighbour, so that no other values arise."""
    groups: tuple[tuple[int, ...], ...]
    """Places in ``smooth``, each once: groups of three go through the network as R, G and B, others
    alone."""
    alpha: int | None = None
    """Alpha band of the file, from 1."""
    palette: bool = False
    """Band 1 is turned into R, G and B, or gray (uint8), by its colour table."""
    interpretations: tuple[str, ...]
    """GDAL's colour interpretations of the output's colour bands."""
    notes: tuple[str, ...] = ()
    """Messages for the user on the choice."""
    remarks: tuple[str, ...] = ()
    """The same on bands that the file itself says to hold classes."""
    dtype: str
    """Of the output, and of the pixels that are read."""
    nodata: float | None = None
    """Value of invalid pixels of the output, in all bands; None if they are marked otherwise (NaN,
    a mask, alpha)."""
    palette_alpha: bool = False
    """The output gets an alpha band that the file lacks, because the colour table has transparent
    entries or one for nodata."""

    @property
    def channels(self) -> int:
        """Number of colour bands of the output."""
        return len(self.interpretations)

    @property
    def has_alpha(self) -> bool:
        """True if the output has an alpha band, after the colour bands."""
        return self.alpha is not None or self.palette_alpha

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the output's colour bands that the network does not see."""
        return tuple(place for place in range(self.channels) if place not in self.smooth)


def choose_layout(
    info: RasterInfo,
    *,
    bands: Sequence[int] | None = None,
    rgb: Sequence[int] | None = None,
    classes: Collection[int] = (),
) -> BandLayout:
    """Choose the bands of the output and group those that are R, G and B.

    All bands are numbered from 1, as in the file. ``bands`` are kept in this order, alpha if it is
    among them; None keeps all. ``rgb`` are red, green and blue; None takes those that the file
    interprets so, else the first three of three or four bands, else none. See ``choose_bands`` for
    ``classes``.
    """
    wanted = tuple(bands) if bands is not None else tuple(range(1, len(info.bands) + 1))
    _check_numbers(info, "--bidx", wanted)
    if info.palette is not None and wanted == (1,) and 1 not in classes and rgb is None:
        return _palette_layout(info)
    alpha = next((band for band in wanted if info.bands[band - 1].interpretation == "alpha"), None)
    kept = tuple(band for band in wanted if band != alpha)
    smooth = tuple(band for band in kept if band not in classes)
    if rgb is not None:
        _check_rgb(info, tuple(rgb), wanted, alpha, smooth)
    if not kept:
        raise PictureError(f"{info.path}: only an alpha band is left; choose more bands by --bidx")
    chosen, note = (tuple(rgb), "") if rgb is not None else _find_rgb(info, smooth)
    names = [info.bands[band - 1].interpretation for band in kept]
    if chosen and (rgb is not None or bands is not None):
        # show a composite chosen by the user, such as 4,3,2, in the colours it was enlarged in
        names = ["undefined" if name in COLOURS else name for name in names]
        for band, colour in zip(chosen, COLOURS, strict=True):
            names[kept.index(band)] = colour
    together = tuple(smooth.index(band) for band in chosen)
    groups = [(place,) for place in range(len(smooth)) if place not in together]
    said_by_user = bands is not None and len(kept) == 3  # which three, in this order
    return BandLayout(
        bands=kept,
        smooth=tuple(place for place, band in enumerate(kept) if band in smooth),
        groups=tuple(sorted([*groups, *([together] if together else [])], key=min)),
        alpha=alpha,
        interpretations=tuple(names),
        notes=(note,) if note and not said_by_user else (),
        dtype=_output_dtype(info, kept, smooth, alpha),
        nodata=next((n for b in kept if (n := info.bands[b - 1].nodata) is not None), None),
    )


def _palette_layout(info: RasterInfo) -> BandLayout:
    colours = list((info.palette or {}).values())
    clear = info.bands[0].nodata is not None or any(colour[3] < 255 for colour in colours)
    # as in scanned plans of one bit: three equal bands would triple the work and the file
    gray = all(red == green == blue for red, green, blue, _ in colours)
    return BandLayout(
        bands=(1,),
        smooth=(0,) if gray else (0, 1, 2),
        groups=((0,),) if gray else ((0, 1, 2),),
        palette=True,
        interpretations=("gray",) if gray else COLOURS,
        notes=(f"palette turned into {'gray' if gray else 'RGB'}{' and alpha' * clear}",),
        dtype="uint8",
        palette_alpha=clear,
    )


def _find_rgb(info: RasterInfo, kept: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Return the bands that are R, G and B, none or three, and a note for the user."""
    names = [info.bands[band - 1].interpretation for band in kept]
    if all(names.count(colour) == 1 for colour in COLOURS):
        return tuple(kept[names.index(colour)] for colour in COLOURS), ""
    if len(kept) in (3, 4):
        first = kept[:3]
        return first, f"bands {_list(first)} are taken for red, green, blue; --rgb names others"
    if len(kept) > 4:
        return (), f"{len(kept)} bands, each enlarged alone; --rgb names three that go together"
    return (), ""


def _output_dtype(
    info: RasterInfo, kept: tuple[int, ...], smooth: tuple[int, ...], alpha: int | None
) -> str:
    """Return the dtype of the bands that go through the network, if it can hold the classes."""
    dtypes = {b: info.bands[b - 1].dtype for b in (*kept, alpha) if b is not None}
    dtype = dtypes[(smooth or kept)[0]]
    free = {*kept} - {*(smooth or kept)}
    if all(
        np.can_cast(kind, dtype, "safe") if band in free else kind == dtype
        for band, kind in dtypes.items()
    ):
        return dtype
    raise PictureError(
        f"{info.path}: bands {_list(sorted(dtypes))} hold values of several kinds "
        f"({', '.join(sorted(set(dtypes.values())))}); choose bands of one kind by --bidx"
    )


def _check_numbers(info: RasterInfo, option: str, bands: tuple[int, ...]) -> None:
    if not bands or min(bands) < 1 or len(set(bands)) < len(bands):
        raise UsageError(f"{option} {_list(bands)}: give bands from 1, each once")
    if max(bands) > len(info.bands):
        raise PictureError(
            f"{info.path}: has {len(info.bands)} band(s), so {option} {_list(bands)} does not fit"
        )


def _check_rgb(
    info: RasterInfo,
    rgb: tuple[int, ...],
    wanted: tuple[int, ...],
    alpha: int | None,
    smooth: tuple[int, ...],
) -> None:
    _check_numbers(info, "--rgb", rgb)
    problem = ""
    if len(rgb) != 3 or not set(rgb) <= set(wanted):
        problem = "give three different bands that are kept"
    elif alpha in rgb:
        problem = f"band {alpha} is alpha; give three colour bands"
    elif not set(rgb) <= set(smooth):
        problem = f"{info.path} holds classes there; --classes no takes them for colours"
    if problem:
        raise UsageError(f"--rgb {_list(rgb)}: {problem}")


def choose_window(
    info: RasterInfo, *, srcwin: Sequence[int] | None = None, bounds: Sequence[float] | None = None
) -> tuple[Window, tuple[str, ...]]:
    """Turn --srcwin or --bounds into a window of a file and notes; the entire file without them.

    ``srcwin`` is (column, row, width, height) in pixels from the upper left corner, ``bounds``
    (left, bottom, right, top) in the file's coordinate system: all pixels that they touch are
    taken, also of rotated rasters. What lies beyond the file is cut.
    """
    if srcwin is not None and bounds is not None:
        raise UsageError("--srcwin and --bounds: give only one of them")
    notes: list[str] = []
    if bounds is not None:
        option, edges = "--bounds", _enclosing(info, bounds, notes)
    elif srcwin is not None:
        if len(srcwin) != 4 or min(srcwin[2:]) < 1:
            raise UsageError(
                f"--srcwin {_list(srcwin)}: give column,row,width,height, the last two at least 1"
            )
        column, row, width, height = srcwin
        option, edges = "--srcwin", (column, row, column + width, row + height)
    else:
        return Window(top=0, left=0, height=info.height, width=info.width), ()
    left, top = max(edges[0], 0), max(edges[1], 0)
    right, bottom = min(edges[2], info.width), min(edges[3], info.height)
    if right <= left or bottom <= top:
        extent = f"has {info.width}x{info.height} pixels"
        if info.place.transform is not None:
            corners = _bounding_box(info.place.transform, (0, 0, info.width, info.height))
            found = [f"{one:.10g}" for one in corners]
            extent += f" and reaches from {','.join(found[:2])} to {','.join(found[2:])}"
        raise PictureError(f"{info.path}: {option} lies outside the file, which {extent}")
    if (left, top, right, bottom) != edges:
        notes = [
            f"{option} reaches beyond the file: {right - left}x{bottom - top} pixels from column "
            f"{left}, row {top} are used"
        ]
    return Window(top=top, left=left, height=bottom - top, width=right - left), tuple(notes)


def _enclosing(
    info: RasterInfo, bounds: Sequence[float], notes: list[str]
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom edge in pixels; notes if they lie outside the bounds."""
    numbers = len(bounds) == 4 and all(math.isfinite(one) for one in bounds)
    if not numbers or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise UsageError(
            f"--bounds {_list(bounds)}: give left,bottom,right,top with left < right, bottom < top"
        )
    transform = info.place.transform
    if transform is None or transform.is_degenerate:
        found = "ground control points only" if info.place.gcps else "no place on the map"
        raise PictureError(f"{info.path}: has {found}, so --bounds cannot be found; use --srcwin")
    exact = _bounding_box(~transform, bounds)
    left, top = (math.floor(one + _SLACK) for one in exact[:2])
    right, bottom = (math.ceil(one - _SLACK) for one in exact[2:])
    edges = left, top, max(right, left + 1), max(bottom, top + 1)
    if any(abs(a - b) > _SLACK for a, b in zip(edges, exact, strict=True)):
        box = _list(_bounding_box(transform, edges))
        notes.append(f"--bounds snapped outwards to whole pixels: {box} (left,bottom,right,top)")
    return edges


def _bounding_box(transform: Affine, edges: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the least and largest coordinates that a box given by its edges is mapped to."""
    places = [coordinates(transform, x, y) for x in edges[::2] for y in edges[1::2]]
    across, up = zip(*places, strict=True)
    return min(across), min(up), max(across), max(up)


def _list(numbers: Sequence[float]) -> str:
    return ",".join(f"{one:.12g}" for one in numbers)
