"""Read Esri's tables of classes, NAME.tif.vat.dbf, which GDAL before 3.12 does not."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

from srcli.files import read_input
from srcli.imaging.rasters.dataset_names import DatasetName

_SUFFIX = ".vat.dbf"
_FIELDS = 32
"""Bytes of a dBASE file before its fields, and of each field."""
_USAGES = {"value": "5", "count": "1", "red": "6", "green": "7", "blue": "8"}
"""Numbers of GDAL for what columns are, by their names: GFU_MinMax, GFU_PixelCount ..."""
_NAME = "2"


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
            return ET.tostring(_as_attribute_table(read_input(table)), "unicode")
    return ""


def _as_attribute_table(content: bytes) -> ET.Element:
    """Convert a dBASE file; numbers with decimals are floats, the first text is the name."""
    row_count, start, row_bytes = struct.unpack_from("<IHH", content, 4)
    root = ET.Element("GDALRasterAttributeTable", tableType="thematic")
    lengths = []
    has_name = False
    for index, begin in enumerate(range(_FIELDS, start - 1, _FIELDS)):
        name, kind, length, decimals = struct.unpack_from("<11sc4xBB", content, begin)
        title = name.partition(b"\0")[0].decode("latin-1")
        is_number = kind in b"NF"
        usage = _USAGES.get(title.lower(), "0") if is_number else "0"
        if not is_number and not has_name:
            usage = _NAME
            has_name = True
        column = ET.SubElement(root, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = title
        ET.SubElement(column, "Type").text = (
            str(int(decimals > 0)) if is_number else "2"
        )
        ET.SubElement(column, "Usage").text = usage
        lengths.append(length)
    for index in range(row_count):
        begin = start + index * row_bytes
        record = content[begin : begin + row_bytes]
        if len(record) < row_bytes:
            raise ValueError("it ends before its last row")
        row = ET.SubElement(root, "Row", index=str(index))
        begin = 1  # behind the mark of deleted rows
        for length in lengths:
            cell = record[begin : begin + length]
            ET.SubElement(row, "F").text = _decoded(cell).strip(" \0")
            begin += length
    return root


def _decoded(cell: bytes) -> str:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell.decode("latin-1")
