"""Follow a mosaic to the files it is made of, and refuse those that a user would not expect.

A mosaic may name others, in archives or in its own text, and each may have bands that
copy bytes of any file. GDAL would read them all, so files are told by their first bytes
and not by their names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.files.tiff_pages import check_tiff, read_tiff_page

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

OpenByGdal = Callable[[str], "DatasetReader"]
COPIES_BYTES = "copies bytes of other files; give a mosaic of GeoTIFFs"
"""Reason for which raw bands outside a mosaic's folder are refused."""
REFUSED_BY_GDAL = "RAWRASTERBAND_ALLOWED"
"""Word in the message of GDAL 3.12 and newer, which refuses them itself."""
_HEAD = 4096
"""Bytes by which GDAL and this module tell what a file is; GDAL looks at fewer."""
_DEEPEST = 16
"""Most levels of mosaics within mosaics."""
_SOURCES = frozenset({"sourcefilename", "sourcedataset"})
_MRF_FILES = frozenset({"datafile", "indexfile"})
_NAME_OF_GDAL = re.compile(r"/vsi\w+/|[A-Za-z]\w+:|\s*<")
"""Beginning of names that GDAL opens though they are no files: in archives, by a driver's
name, or as text."""
_LONGEST_NAME = 4096
_DECLARATION = re.compile(r"<\?xml [^<>]*\?>")


def parse_vrt(text: str) -> ET.Element:
    """Parse GDAL's description of a raster; ``ET.ParseError`` if it is damaged.

    GDAL writes XML that is a tag, such as Sentinel-2's, with its declaration, which may
    only begin a document.
    """
    return ET.fromstring(_DECLARATION.sub("", text))


@dataclass
class Mosaic:
    """A mosaic that a user has named, and what was found on the way to its pixels."""

    path: Path
    online: bool
    """The network may be used."""
    is_remote: Callable[[str], bool]
    open: OpenByGdal
    files: dict[str, None] = field(default_factory=dict)
    """Files of mosaics within it, in the order in which they were found."""
    _seen: set[str] = field(default_factory=set)

    def follow(
        self, dataset: DatasetReader, folder: str, chain: tuple[str, ...]
    ) -> None:
        """Check an open mosaic and all that it names; ``chain`` are the mosaics around it.

        ``folder`` is its own, without links; empty in archives and on the network.
        """
        if len(chain) > _DEEPEST:
            raise PictureError(
                f"{self.path}: holds mosaics in mosaics, {len(chain)} deep"
            )
        text = dataset.tags(ns="xml:VRT").get("xml:VRT") or ""
        try:
            root = parse_vrt(text or "<none/>")
        except ET.ParseError as error:
            raise PictureError(
                f"{self.path}: its XML is damaged ({error}); export it again"
            ) from None
        is_raw = "vrtrawrasterband" in text.lower()
        for source in root.iter():
            name = source.text or ""
            if source.tag.lower() not in _SOURCES or not name:
                continue
            if not self.online and self.is_remote(name):
                raise PictureError(
                    f"{self.path}: reads {name!r} from the network; --allow-remote permits it"
                )
            if is_raw and not _is_inside(_resolved(name, folder, source), folder):
                raise self._copies_bytes()
        for name in [*dataset.files[1:], *_files_named(root, folder)]:
            self._visit(name, folder, chain)

    def _copies_bytes(self) -> PictureError:
        return PictureError(f"{self.path}: {COPIES_BYTES}")

    def _visit(self, name: str, folder: str, chain: tuple[str, ...]) -> None:
        if "/vsisparse/" in name:
            raise self._copies_bytes()
        if not os.path.isfile(name):  # noqa: PTH113 - there may be very many
            is_name = _NAME_OF_GDAL.match(name) and not self.is_remote(name)
            if is_name and name not in self._seen:
                self._seen.add(name)
                # a mosaic as text has the folder of that which holds it
                is_text = name.lstrip().startswith("<")
                self._open(name, folder if is_text else "", (*chain, name))
            return
        real = os.path.realpath(name)
        if real in chain:
            raise PictureError(f"{self.path}: is made of itself, by way of {name}")
        if real in self._seen:
            return
        self._seen.add(real)
        self.files[name] = None
        head = b""
        with suppress(OSError, ValueError), open_input(Path(name)) as stream:
            head = stream.read(_HEAD).lower()
            if head[:4] in (b"ii*\0", b"ii+\0", b"mm\0*", b"mm\0+"):
                check_tiff(self.path, read_tiff_page(stream), stream, name)
        if b"<vrtdataset" in head:
            self._open(name, str(Path(real).parent), (*chain, real))
        elif b"<mrf_meta" in head:
            self.follow_mrf(name, chain)

    def _open(self, name: str, folder: str, chain: tuple[str, ...]) -> None:
        """Follow what may be a mosaic; of what GDAL cannot open, reading tells the reason."""
        from rasterio.errors import RasterioIOError

        try:
            with self.open(name) as inner:
                if inner.driver == "VRT":
                    self.follow(inner, folder, chain)
        except RasterioIOError as error:
            if REFUSED_BY_GDAL in str(error):
                raise self._copies_bytes() from None

    def follow_mrf(self, name: str, chain: tuple[str, ...] = ()) -> None:
        """Check that the pixels of an MRF lie in its folder, and follow what it is a cache of."""
        folder = str(Path(os.path.realpath(name)).parent)
        with suppress(OSError, ET.ParseError):
            for element in ET.parse(name).getroot().iter():
                text = (element.text or "").strip()
                if not text:
                    continue
                path = _joined(folder, text)
                tag = element.tag.lower()
                if tag in _MRF_FILES and not _is_inside(path, folder):
                    raise self._copies_bytes()
                if tag == "source":
                    self._visit(path, folder, (*chain, os.path.realpath(name)))


def _files_named(root: ET.Element, folder: str) -> Iterator[str]:
    """Yield files that any text of a mosaic names; GDAL does not list overviews."""
    for element in root.iter():
        text = (element.text or "").strip()
        if text and len(text) < _LONGEST_NAME and not text.replace(".", "").isdigit():
            yield from filter(
                os.path.isfile, dict.fromkeys((_joined(folder, text), text))
            )


def _resolved(name: str, folder: str, source: ET.Element) -> str:
    """Return the path of a source of a mosaic in a folder, which may be relative to it."""
    for key, value in source.items():
        if key.lower() == "relativetovrt" and value == "1":
            return _joined(folder, name)
    return name


def _joined(folder: str, name: str) -> str:
    return os.path.join(folder, name)  # noqa: PTH118 - either may be a name of GDAL's


def _is_inside(name: str, folder: str) -> bool:
    return bool(folder) and Path(os.path.realpath(name)).is_relative_to(folder)
