"""List the tiles of GDAL's tile indexes, which GDAL itself keeps to itself.

A tile index (GTI) is a layer of vectors, each with the name of a raster; one of a STAC
item (STACTA) holds patterns of names.
"""

from __future__ import annotations

import json
import re
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from srcli.input_files import parse_text, read_input

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_DBF_HEADER = 32
"""Bytes of the header of a DBF file, and of each description of a field."""
_END_OF_FIELDS = 0x0D


def list_tiles(index: Path) -> tuple[str, ...]:
    """Return the files on disk that a tile index names, by any of its texts.

    Texts that name no file are left out, as an index has further columns. What cannot
    be read as an index gives nothing: GDAL has opened it, and tells the reason.
    """
    files: dict[str, None] = {}
    with suppress(OSError, ValueError, sqlite3.Error, ET.ParseError, struct.error):
        for text in _texts_of(index):
            for file in _files_of(text, index.absolute().parent):
                files[str(file)] = None
    return tuple(files)


def _texts_of(index: Path) -> Iterator[str]:
    """Yield the texts of an index, by the form that its first bytes tell."""
    with index.open("rb") as stream:
        head = stream.read(4096)
    form: Callable[[Path], Iterable[str]]
    if head.startswith(b"SQLite format 3"):
        form = _texts_of_geopackage
    elif b"<GDALTileIndexDataset" in head:
        form = _texts_of_description
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        form = _texts_of_json
    else:  # a shapefile, whose names lie beside it
        form = _texts_of_table
    yield from form(index)


def _files_of(text: str, folder: Path) -> Iterator[Path]:
    """Yield the files that a text names, from a folder and from that of the process."""
    if not text or "\0" in text or "://" in text or text.startswith("/vsi"):
        return
    if _PLACEHOLDER.search(text):
        pattern = _PLACEHOLDER.sub("*", text)
        if not Path(pattern).is_absolute():
            yield from sorted(folder.glob(pattern))
        return
    for path in (folder / text, Path(text).absolute()):
        with suppress(OSError):  # such as a name that is too long
            if path.is_file():
                yield path


def _texts_of_geopackage(index: Path) -> Iterator[str]:
    address = f"{index.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as database:
        contents = database.execute(
            "SELECT table_name FROM gpkg_contents WHERE data_type = 'features'"
        )
        for (table,) in contents.fetchall():
            quoted = str(table).replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{quoted}"'):
                for value in row:
                    if isinstance(value, str):
                        yield value


def _texts_of_description(index: Path) -> Iterator[str]:
    """Yield the texts of the index that a file ``.gti`` describes."""
    root = ET.fromstring(read_input(index))
    name = root.findtext("IndexDataset") or ""
    for file in _files_of(name, index.absolute().parent):
        yield name
        yield from list_tiles(file)


def _texts_of_json(index: Path) -> Iterator[str]:
    """Yield all texts of GeoJSON or of a STAC item, at any depth."""
    todo: list[Any] = [parse_text(read_input(index).decode("utf-8-sig"), json.loads)]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list):
            todo += value
        elif isinstance(value, str):
            yield value


def _texts_of_table(index: Path) -> Iterator[str]:
    """Yield the texts of the table beside a shapefile."""
    data = read_input(index.with_suffix(".dbf"))
    count, start, length = struct.unpack_from("<IHH", data, 4)
    fields = []
    offset = 1  # after the mark of deleted rows
    at = _DBF_HEADER
    while at + _DBF_HEADER <= len(data) and data[at] != _END_OF_FIELDS:
        width = data[at + 16]
        if data[at + 11 : at + 12] == b"C":
            fields.append((offset, width))
        offset += width
        at += _DBF_HEADER
    for number in range(count):
        row = data[start + number * length :][:length]
        for offset, width in fields:
            text = row[offset : offset + width].decode("utf-8", "replace")
            yield text.strip(" \0")
