"""FITS images, as telescopes and measuring cameras write them, for a GDAL without FITS.

The first image of a file is told to GDAL as a mosaic of one file, whose rows are read
where they stand, from below, and scaled by BSCALE and BZERO (FITS 4.0, section 4).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import isfinite, prod
from pathlib import Path
from typing import IO, TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from srcli.errors import PictureError
from srcli.imaging.files.decoding import decoding, quiet_libraries
from srcli.imaging.files.tiff_blocks import truncated_file
from srcli.imaging.rasters.dataset_names import DatasetName
from srcli.input_files import open_input

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

SIGNATURE = b"SIMPLE  ="
_EXTENSION = b"XTENSION"
_BLOCK = 2880
_CARD = 80
_MOST_CARDS = 36_000
_MOST_PLANES = 50
"""Planes of a cube: GDAL keeps a hundred sources of mosaics open, and may open none anew."""
_MOST_UNITS = 1000
"""Header and data units that are looked at for an image."""
_TYPES = {8: "Byte", 16: "Int16", 32: "Int32", -32: "Float32", -64: "Float64"}
_CARD_VALUE = re.compile(
    r"([A-Z0-9_-]{1,8}|HIERARCH +[^=']*[^=' ]) *= *('(?:[^']|'')*'|[^/]*)"
)
"""An entry; ESO's convention lets long names follow the word HIERARCH."""
_LONGER = re.compile(r"CONTINUE +('(?:[^']|'')*')")
"""A text that goes on (section 4.2.1.2)."""
_UNSIGNED = {(16, 32768.0): "UInt16", (32, 2147483648.0): "UInt32"}
"""Bits and BZERO of whole numbers without a sign."""
_OF_THE_FILE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|XTENSION|[PG]COUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM"
    r"|DATAM(?:IN|AX)|END"
)
_PLACE_ON_SKY = re.compile(
    r"WCSAXES|WCSNAME|C(?:TYPE|RPIX|RVAL|DELT|UNIT|ROTA|D|RDER|SYER)\d+(?:_\d+)?"
    r"|P[CVS]\d+_\d+|L(?:ON|AT)POLE|[AB]P?_(?:ORDER|\d+_\d+)"
)
_DAMAGED_BEHIND = "holds further pictures, which are damaged or cut short"
_INTEGERS_OF_64_BITS = 64
SKY_LEFT_OUT = "place on the sky (WCS) left out"


@dataclass(frozen=True)
class FitsImage:
    """Place of an image's pixels in a file, and what its header says."""

    width: int
    height: int
    planes: int
    bits: int
    """BITPIX: negative for floats."""
    start: int
    """Of the pixels in the file, in bytes."""
    scale: float
    zero: float
    blank: int | None
    """The number that stands for pixels without data."""
    texts: dict[str, str]
    """Entries that stay true."""
    notes: tuple[str, ...]

    @property
    def data_type(self) -> str:
        """GDAL's name for the type of the scaled values."""
        if self.scale == 1 and self.zero == 0 and self.blank is None:
            return _TYPES[self.bits]
        if self.scale == 1 and self.blank is None:
            unsigned = _UNSIGNED.get((self.bits, self.zero))
            if unsigned:
                return unsigned
        # Float32 holds whole numbers up to 2**24 alone
        return "Float64" if self.bits in (32, -64) else "Float32"


def is_fits(stream: IO[bytes]) -> bool:
    """Tell if a file is a FITS file."""
    stream.seek(0)
    return stream.read(len(SIGNATURE)) == SIGNATURE


def read_image(path: Path, stream: IO[bytes]) -> FitsImage:
    """Read the header of the first image; PictureError without one, or for a damaged file."""
    end = stream.seek(0, os.SEEK_END)
    at = 0
    image = None
    further = 0
    for _ in range(_MOST_UNITS):
        # what begins otherwise are special records, or what fills up a tape
        if at >= end or (at and not _is_extension(stream, at)):
            break
        try:
            cards, start = _read_header(path, stream, at)
            sides = _sides(path, cards)
            size = _data_size(path, cards, sides)
            if start + size > end:
                raise truncated_file(path, "its pixels are missing")
        except PictureError:
            if image is None:
                raise
            image = replace(image, notes=(*image.notes, _DAMAGED_BEHIND))
            break
        is_image = cards.get("XTENSION", "IMAGE").strip("' ") == "IMAGE"
        is_packed = cards.get("ZIMAGE", "").strip() == "T"
        if is_packed and image is None:
            raise PictureError(
                f"{path}: holds images that are compressed by fpack; unpack it first, by funpack"
            )
        if is_packed or (is_image and len(sides) >= 2 and size):
            if image is None:
                image = _image(path, cards, sides, start)
            else:
                further += 1
        at = start + -(-size // _BLOCK) * _BLOCK
    if image is None:
        raise PictureError(f"{path}: is a FITS file without an image")
    if further:
        note = f"holds {further + 1} pictures: only the first is used"
        return replace(image, notes=(*image.notes, note))
    return image


def fits_image(path: Path, stream: IO[bytes] | None = None) -> FitsImage | None:
    """Return the image of a FITS file; None for other files, and for names of datasets.

    What is warped in memory has a name, and no file of it.
    """
    if isinstance(path, DatasetName) or not (stream or path.exists()):
        return None
    with (
        decoding(path),
        nullcontext(stream) if stream else open_input(path) as opened,
    ):
        return read_image(path, opened) if is_fits(opened) else None


def open_fits(image: FitsImage, name: str) -> DatasetReader:
    """Open the image of a FITS file by GDAL; ``name`` is that of the file."""
    import rasterio
    from rasterio.io import DatasetReader

    # GDAL lets mosaics read rows of no file but those beside them, and opens sources
    # when they are first read
    with rasterio.Env(GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE="ALL"), quiet_libraries():
        dataset = DatasetReader(describe_for_gdal(image, name), sharing=False)
        dataset.read(window=((0, 1), (0, 1)))
    return dataset


def _is_extension(stream: IO[bytes], at: int) -> bool:
    """Tell if a further header begins here."""
    stream.seek(at)
    return stream.read(len(_EXTENSION)) == _EXTENSION


def _data_size(path: Path, cards: dict[str, str], sides: list[int]) -> int:
    """Return the bytes of the data that a header describes (FITS 4.0, section 4.4.1)."""
    parameters = _whole(path, cards, "PCOUNT", 0)
    groups = _whole(path, cards, "GCOUNT", 1)
    # fewer than none would hide that pixels are missing
    if parameters < 0 or groups < 0:
        raise truncated_file(path, "PCOUNT or GCOUNT is below zero")
    if not sides:
        return 0
    values = parameters + prod(sides)
    return values * max(groups, 1) * abs(_whole(path, cards, "BITPIX")) // 8


def _read_header(path: Path, stream: IO[bytes], at: int) -> tuple[dict[str, str], int]:
    """Return the entries of a header, and where its data begin."""
    cards: dict[str, str] = {}
    continued = ""
    stream.seek(at)
    for number in range(_MOST_CARDS):
        card = stream.read(_CARD).decode("latin-1")
        if len(card) < _CARD:
            break
        if card.rstrip() == "END":
            length = (number + 1) * _CARD
            return cards, at + -(-length // _BLOCK) * _BLOCK
        longer = _LONGER.match(card)
        if longer and cards.get(continued, "").endswith("&'"):
            cards[continued] = cards[continued][:-2] + longer[1][1:]
            continue
        continued = ""
        match = _CARD_VALUE.match(card)
        # an entry without a value is not defined (section 4.1.2.3)
        if match and match[2].strip():
            name = " ".join(match[1].split())
            if name not in cards:
                cards[name] = match[2].strip()
                continued = name
    raise truncated_file(path, "its header has no end")


def _whole(
    path: Path, cards: dict[str, str], name: str, default: int | None = None
) -> int:
    """Return a whole number of a header."""
    try:
        return int(cards[name]) if name in cards or default is None else default
    except (KeyError, ValueError):
        raise truncated_file(path, f"{name} is no number") from None


def _sides(path: Path, cards: dict[str, str]) -> list[int]:
    """Return the lengths of all axes, the fastest first."""
    count = _whole(path, cards, "NAXIS")
    if (
        _whole(path, cards, "BITPIX") not in (*_TYPES, _INTEGERS_OF_64_BITS)
        or not 0 <= count <= 999
    ):
        raise truncated_file(path, "its header is no FITS header")
    return [max(_whole(path, cards, f"NAXIS{axis + 1}"), 0) for axis in range(count)]


def _image(
    path: Path, cards: dict[str, str], sides: list[int], start: int
) -> FitsImage:
    """Return the image that a header describes."""
    planes = prod(sides[2:])
    if planes > _MOST_PLANES:
        raise PictureError(
            f"{path}: has {planes:,} planes, and srx takes at most {_MOST_PLANES}; cut some out"
        )
    try:
        scale = float(cards.get("BSCALE", "1").replace("D", "E"))
        zero = float(cards.get("BZERO", "0").replace("D", "E"))
    except ValueError:
        raise truncated_file(path, "BSCALE or BZERO is no number") from None
    if not isfinite(scale) or not isfinite(zero):
        raise truncated_file(path, "BSCALE or BZERO is no finite number")
    bits = _whole(path, cards, "BITPIX")
    if bits == _INTEGERS_OF_64_BITS:
        raise PictureError(
            f"{path}: holds whole numbers of 64 bits; convert them to 32 bits, or to floats"
        )
    blank = None
    if bits > 0 and "BLANK" in cards:
        blank = _whole(path, cards, "BLANK")
    texts = {}
    notes: tuple[str, ...] = ()
    for name, value in cards.items():
        if _PLACE_ON_SKY.fullmatch(name):
            notes = (SKY_LEFT_OUT,)
        elif not _OF_THE_FILE.fullmatch(name):
            texts[name.removeprefix("HIERARCH ")] = (
                value.strip("'").replace("''", "'").rstrip()
            )
    return FitsImage(
        sides[0], sides[1], planes, bits, start, scale, zero, blank, texts, notes
    )


def describe_for_gdal(image: FitsImage, name: str) -> str:
    """Return the mosaic of one file that GDAL opens; ``name`` is that of the file."""
    size = f'rasterXSize="{image.width}" rasterYSize="{image.height}"'
    rows = f'xOff="0" yOff="0" xSize="{image.width}" ySize="{image.height}"'
    value_bytes = abs(image.bits) // 8
    row_bytes = image.width * value_bytes
    bands = "".join(_metadata(image))
    for plane in range(image.planes):
        last_row = image.start + ((plane + 1) * image.height - 1) * row_bytes
        stored = (
            f'<VRTDataset {size}><VRTRasterBand dataType="{_TYPES[image.bits]}" band="1" '
            'subClass="VRTRawRasterBand">'
            f'<SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename>'
            f"<ImageOffset>{last_row}</ImageOffset><PixelOffset>{value_bytes}</PixelOffset>"
            f"<LineOffset>{-row_bytes}</LineOffset><ByteOrder>MSB</ByteOrder>"
            "</VRTRasterBand></VRTDataset>"
        )
        blank = ""
        missing = ""
        if image.data_type.startswith("Float"):
            missing = "<NoDataValue>nan</NoDataValue>"
        if image.blank is not None:
            blank = f"<NODATA>{image.blank}</NODATA>"
        bands += (
            f'<VRTRasterBand dataType="{image.data_type}" band="{plane + 1}">{missing}'
            f'<ComplexSource><SourceFilename relativeToVRT="0">{escape(stored)}'
            f"</SourceFilename><SourceBand>1</SourceBand><SrcRect {rows}/><DstRect {rows}/>"
            f"{blank}<ScaleOffset>{image.zero!r}</ScaleOffset>"
            f"<ScaleRatio>{image.scale!r}</ScaleRatio></ComplexSource></VRTRasterBand>"
        )
    return f"<VRTDataset {size}>{bands}</VRTDataset>"


def _metadata(image: FitsImage) -> Iterator[str]:
    """Yield the entries of the header as GDAL's tags."""
    yield "<Metadata>"
    for name, value in image.texts.items():
        printable = "".join(letter for letter in value if letter.isprintable())
        yield f"<MDI key={quoteattr(name)}>{escape(printable)}</MDI>"
    yield "</Metadata>"
