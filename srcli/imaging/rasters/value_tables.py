"""Read Esri's tables of classes, NAME.tif.vat.dbf, which GDAL before 3.12 does not."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from srcli.files import read_input
from srcli.imaging.rasters.dataset_names import DatasetName

_SUFFIX = ".vat.dbf"
NAME = "GDALRasterAttributeTable"
"""Element of GDAL's VRT format."""
_FIELD = np.dtype({
    "names": ("name", "kind", "length", "decimals"),
    "formats": ("S11", "S1", "u1", "u1"),
    "offsets": (0, 11, 16, 17),
    "itemsize": 32,
})  # fmt: skip
"""A column in the header of a dBASE file, which begins with as many bytes of its own."""
_USAGES = {"value": 5, "count": 1, "red": 6, "green": 7, "blue": 8, "": 2}
"""Numbers of GDAL for what columns are, by their names: GFU_MinMax, GFU_PixelCount ...; the
first of texts is the name."""


def find_value_table(path: Path) -> Path | None:
    """Return the table of classes beside a raster; None without one."""
    if isinstance(path, DatasetName):
        return None
    for table in (path.with_name(path.name + _SUFFIX), path.with_suffix(_SUFFIX)):
        if table.is_file():
            return table
    return None


def read_value_table(path: Path) -> str:
    """Return the table beside a raster as GDAL's attribute table in XML; empty without one."""
    table = find_value_table(path)
    if table is not None:
        # what is damaged names no classes
        with suppress(OSError, struct.error, ValueError):
            return _as_attribute_table(read_input(table))
    return ""


def _as_attribute_table(content: bytes) -> str:
    """Convert a dBASE file; numbers with decimals are floats, the first text is the name."""
    row_count, start = struct.unpack_from("<IH", content, 4)
    columns = np.frombuffer(
        content, _FIELD, start // _FIELD.itemsize - 1, _FIELD.itemsize
    )
    kinds = [("deleted", "S1")]
    definitions = ""
    usages = {**_USAGES}
    for index, (title, kind, length, decimals) in enumerate(columns.tolist()):
        name = title.partition(b"\0")[0]
        kinds.append((str(index), f"S{length}"))
        is_text = kind not in (b"N", b"F")
        key = "" if is_text else name.decode("latin-1").lower()
        number = 2 if is_text else int(decimals > 0)
        definitions += (
            f'<FieldDefn index="{index}"><Name>{_as_xml(name)}</Name><Type>{number}</Type>'
            f"<Usage>{usages.pop(key, 0)}</Usage></FieldDefn>"
        )
    rows = ""
    for index, cells in enumerate(
        np.frombuffer(content, kinds, row_count, start).tolist()
    ):
        texts = "".join(f"<F>{_as_xml(cell)}</F>" for cell in cells[1:])
        rows += f'<Row index="{index}">{texts}</Row>'
    return f'<{NAME} tableType="thematic">{definitions}{rows}</{NAME}>'


def _as_xml(cell: bytes) -> str:
    try:
        text = cell.decode()
    except UnicodeDecodeError:
        text = cell.decode("latin-1")
    return escape(text.strip())
