"""Choose what of a raster is enlarged: its bands, those that go together, and a window."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from srcli.errors import PictureError, UsageError
from srcli.imaging.rasters import heights
from srcli.imaging.rasters.info import COLOURS, LEGEND, BandInfo, RasterInfo
from srcli.imaging.rasters.names import NAMES
from srcli.imaging.rasters.transforms import SLACK, bounding_box
from srcli.ports import Window

_STEP_TAGS = ("NETCDF_DIM_", "GRIB_ELEMENT")
"""Beginnings of tags of the bands of NetCDF files along further dimensions, and of GRIB."""
_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d(?:[-_.]?[01]\d)?(?:[-_.]?[0-3]\d)?(?!\d)")
"""A year, a month or a day."""
Numbers = tuple[int, ...]
"""Of bands, from 1, or indices of them, from 0."""


@dataclass(frozen=True, kw_only=True)
class BandLayout:
    """Bands of the output and their sources in the file."""

    bands: Numbers
    """Colour bands, numbered from 1 as in the file, in the order of the output; without
    alpha. Of a palette: ``(1,)``, which becomes three bands, or one if all its colours
    are gray."""
    smooth: Numbers
    """Indices of the output's colour bands, from 0, that are interpolated or go through
    the network. The others hold classes or flags: they are enlarged by nearest
    neighbour, so that no new values arise."""
    groups: tuple[Numbers, ...]
    """Positions in ``smooth``, each once: groups of three go through the network as R,
    G and B, others alone."""
    alpha: int | None = None
    """Alpha band of the file, from 1; 0 for that of a colour table with transparent
    colours or a nodata value; None without one."""
    alpha_position: int | None = None
    """Position of alpha among the bands of the output file, from 0; None is the
    last."""
    soft_alpha: tuple[float, float] | None = None
    """Lowest and highest value of an alpha band that is interpolated; None repeats its
    pixels."""
    palette: NDArray[np.uint8] | None = None
    """Colours (values of band 1, 4) by which it is turned into R, G and B, or gray, and
    alpha; values without one are transparent black."""
    elevations: Numbers = ()
    """Numbers in the file of bands whose whole numbers are elevation."""
    divisor: int = 1
    """By which all values but classes are divided: among so many pixels of the output."""
    is_packed: bool = False
    """The three bands are bytes of heights, which are interpolated as one number; see
    ``heights``."""
    outputs: tuple[BandInfo, ...]
    """The bands of the output, alpha last; ``dtype`` and ``nodata`` below count instead of
    theirs."""
    note: str = ""
    """For the user, on the choice of colours."""
    dtype: str
    """numpy's name of the type of the output's values, and of the pixels as read."""
    nodata: float | None = None
    """Value of invalid pixels of the output, in all bands; None if they are marked
    otherwise (NaN, a mask, alpha)."""

    @property
    def channels(self) -> int:
        """Number of colour bands of the output."""
        return len(self.outputs) - (self.alpha is not None)

    @property
    def smooth_dtype(self) -> str:
        """Type, by its name in numpy, of what is interpolated or goes through the network."""
        return heights.DTYPE if self.is_packed else self.dtype

    @property
    def classes(self) -> Numbers:
        """Indices of the output's colour bands that hold classes or flags."""
        if self.is_packed:
            return ()
        return tuple(sorted(set(range(self.channels)) - set(self.smooth)))

    @property
    def rgb(self) -> list[int]:
        """Indices of the output's red, green and blue; empty if none go together."""
        for group in self.groups:
            if len(group) == 3:
                return [self.smooth[position] for position in group]
        return []

    def numbers(self, positions: Iterable[int]) -> list[int]:
        """Return numbers in the file of bands, not of a palette, by positions in ``smooth``."""
        return [self.bands[self.smooth[position]] for position in positions]


def check_axes(info: RasterInfo) -> None:
    """Refuse a cube whose bands are rows to GDAL, which takes the last two axes for a picture.

    Dimensions of NetCDF have names. Those of HDF5 have none, so that a cube with more
    bands than rows or columns is taken for one of (rows, bands, columns).
    """
    tags = info.band(1).tags.get("", {})
    is_turned = False
    for key in tags:
        axis = key.removeprefix("NETCDF_DIM_")
        is_turned |= axis != key and axis.lower() in NAMES["axes_of_maps"]
    if info.driver == "HDF5Image":
        is_turned = len(info.bands) > min(info.height, info.width)
    if is_turned:
        raise PictureError(
            f"{info.path}: the first axis of the cube, {len(info.bands)} long, seems to be one of "
            f"the map, so that bands lie along a side of {info.width}x{info.height} pixels; write "
            "it as (bands, rows, columns) by xarray's transpose, or name bands by --bidx"
        )


def check_dtype(info: RasterInfo, layout: BandLayout) -> None:
    """Refuse integers that no float of a network or of interpolation holds."""
    dtype = np.dtype(layout.dtype)
    if layout.groups and dtype.kind != "f" and dtype.itemsize > 4:
        raise PictureError(
            f"{info.path}: {dtype} values are enlarged as classes only (--classes yes); "
            "convert them to integers of up to 32 bits, or to floats"
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
    bands, else none. See ``choose_layout_by_signs`` for ``classes``.
    """
    selected = range(1, len(info.bands) + 1) if bands is None else bands
    _check_numbers(info, "--bidx", selected)
    is_palette = info.palette is not None and list(selected) == [1] and 1 not in classes
    if is_palette and rgb is None:
        return _palette_layout(info)
    alpha = None
    for number in reversed(selected):
        if info.band(number).interpretation == "alpha":
            alpha = number
    colour_bands = tuple(number for number in selected if number != alpha)
    smooth = tuple(number for number in colour_bands if number not in classes)
    composite, note = find_rgb(info, smooth, rgb)
    if not colour_bands:
        raise PictureError(
            f"{info.path}: only an alpha band is left; choose more bands by --bidx"
        )
    shown_as = {}
    if composite and not (rgb is None and bands is None):
        # show a composite chosen by the user, such as 4,3,2, in the colours it was
        # enlarged in
        shown_as = dict(zip(composite, COLOURS, strict=True))
    outputs = []
    for number in colour_bands:
        band = _shown_band(info.band(number), number, shown_as)
        if number in smooth:
            band = _interpolated(band)
        outputs.append(band)
    nodata_values = [band.nodata for band in outputs if band.nodata is not None]
    if alpha is not None:
        outputs.append(info.band(alpha))
    if bands is not None and len(colour_bands) == 3:
        note = ""  # the user has said which three, in this order
    return BandLayout(
        bands=colour_bands,
        smooth=tuple(
            index for index, number in enumerate(colour_bands) if number in smooth
        ),
        groups=_groups(smooth, composite),
        alpha=alpha,
        alpha_position=None if alpha is None else selected.index(alpha),
        outputs=tuple(outputs),
        note=note,
        dtype=_output_dtype(info, colour_bands, smooth, alpha),
        nodata=nodata_values[0] if nodata_values else None,
    )


def as_floats(
    info: RasterInfo, layout: BandLayout, dtype: Literal["float32", "float64"]
) -> BandLayout:
    """Return a layout whose values are read and written as floats; refuse one of colours."""
    is_of_colours = layout.palette is not None or layout.alpha is not None
    if is_of_colours or not layout.smooth:
        raise PictureError(
            f"{info.path}: -ot {dtype} is for measurements, not for classes, palettes and alpha; "
            "drop it, or choose bands by --bidx"
        )
    outputs = [replace(band, dtype=dtype, bits=None) for band in layout.outputs]
    return replace(layout, dtype=dtype, outputs=tuple(outputs))


def _shown_band(band: BandInfo, number: int, shown_as: Mapping[int, str]) -> BandInfo:
    """Return a band with the colour that it is shown as; without one if others are shown."""
    if number in shown_as:
        return replace(band, interpretation=shown_as[number])
    if shown_as and band.interpretation in COLOURS:
        return replace(band, interpretation="undefined")
    return band


def _interpolated(band: BandInfo) -> BandInfo:
    """Return a band without what is wrong once it is interpolated, such as class names."""
    vrt_elements = {
        key: text for key, text in band.vrt_elements.items() if key not in LEGEND
    }
    if band.interpretation == "palette":
        # what interpolation makes of indices is gray, and needs all values of the dtype
        band = replace(band, interpretation="gray", bits=None)
    elif band.dtype.startswith("float"):
        band = replace(band, bits=None)
    return replace(band, vrt_elements=vrt_elements)


def _groups(smooth: Numbers, composite: Numbers) -> tuple[Numbers, ...]:
    """Return positions among smooth bands: those of a composite together, others alone."""
    groups: list[Numbers] = [
        (index,) for index, band in enumerate(smooth) if band not in composite
    ]
    if composite:
        groups.append(tuple(map(smooth.index, composite)))
    return tuple(sorted(groups, key=min))


def _palette_layout(info: RasterInfo) -> BandLayout:
    """Return the layout of the only band as the colours of its palette."""
    band = info.bands[0]
    table = np.zeros((int(np.iinfo(band.dtype).max) + 1, 4), np.uint8)
    values = []
    for value, colour in (info.palette or {}).items():
        if 0 <= value < len(table):
            values.append(value)
            table[value] = colour
    # as in scanned plans of one bit: three equal bands would triple the work and the
    # file
    is_gray = bool((table[values, :3] == table[values, :1]).all())
    has_alpha = band.nodata is not None or bool((table[values, 3] < 255).any())
    if band.nodata is not None:
        table[int(band.nodata), 3] = 0
    names = list(COLOURS)
    note = "palette turned into RGB"
    if is_gray:
        names = ["gray"]
        note = "palette turned into gray"
    smooth = tuple(range(len(names)))
    if has_alpha:
        names.append("alpha")
        note += " and alpha"
    return BandLayout(
        bands=(1,),
        smooth=smooth,
        groups=(smooth,),
        alpha=0 if has_alpha else None,
        palette=table,
        # the metadata of a palette describe its indices, not colours
        outputs=tuple(BandInfo(dtype="uint8", interpretation=name) for name in names),
        note=note,
        dtype="uint8",
    )


def find_rgb(
    info: RasterInfo, candidates: Numbers, rgb: Sequence[int] | None
) -> tuple[Numbers, str]:
    """Return the bands that are R, G and B, none or three, and a note for the user."""
    if rgb is not None and not rgb:
        return (), ""  # the user has said that none are
    if rgb is not None:
        _check_numbers(info, "--rgb", rgb)
        if not set(rgb) <= set(candidates):
            raise UsageError(
                f"--rgb {_join(rgb)}: give bands that are kept; neither alpha nor classes, which "
                "--classes no takes for colours"
            )
        return tuple(rgb), ""
    bands = [info.band(number) for number in candidates]
    called = [(band.interpretation, True) for band in bands]
    described = list(map(_described_colour, bands))
    are_measures = any(map(_is_measure, bands))
    if are_measures:
        called = []  # three bands of bytes are red, green and blue to GDAL
    for names in (called, described):
        indices = _one_of_each(names)
        if indices:
            return tuple(candidates[index] for index in indices), ""
    if are_measures or any(map(_is_step, bands)) or _are_dates(bands):
        return (), ""
    if len(candidates) in (3, 4):
        composite = candidates[:3]
        listed = _join(composite)
        note = f"bands {listed} are taken for red, green, blue; --rgb names others"
        return composite, note
    if len(candidates) < 3:
        return (), ""
    return (), (
        f"{len(candidates)} bands, each enlarged alone; --rgb names three that go together"
    )


def _is_step(band: BandInfo) -> bool:
    """Tell if a band is a step of time, a level or a quantity of a model, and no colour."""
    return any(key.startswith(_STEP_TAGS) for key in band.tags.get("", {}))


def _is_measure(band: BandInfo) -> bool:
    """Tell if the name of a band is that of a measurement, such as ``ndvi_2021``."""
    return not NAMES["measures"].isdisjoint(re.findall("[a-z]+", _name_of(band)))


def _are_dates(bands: Sequence[BandInfo]) -> bool:
    """Tell if each of the bands is named after a year or a day of its own."""
    dates = {"".join(_DATE.findall(_name_of(band))) for band in bands}
    return "" not in dates and 1 < len(dates) == len(bands)


def _name_of(band: BandInfo) -> str:
    """Return the name of a band as the file has it, in lower case."""
    return re.sub("<[^>]*>", "", band.vrt_elements.get("Description", "")).lower()


def _one_of_each(names: list[tuple[str, bool]]) -> list[int]:
    """Return the indices of red, green and blue; none if one is missing or there twice.

    Names are those of colours, and if they are exact: of PlanetScope's bands ``blue`` and
    ``coastal_blue`` the first is blue.
    """
    indices = []
    for colour in COLOURS:
        exact = [index for index, name in enumerate(names) if name == (colour, True)]
        close = [index for index, name in enumerate(names) if name[0] == colour]
        matches = exact or close
        if len(matches) != 1:
            return []
        indices.append(matches[0])
    return indices


def _described_colour(band: BandInfo) -> tuple[str, bool]:
    """Return red, green or blue if the name of a band says so, such as ``B04``; else nothing.

    The numbers are those of Sentinel-2 and Landsat 8 and 9. The second value is True for
    a name that says nothing more.
    """
    words = re.findall("[a-z0-9]+", _name_of(band))
    if not words or not NAMES["beyond_colours"].isdisjoint(words):
        return "", False
    for colour, letter, number in zip(COLOURS, "rgb", "432", strict=True):
        if colour in words or words == [letter]:
            return colour, len(words) == 1
        names_other = not set(COLOURS).isdisjoint(words)
        bands = {f"b{number}", f"b0{number}", f"band{number}"}
        if not names_other and not bands.isdisjoint(words):
            return colour, len(words) == 1
    return "", False


def _output_dtype(
    info: RasterInfo, colour_bands: Numbers, smooth: Numbers, alpha: int | None
) -> str:
    """Return the dtype of the smooth bands; refuse one that cannot hold the other bands."""
    of_this_dtype = smooth or colour_bands
    dtype = info.band(of_this_dtype[0]).dtype
    numbers = colour_bands
    if alpha is not None:
        numbers += (alpha,)
        of_this_dtype += (alpha,)
    is_held = True
    for number in numbers:
        other_dtype = info.band(number).dtype
        if number in of_this_dtype:
            is_held &= other_dtype == dtype
        else:
            is_held &= np.can_cast(other_dtype, dtype)
    if is_held:
        return dtype
    dtypes = sorted({info.band(number).dtype for number in numbers})
    raise PictureError(
        f"{info.path}: bands {_join(sorted(set(numbers)))} hold values of several kinds "
        f"({', '.join(dtypes)}); choose bands of one kind by --bidx"
    )


def _check_numbers(info: RasterInfo, option: str, bands: Sequence[int]) -> None:
    if max(bands) > len(info.bands):
        raise PictureError(
            f"{info.path}: has {len(info.bands)} band(s), so {option} {_join(bands)} does not fit"
        )


def choose_window(
    info: RasterInfo,
    *,
    srcwin: Sequence[int] | None = None,
    bounds: Sequence[float] | None = None,
) -> tuple[Window, tuple[str, ...]]:
    """Return the window that --srcwin, --bounds or --cutline ask for, and notes for the user.

    ``srcwin`` is (column, row, width, height) in pixels from the upper left corner,
    ``bounds`` (left, bottom, right, top) in the file's coordinate system: all pixels
    that they touch are taken, also of rotated rasters. Without any, the window is the
    whole file; what lies beyond the file is cut off.
    """
    option = "--srcwin"
    notes: list[str] = []
    requested = Window(top=0, left=0, height=info.height, width=info.width)
    if bounds is not None:
        option = "--bounds"
        requested = _enclosing(info, bounds, notes)
    elif info.cutline is not None:
        option = "--cutline"
        requested = info.cutline.window()
    elif srcwin is not None:
        column, row, width, height = srcwin
        if min(width, height) < 1:
            raise UsageError(
                f"--srcwin {_join(srcwin)}: give a width and a height of at least 1"
            )
        requested = Window(top=row, left=column, height=height, width=width)
    row = max(requested.top, 0)
    column = max(requested.left, 0)
    height = min(requested.bottom, info.height) - row
    width = min(requested.right, info.width) - column
    if min(width, height) < 1:
        extent = f"has {info.width}x{info.height} pixels"
        transform = info.georeference["transform"]
        if transform is not None:
            box = bounding_box(transform, (0, 0, info.width, info.height))
            extent += f" and bounds {_join(box)}"
        raise PictureError(
            f"{info.path}: {option} lies outside the file, which {extent}"
        )
    window = Window(top=row, left=column, height=height, width=width)
    if window != requested:
        notes = [
            f"{option} reaches beyond the file: {width}x{height} pixels from column {column}, "
            f"row {row} are used"
        ]
    return window, tuple(notes)


def _enclosing(info: RasterInfo, bounds: Sequence[float], notes: list[str]) -> Window:
    """Return the window that encloses bounds; a note is added if it is larger than they are."""
    is_finite = all(map(math.isfinite, bounds))
    if not is_finite or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise UsageError(
            f"--bounds {_join(bounds)}: give left,bottom,right,top with left < right, bottom < top"
        )
    transform = info.georeference["transform"]
    if transform is None or transform.is_degenerate:
        georeference = "no place on the map"
        if info.georeference["gcps"]:
            georeference = "ground control points only"
        raise PictureError(
            f"{info.path}: has {georeference}, so --bounds cannot be found; use --srcwin"
        )
    exact = bounding_box(~transform, bounds)
    window = exact.enclosing_window()
    snapped = (window.left, window.top, window.right, window.bottom)
    if not np.allclose(snapped, exact, rtol=0, atol=SLACK):
        box = _join(bounding_box(transform, snapped))
        notes.append(
            f"--bounds snapped outwards to whole pixels: {box} (left,bottom,right,top)"
        )
    return window


def _join(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:.12g}" for number in numbers)
