"""Files of kinds that srx does not read, known by their first bytes, and what helps.

Whoever names such a file is told what it is, instead of what it is not.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from srcli.input_files import open_input

_HEAD_BYTES = 512
_EXPORT = "export it as PNG or plain TIFF"
_FLOATS = "save it as a TIFF of floats (oiiotool IN -o out.tif)"
_DEVELOP = "develop it first, to a TIFF of 16 bits (darktable-cli, dcraw -T -6)"
_PUT_INTO_ONE = "put it into one: ffmpeg -i IN -c copy out.mkv"


class _Format(NamedTuple):
    """Kind of file: how its files begin, what they are, and what to do with them."""

    start: bytes
    """A regular expression."""
    words: str
    advice: str


_FORMATS = (
    # the 128 bytes in front may be anything, also the start of a TIFF
    _Format(
        rb".{128}DICM",
        "DICOM, a medical picture",
        "export it as PNG or TIFF of 16 bits from a viewer",
    ),
    _Format(rb"v/1\x01", "OpenEXR", _FLOATS),
    _Format(rb"#\?(RADIANCE|RGBE)", "Radiance HDR", _FLOATS),
    _Format(rb"P[Ff]\s", "PFM, a map of floats", _FLOATS),
    _Format(
        rb"8BPS\0[\1\2]",
        "a file of Photoshop with layers (PSD, PSB)",
        "save the flattened picture as PNG or TIFF",
    ),
    _Format(rb"gimp xcf", "a file of GIMP with layers (XCF)", _EXPORT),
    _Format(
        rb"\0\0\x01\0[^\0]\0|icns",
        "icons of several sizes",
        "export the largest as PNG",
    ),
    _Format(rb"\0\0\x02\0[^\0]\0", "a mouse pointer", _EXPORT),
    _Format(rb"\x0a[\0-\5]\x01[\1\2\4\x08]", "PCX", _EXPORT),
    _Format(rb"qoif", "QOI", _EXPORT),
    _Format(rb"P7\s", "PAM", _EXPORT),
    _Format(
        rb"e[\2\3]",
        "ECW",
        "convert it to GeoTIFF with a GDAL that has its driver (gdal_translate of QGIS)",
    ),
    _Format(
        rb"SIMPLE  =",
        "FITS, of a telescope",
        "make a TIFF of it, from astropy.io.fits: tifffile.imwrite('a.tif', "
        "getdata('a.fits')[..., ::-1, :])",
    ),
    _Format(rb"AT&TFORM", "DjVu", "draw its pages (ddjvu -format=tiff)"),
    _Format(
        rb"%!PS|\xc5\xd0\xd3\xc6",
        "PostScript",
        "draw its pages (gs -sDEVICE=png16m -r300 -o page%d.png)",
    ),
    _Format(
        rb"(\xef\xbb\xbf)?\s*<(svg\s|[?!].*<svg\s)",
        "SVG, a drawing without pixels",
        "draw it at the size that is wanted (rsvg-convert -z 4)",
    ),
    _Format(
        rb"FUJIFILMCCD-RAW|II\x1a\0\0\0HEAPCCDR|IIRO|IIU\0|FOVb|\0MRM|....ftypcrx ",
        "raw data of a camera",
        _DEVELOP,
    ),
    _Format(
        rb"\x1f\x8b|BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!",
        "compressed as a whole (gz, bz2, xz, zst, 7z or rar)",
        "unpack it first",
    ),
    _Format(rb"DKIF\0\0", "video without a container (IVF)", _PUT_INTO_ONE),
    _Format(
        rb"\0\0\0?\x01([\x06\x09\x27\x67]|[\x40\x42\x46\x4e]\x01)",
        "video without a container (H.264 or HEVC)",
        _PUT_INTO_ONE,
    ),
)


def describe_other_kind(path: Path) -> str:
    """Return what a file is by its first bytes, and what to do with it.

    Empty for other kinds, and for a file that cannot be opened.
    """
    head = b""
    with suppress(OSError, ValueError), open_input(path) as stream:
        # errors, as of a name with a zero byte, are told by whoever reads it
        head = stream.read(_HEAD_BYTES)
    for form in _FORMATS:
        if re.match(form.start, head, re.DOTALL):
            return f"{form.words}, which srx does not read; {form.advice}"
    return ""
