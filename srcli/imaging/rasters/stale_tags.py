"""Keep the tags of a raster true once its pixels are others: leave out or fit what tells of a grid.

Many formats repeat in their metadata what the header says: rows and columns, the size
of a pixel, corners, zoom levels, counts of pixels. Copied as it is, it would describe
the input. ``stale_tags.toml`` has the rules.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from srcli.files import shipped_text

_TABLE = tomllib.loads(shipped_text("stale_tags.toml", "srcli.imaging.rasters"))
STRUCTURE = frozenset(_TABLE["structure"].split())
"""Namespaces of tags, in lower case, that describe the structure of the file, or are kept
in fields of their own."""
_COUNT = "1"
"""Usage of a column of pixel counts in GDAL's attribute tables (GFU_PixelCount)."""
_COUNT_NAMES = frozenset({"count", "histogram", "pixelcount", "pixel_count"})


@dataclass(frozen=True)
class _Rule:
    """A row of ``stale_tags.toml``, which explains the fields."""

    namespace: str
    key: str
    text: str = ".*"
    when: str = ""
    unless: str = "(?!)"  # no key
    is_divided: bool = False

    def fits(self, key: str, text: str) -> bool:
        """Tell if a tag is one that the rule is for."""
        has_text = re.fullmatch(self.text, text, re.DOTALL)
        return bool(has_text and re.fullmatch(self.key, key))


_RULES = [_Rule(**row) for row in _TABLE["rules"]]


def is_outdated(key: str) -> bool:
    """Tell if a tag is wrong for any other pixels than those of the input."""
    return bool(re.fullmatch(_TABLE["outdated"], key))


def fit_tags(
    tags: Mapping[str, Mapping[str, str]],
    scale: int,
    *,
    is_part: bool,
    keeps_bands: bool,
) -> dict[str, Mapping[str, str]]:
    """Return the tags of a raster, by namespace, as they are true for it or a part, enlarged.

    ``keeps_bands`` says that the output has the bands of the input in their order.
    """
    is_due = {"": True, "part": is_part, "other bands": not keeps_bands}
    fitted: dict[str, Mapping[str, str]] = {"": {}}
    for namespace, items in tags.items():
        rules = []
        for rule in _RULES:
            is_meant = rule.namespace == namespace and is_due[rule.when]
            if is_meant and not any(re.fullmatch(rule.unless, key) for key in items):
                rules.append(rule)
        lasting = {}
        for key, text in items.items():
            fitting = next((rule for rule in rules if rule.fits(key, text)), None)
            if fitting is None:
                lasting[key] = text
            elif fitting.is_divided:
                with suppress(ValueError):
                    lasting[key] = f"{float(text) / scale:.12g}"
        if lasting:
            fitted[namespace] = lasting
    return fitted


def without_counts(text: str) -> str:
    """Return an attribute table of classes without its counts of pixels.

    One that cannot be read stays as it is.
    """
    try:
        table = ET.fromstring(text)
    except ET.ParseError:
        return text
    rows = table.findall("Row")
    columns = zip(
        table.findall("FieldDefn"), *[row.findall("F") for row in rows], strict=False
    )
    index = 0
    for definition, *cells in columns:
        usage = definition.findtext("Usage", "0")
        name = definition.findtext("Name", "").strip().lower()
        is_number = definition.findtext("Type", "0") in ("0", "1")
        if usage == _COUNT or (usage == "0" and is_number and name in _COUNT_NAMES):
            table.remove(definition)
            for row, cell in zip(rows, cells, strict=True):
                row.remove(cell)
        else:
            definition.set("index", str(index))
            index += 1
    return ET.tostring(table, "unicode").strip()
