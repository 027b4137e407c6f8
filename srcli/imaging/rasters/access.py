"""Decide what GDAL may read for a raster: files, and the network only where that is allowed.

Mosaics (VRT) and other files in XML name further files. Those that a search of a folder has found,
which nobody has named, read nothing outside their own folder.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.etree.ElementTree import Element, ParseError, XMLParser, iterparse

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging.formats import format_of_content
from srcli.imaging.rasters.names import NETWORK_DRIVERS, REMOTE, DatasetName, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFLINE = {
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",  # the only file of /vsicurl/, /vsis3/ ... there is
    "GDAL_HTTP_PROXY": "offline://none",  # drivers: libcurl refuses proxies of unknown kinds
}
"""Options of GDAL that end every request before a connection is made."""
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
_INDEX_DRIVERS = frozenset({"GTI", "STACTA"})  # name files in other files than XML
_NETWORK = re.compile(rf"{REMOTE}|(?<!vrt)://|\b({'|'.join(NETWORK_DRIVERS)}):", re.I)
_SOURCES = frozenset({"sourcefilename", "sourcedataset"})
_ELSEWHERE = re.compile(r"\s*([/\\<]|\w+:)|(.*[/\\])?\.\.([/\\]|$)|.*/vsi", re.I | re.S)
"""Texts that may name something outside a folder."""
_WORDS = re.compile(r".*srs|description|categor\w+|unittype|metadata", re.I)
"""Elements of texts that name no files; metadata of other domains than the default one may."""
_HEAD = 4096
_MOSAIC = b"<VRTDataset"
_JP2 = (b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")


@contextmanager
def network(*, allowed: bool) -> Iterator[None]:
    """Keep the whole process off the network, unless it is allowed.

    ``OFFLINE`` leaves out servers that the environment exempts from proxies, and libraries that
    make requests of their own.
    """
    before = dict(os.environ)
    if not allowed:
        os.environ.update(dict.fromkeys(_PROXIES, OFFLINE["GDAL_HTTP_PROXY"]))
        for name in ("no_proxy", "NO_PROXY"):
            os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in {*_PROXIES, "no_proxy", "NO_PROXY"}:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


@cache
def allowed_drivers(
    *, remote: bool, confined: bool = False, in_archive: bool = False
) -> tuple[str, ...]:
    """Return the names of GDAL's drivers that may open a file; no mosaics where none is checked."""
    import rasterio

    refused = frozenset() if remote else NETWORK_DRIVERS
    refused |= _INDEX_DRIVERS if confined or in_archive else frozenset()
    refused |= {"VRT"} if in_archive else frozenset()
    with rasterio.Env() as env:
        return tuple(name for name in env.drivers() if name not in refused)


def check_sources(path: Path, *, remote: bool, confined: bool) -> None:
    """Check the names of further files in a mosaic, and in the mosaics that it is made of.

    Args:
        path: Any input; those in no XML pass, and without ``confined`` those in any but VRT.
        remote: The network may be used.
        confined: Nothing outside its own folder may be read, except by links to the file itself.

    Raises:
        PictureError: If it would read what it may not, or cannot be read itself.
    """
    waiting, done = [path], set()
    if isinstance(path, DatasetName):
        if not remote and is_remote(str(path)):
            raise PictureError(f"{path}: is read from the network; --allow-remote permits that")
        # in archives, drivers of mosaics are off
        waiting = [] if path.in_archive or path.container is None else [path.container]
    while waiting:
        file = Path(os.path.realpath(waiting.pop()))
        if file in done:
            continue
        done.add(file)
        try:
            with open_input(file) as stream:
                head = stream.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
                if not head.startswith(b"<") or not (confined or _MOSAIC in head):
                    continue
                stream.seek(0)
                waiting += _check_names(path, file, stream, remote=remote, confined=confined)
        except OSError:
            continue  # reading it tells the reason
        except ParseError as error:
            raise PictureError(f"{file}: its XML is damaged ({error}); export it again") from error


def _check_names(
    path: Path, file: Path, stream: IO[bytes], *, remote: bool, confined: bool
) -> list[Path]:
    """Check one file in XML; return the local mosaics that it names."""
    nested = []
    for name, place, inside in _names(stream):
        if not remote and _NETWORK.search(name):
            raise PictureError(
                f"{path}: reads {name!r} from the network; --allow-remote permits that"
            )
        if place is None:
            if confined and _ELSEWHERE.match(name):
                raise _outside(path, name)
            continue
        source = file.parent / name if place else Path(name).absolute()
        real = Path(os.path.realpath(source))
        if (confined or inside) and not real.is_relative_to(file.parent):
            raise _outside(path, name)
        if confined and not inside and real.exists() and not _is_plain(real):
            raise _outside(path, name)
        if confined or real.suffix.lower() == ".vrt":
            nested.append(real)
    return nested


def _outside(path: Path, name: str) -> PictureError:
    return PictureError(
        f"{path}: reads {name!r}, which is no picture in its own folder; if you trust it, name "
        "the file itself, and its raw bands as GeoTIFFs"
    )


def _names(stream: IO[bytes]) -> Iterator[tuple[str, bool | None, bool]]:
    """Yield the texts of a file in XML that may name files.

    Yields:
        The text; True if it names a source relative to the file, False if it names one otherwise,
        None for other texts; True for the source of a raw band, whose bytes are copied.
    """
    if stream.read(3) != b"\xef\xbb\xbf":
        stream.seek(0)
    raw, skipped = False, 0
    # GDAL takes bytes as they are, and so does this encoding
    for event, element in iterparse(stream, ("start", "end"), XMLParser(encoding="latin-1")):
        tag = element.tag.lower()
        words = _WORDS.fullmatch(tag) is not None and _attribute(element, "domain") is None
        if event == "start":
            skipped += words
            raw = _attribute(element, "subclass") == "VRTRawRasterBand" if "band" in tag else raw
            continue
        skipped -= words
        if not skipped and not words:
            for text, place in _texts(element):
                yield _as_path(text), place, raw and place is not None
        for child in element:
            child.clear()


def _texts(element: Element) -> Iterator[tuple[str, bool | None]]:
    """Yield the texts and values of an element, each with its place as ``_names`` does."""
    place = None
    if element.tag.lower() in _SOURCES:
        place = _attribute(element, "relativetovrt") == "1"
    for text in (element.text, *(child.tail for child in element)):
        if text and text.strip():
            yield text, place
    for key, value in element.attrib.items():
        if not key.startswith("{"):  # of XML itself
            yield value, False if key.lower() in _SOURCES else None


def _attribute(element: Element, name: str) -> str | None:
    return next((value for key, value in element.attrib.items() if key.lower() == name), None)


def _as_path(text: str) -> str:
    try:
        return os.fsdecode(text.encode("latin-1"))
    except UnicodeEncodeError:
        return text


def _is_plain(file: Path) -> bool:
    """Return True for pictures that hold their pixels, and for mosaics, which are checked."""
    try:
        with open_input(file) as stream:
            head = stream.read(_HEAD)
    except OSError:
        return False
    return format_of_content(head) is not None or head.startswith(_JP2) or _MOSAIC in head
