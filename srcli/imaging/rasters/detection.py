"""Tell rasters from photographs by their tags, the files beside them, or their formats."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.imaging import tiff
from srcli.imaging.formats import format_of_content
from srcli.imaging.ifd import Entry, Layout, numbers, read_directory, read_start
from srcli.imaging.opening import LARGEST_AREA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

RASTER_SUFFIXES = frozenset(
    {
        ".vrt", ".gtiff", ".gtif", ".jp2", ".j2k", ".jpf", ".jpx", ".img", ".mrf", ".ntf", ".nitf",
        ".bil", ".bip", ".bsq", ".flt", ".hgt", ".dt0", ".dt1", ".dt2", ".ers", ".pix", ".rst",
        ".sdat", ".bag", ".gti",
    }
)  # fmt: skip
"""Lower-case suffixes of rasters that a search of a folder finds besides those of photographs; only
unambiguous ones. Files given by name may have any."""

# Formats of photographs that GDAL georeferences by files beside them, and such parts of .aux.xml.
_WITH_SIDECARS = frozenset({"png", "jpg", "gif", "bmp", "webp", "tif"})
_GEOREFERENCES = (b"<SRS", b"<GeoTransform", b"<GCPList", b"<GeodataXform", b'domain="RPC"')
# Other files beside a picture: the end of their name after its stem, a word in them, their meaning.
_COMPANIONS = (
    ("_RPC.TXT", b"LINE_OFF", "a sensor model"),
    ("_rpc.txt", b"LINE_OFF", "a sensor model"),
    (".RPB", b"lineOffset", "a sensor model"),
    (".rpb", b"lineOffset", "a sensor model"),
    (".tab", b"!table", "a place on the map"),
    (".TAB", b"!table", "a place on the map"),
)

_TAGS = {
    33550: "a place on the map (GeoTIFF)",
    33922: "a place on the map (GeoTIFF)",
    34264: "a place on the map (GeoTIFF)",
    34735: "a coordinate system (GeoTIFF)",
    50844: "a sensor model (RPC)",
    42112: "GDAL's tags",
    42113: "a nodata value",
}
_KIND, _WIDTH, _HEIGHT, _BITS, _SAMPLES, _FORMAT = 254, 256, 257, 258, 277, 339
_IS_MASK = 4  # a bit of _KIND
_MOST_PAGES = 32  # a mask comes among the overviews of the first picture, not behind others


def raster_reason(path: Path) -> str | None:
    """Return the reason to read a file as a raster and not as a photograph.

    Headers and files beside it decide; formats other than those of photographs are rasters if GDAL
    opens them.

    Returns:
        The property that photographs lack, for the user; None for photographs and unreadable
        files.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
            name = format_of_content(head)
            reason = _tiff_reason(path, stream) if name == "tif" else None
    except OSError:
        return None
    if reason is None and name in _WITH_SIDECARS:
        return _sidecar_reason(path)
    if name is not None:
        return reason
    return _gdal_reason(path) if head else None


def _tiff_reason(path: Path, stream: IO[bytes]) -> str | None:
    def read(at: int, length: int) -> bytes:
        stream.seek(at)
        return stream.read(length)

    try:
        layout, first = read_start(read(0, 16))
        entries, following = read_directory(read, first, layout)
    except ValueError:
        return None  # damaged: reading it as a photograph reports it
    tags = {entry.tag: entry for entry in entries}
    for tag, reason in _TAGS.items():
        if tag in tags:
            return reason
    samples, bits, kind = (_first(tags, tag, layout) for tag in (_SAMPLES, _BITS, _FORMAT))
    if _has_mask(read, following, layout):
        return "a mask of valid pixels"
    if kind == 3 and bits == 64:
        return "64-bit floats"
    if _first(tags, _WIDTH, layout) * _first(tags, _HEIGHT, layout) > LARGEST_AREA:
        return "more pixels than a photograph"
    try:
        tiff.read_header(path, stream)
    except PictureError:
        return f"{samples} band(s) of {bits} bits, of a kind that photographs have not"
    except ValueError:
        return None
    return None


def _has_mask(read: Callable[[int, int], bytes], at: int, layout: Layout) -> bool:
    """Tell if one of the further pages is a mask of the first."""
    try:
        for _ in range(_MOST_PAGES):
            if not at:
                return False
            entries, at = read_directory(read, at, layout)
            if _first({entry.tag: entry for entry in entries}, _KIND, layout) & _IS_MASK:
                return True
    except ValueError:  # further pages of a photograph may be damaged
        pass
    return False


def _first(tags: dict[int, Entry], tag: int, layout: Layout) -> int:
    return int(numbers(tags[tag], layout)[0]) if tag in tags else 1


def _sidecar_reason(path: Path) -> str | None:
    """Find a file beside a picture that georeferences or masks it."""
    ending = path.suffix.lower().removeprefix(".")
    worlds = ["wld"] if not ending else ["wld", f"{ending[0]}{ending[-1]}w", f"{ending}w"]
    for world in worlds:
        for suffix in (f".{world}", f".{world.upper()}"):
            if _is_world_file(path.with_suffix(suffix)):
                return f"a place on the map ({path.with_suffix(suffix).name})"
    for tail, word, what in _COMPANIONS:
        companion = path.with_name(path.stem + tail)
        if word in _beginning(companion):
            return f"{what} ({companion.name})"
    mask = path.with_name(f"{path.name}.msk")
    if os.path.isfile(mask):  # noqa: PTH113 - pathlib raises for names too long
        return f"a mask of valid pixels ({mask.name})"
    extra = path.with_name(f"{path.name}.aux.xml")
    text = _beginning(extra)
    if any(one in text for one in _GEOREFERENCES):
        return f"a place on the map ({extra.name})"
    return f"a nodata value ({extra.name})" if b"<NoDataValue" in text else None


def _beginning(path: Path) -> bytes:
    """Read the first bytes of a file; none if it is missing."""
    try:
        with path.open("rb") as stream:
            return stream.read(2**20)
    except OSError:
        return b""


def _is_world_file(path: Path) -> bool:
    """Tell if a file is a world file: six numbers, one a line."""
    try:
        with path.open("rb") as stream:
            words = stream.read(1024).split()
        return len([float(word) for word in words[:6]]) == 6
    except (OSError, ValueError):
        return False


def _gdal_reason(path: Path) -> str | None:
    from srcli.imaging.rasters.opening import open_raster

    try:
        dataset = open_raster(path)
    except PictureError:
        # GDAL's error explains more than that it is no photograph
        return "a suffix of rasters" if path.suffix.lower() in RASTER_SUFFIXES else None
    with dataset:
        return f"a format of GDAL ({dataset.driver})"
