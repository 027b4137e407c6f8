"""Tell if a raster has changed by all files that it consists of, and not by the first alone.

A world file, ``.aux.xml``, ``.msk``, ``.hdr`` or ``.RPB`` beside a raster, and the tiles of
a mosaic, change what comes out as much as the file itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree as ET

from srcli.errors import PictureError
from srcli.files import checksum, file_state, open_input, read_input
from srcli.imaging.files.formats import (
    INDIRECT_SUFFIXES,
    RASTER_SUFFIXES,
    READABLE_SUFFIXES,
    VIDEO_SUFFIXES,
)
from srcli.imaging.files.provenance import content_checksum, input_id
from srcli.imaging.rasters.dataset_names import DatasetName, is_remote

_DERIVED_SUFFIXES = (".ovr", ".rrd")
"""Of overviews, which are made from the pixels."""
_MOSAIC_DRIVERS = frozenset({"STACIT", "MRF", "VRT"})
_LARGEST_WHOLE = 2**20
"""Bytes of a file that is read whole; of larger ones a piece is."""
_MOST_READ = 64
"""Most files that are read; of more, names and sizes count, and their times."""
_PICTURES = READABLE_SUFFIXES | RASTER_SUFFIXES | VIDEO_SUFFIXES


def find_companions(path: Path, files: Iterable[str]) -> list[Path]:
    """Return which of a raster's files, except itself, decide on what comes out.

    Left out are overviews, and a ``.aux.xml`` that holds nothing but statistics, which
    viewers write when they show a raster.
    """
    companions = []
    itself = None if isinstance(path, DatasetName) else path.resolve()
    for name in files:
        file = Path(name)
        if (
            file.resolve() == itself
            or name.lower().endswith(_DERIVED_SUFFIXES)
            or not file.is_file()
        ):
            continue
        if not name.lower().endswith(".aux.xml") or _without_statistics(file):
            companions.append(file)
    return companions


def checksum_of(companions: list[Path]) -> str:
    """Return a checksum of companions by their names and contents; empty for none."""
    words = []
    for file in sorted(companions):
        state = f"{file.name} "
        with suppress(OSError), open_input(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            if file.name.lower().endswith(".aux.xml"):
                state += checksum(_without_statistics(file))
            elif len(companions) > _MOST_READ:
                state += str(size)
            elif size <= _LARGEST_WHOLE:
                state += checksum(stream.read())
            else:
                state += content_checksum(stream)
        words.append(state)
    return checksum(os.fsencode("\n".join(words))) if words else ""


def source_id(path: Path, files: Iterable[str], main_id: str = "") -> str:
    """Return the ``input_id`` of a raster of some files, with a word more for its companions."""
    main_id = main_id or input_id(path)
    companions = checksum_of(find_companions(path, files))
    return f"{main_id} {companions}" if companions else main_id


def companions_on_disk(path: Path, *, had_some: bool = True) -> list[Path]:
    """Return the companions of an input on disk as they are now.

    Of one that had none before, GDAL is asked only where there is a file that may be
    one: to look at every picture of a large folder would take minutes.
    """
    # such as the headers of raw pixels
    is_rare = path.suffix.lower() not in READABLE_SUFFIXES
    if isinstance(path, DatasetName):
        may_have_some = not is_remote(str(path))
    elif had_some or is_rare or is_mosaic(path):
        may_have_some = True
    else:
        folder = path.parent
        may_have_some = _start_of(path.name) in _starts_beside(
            folder, file_state(folder)
        )
    if may_have_some:
        from srcli.imaging.rasters.opening import dataset_files, open_raster

        with suppress(PictureError), open_raster(path) as dataset:
            return find_companions(path, dataset_files(path, dataset))
    return []


def _start_of(name: str) -> str:
    return name.lower().removesuffix("_rpc.txt").partition(".")[0]


def is_mosaic(path: Path) -> bool:
    """Tell by its name if a raster is made of other files."""
    if isinstance(path, DatasetName):
        return str(path).partition(":")[0].upper() in _MOSAIC_DRIVERS
    return path.suffix.lower() in INDIRECT_SUFFIXES | {".json", ".geojson"}


@lru_cache(maxsize=64)
def _starts_beside(folder: Path, state: tuple[int, int] | None) -> frozenset[str]:
    """Return the names, up to the first dot, of files of a folder that are no pictures.

    By a new ``state`` of the folder, which has its time, it is read again.
    """
    starts = set()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.lower()
            if os.path.splitext(name)[1] not in _PICTURES:  # noqa: PTH122
                starts.add(_start_of(name))
    return frozenset(starts)


def _without_statistics(file: Path) -> bytes:
    """Return what a ``.aux.xml`` says besides statistics and histograms; empty for nothing."""
    try:
        content = read_input(file)
        root = ET.fromstring(content)
    except (OSError, ET.ParseError):
        return b"damaged"
    _drop_statistics(root)
    return ET.tostring(root) if len(root) else b""


def _drop_statistics(element: ET.Element) -> None:
    for child in list(element):
        _drop_statistics(child)
        is_statistic = child.get("key", "").startswith("STATISTICS_")
        is_empty = child.tag in ("Metadata", "PAMRasterBand") and not len(child)
        if child.tag == "Histograms" or is_statistic or is_empty:
            element.remove(child)
