"""TIFF files: how their pixels are stored, by their tags, and pixels, read by GDAL.

Of the readers tried, Pillow keeps 8 of 16-bit colour, the wheels of libvips know no
ZSTD and then give wrong pixels, tifffile alone knows no LZW.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.files.decoding import DAMAGE, quiet_libraries
from srcli.imaging.files.tiff_blocks import BLOCKS, check_tiff
from srcli.imaging.files.tiff_directories import TEXT, UNDEFINED, Tags, first_number
from srcli.imaging.files.tiff_pages import (
    DAMAGED_PAGE,
    MASK,
    PREMULTIPLIED,
    REDUCED,
    Page,
    read_page,
    whole_numbers,
)
from srcli.imaging.files.utf8_names import alias_of_file
from srcli.imaging.metadata.colour_spaces import BRADFORD
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.metadata.microscopy import refuse_hidden_planes
from srcli.imaging.photographs import pillow
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture
from srcli.imaging.pixels.alpha import unpremultiplied
from srcli.imaging.pixels.arrays import Array, Size, empty_array, strips
from srcli.imaging.pixels.resize import stretch_to_dtype, to_dtype

_JPEG = 7
_USUAL_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34887, 34925, 50000, 50001)
_COMPRESSIONS = {
    6: "old-style JPEG",
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    **dict.fromkeys((50002, 52546), "JPEG XL"),
}
_WHITE_IS_0 = 0
_LAB = 8
_D50 = (0.3457, 0.3585)
"""CIE x and y of the white of L*a*b* that names no other."""
_D65 = np.array([0.95047, 1, 1.08883])
# Photometric interpretations: a pixel for each colour filter, or three before
# development.
_RAW_PHOTOMETRICS = (32803, 34892)
_GEO_KEYS = 34735
_PLACES = (
    "a place on the map (GeoTIFF)",
    "a coordinate system (GeoTIFF)",
    "a sensor model (RPC)",
)
_MASKED = "a mask of valid pixels"
_RASTER_TAGS = {
    **dict.fromkeys((33550, 33922, 34264), _PLACES[0]),
    34735: _PLACES[1],
    50844: _PLACES[2],
    42112: "GDAL's tags",
    42113: "a nodata value",
}
_MOST_PAGES_TO_A_MASK = 32  # it stands among the overviews of the first picture
# Photometric interpretation: a word for it and its number of colours.
_COLOUR_MODELS = {
    0: ("gray", 1), 1: ("gray", 1), 2: ("RGB", 3), 3: ("palette", 1), 5: ("CMYK", 4),
    6: ("YCbCr", 3), 8: ("LAB", 3),
}  # fmt: skip
# Sample format and bits per value: bits of the photograph.
_PHOTOGRAPH_BITS = {
    **dict.fromkeys([(1, bits) for bits in range(1, 9)], 8),
    **dict.fromkeys([(1, bits) for bits in range(9, 17)], 16),
    **dict.fromkeys([(3, 16), (3, 32), (3, 64)], 32),
}
# no look at files that happen to lie beside, and no picture half read
_GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",
}


@dataclass(frozen=True)
class StoredPixels:
    """Layout of the stored pixels of a page, by its tags."""

    height: int
    width: int
    bits: list[int]
    """Bits of a value, for each band, or for all."""
    sample_format: int
    depth: int
    """Bits of the photograph's values; 0 for values of a kind that is not read."""
    samples: int
    photometric: int
    colour_model: str
    """Word for the photometric interpretation; empty for unknown ones."""
    colours: int
    has_palette: bool

    @classmethod
    def from_tags(cls, tags: Tags) -> StoredPixels:
        """Read the tags of a page."""
        bits = whole_numbers(tags, Base.BitsPerSample, 1)
        sample_formats = whole_numbers(tags, Base.SampleFormat, 1)
        depths = set()
        for sample_format in sample_formats:
            # format 4 is "undefined", which is taken as a whole number
            stored_as = 1 if sample_format == 4 else sample_format
            depths.add(_PHOTOGRAPH_BITS.get((stored_as, bits[0]), 0))
        photometric = first_number(tags, Base.PhotometricInterpretation, -1)
        colour_model, colours = _COLOUR_MODELS.get(photometric, ("", 0))
        return cls(
            height=first_number(tags, Base.ImageLength, 0),
            width=first_number(tags, Base.ImageWidth, 0),
            bits=bits,
            sample_format=sample_formats[0],
            depth=depths.pop() if len(depths) == len(set(bits)) == 1 else 0,
            samples=first_number(tags, Base.SamplesPerPixel, 1),
            photometric=photometric,
            colour_model=colour_model,
            colours=colours,
            has_palette=Base.ColorMap in tags,
        )

    @property
    def extra_bands(self) -> int:
        """Number of bands besides the colours."""
        return self.samples - self.colours

    @property
    def bands(self) -> str:
        """The bands in words."""
        return f"{self.samples} band(s) of {self.bits[0]} bits"

    @property
    def is_converted(self) -> bool:
        """True if the colours become RGB by a profile."""
        return self.colour_model in ("CMYK", "LAB")

    @property
    def channels(self) -> int:
        """Number of colour channels of the photograph."""
        return 1 if self.colour_model == "gray" else 3

    @property
    def obstacle(self) -> str:
        """Reason for which they are not those of a photograph; empty if they are."""
        if (
            not self.colour_model
            or self.extra_bands < 0
            or (self.extra_bands > 1 and self.colour_model != "CMYK")
        ):
            return "bands of unknown meaning"
        if not self.depth:
            return "values of a kind that srx does not read"
        if self.depth > 8 and self.colour_model in ("YCbCr", "LAB"):
            return f"{self.colour_model} colours in over 8 bits"
        if self.depth > 16 and self.colour_model == "palette":
            return "a palette of floats"
        if self.colour_model == "palette" and not self.has_palette:
            return "no colours in its palette"
        return ""

    def losses(self, *, has_alpha: bool) -> list[str]:
        """Return what reading them as a photograph loses, in words for the user."""
        losses = []
        bits = self.bits[0]
        rounding = ""
        if self.extra_bands and not has_alpha:
            losses.append(
                "a band of unknown meaning is left out; --bidx keeps those it names"
            )
        if self.is_converted:
            if self.depth > 8:
                rounding = " and rounded to 8 bits"
            losses.append(f"{self.colour_model} converted to RGB{rounding}")
        if self.depth == 16 and bits < 16 and self.colour_model != "palette":
            losses.append(f"values of {bits} bits stretched to 16")
        if bits == 64:
            losses.append("64-bit floats rounded to 32 bits")
        return losses


def read_layout(path: Path, page: Page, stream: IO[bytes], number: int = 1) -> Picture:
    """Return how the pixels of a page are stored, and what reading them loses.

    ``number`` is that of the page without thumbnails, from 1. If its layout is not that
    of a photograph, the picture has a ``refusal``. Its metadata are those by which
    pixels become upright and sRGB. PictureError for what a camera's sensor saw, before
    which there mostly is a preview of some 200 pixels.
    """
    tags = page.tags
    stored = StoredPixels.from_tags(tags)
    check_tiff(path, tags, stream)
    is_reduced = first_number(tags, Base.NewSubfileType, 0) & REDUCED
    is_preview = is_reduced and Base.SubIFDs in tags
    if is_preview or stored.photometric in _RAW_PHOTOMETRICS:
        raise PictureError(
            f"{path}: a camera's raw file; develop it first, to TIFF or JPEG"
        )
    raster = _raster_reason(tags, stored, page.further)
    if raster is not None and page.number > number:
        raise PictureError(
            f"{path}: its first page is a thumbnail; name the full picture: "
            f"GTIFF_DIR:{page.number}:{path}"
        )
    is_plain = first_number(tags, Base.Compression, 1) == 1
    if number == 1 and is_plain and not page.further:
        bits = stored.width * stored.height * stored.samples * stored.bits[0]
        refuse_hidden_planes(path, description_of(tags), stream, bits // 8)
    has_alpha = _has_alpha(tags, stored)
    notes: list[str] = []
    if page.is_cut:
        notes.append(DAMAGED_PAGE)
    if raster is None and (left_out := _describe_blocks_left_out(tags)):
        notes.append(left_out)
    if not stored.obstacle:
        notes += stored.losses(has_alpha=has_alpha)
        if _GEO_KEYS in tags:
            notes.append("position on the map (GeoTIFF) left out")
    picture = Picture(
        path=path,
        format="tif",
        height=stored.height,
        width=stored.width,
        channels=stored.channels,
        has_alpha=has_alpha,
        bits=8 if stored.colour_model in ("CMYK", "palette") else stored.depth,
        page=number,
        orientation=first_number(tags, Base.Orientation, 0),
        raster=raster,
        is_on_map=raster in (*_PLACES, _MASKED),
        metadata=Metadata(
            icc=bytes_of(page, Base.InterColorProfile),
            xmp=bytes_of(page, Base.XMLPacket),
        ),
        warnings=tuple(notes),
    )
    if not stored.obstacle:
        return picture
    return replace(
        picture,
        channels=stored.samples,
        bits=stored.bits[0],
        refusal=(
            f"{path}: this TIFF has {stored.obstacle} ({stored.bands}, sample format "
            f"{stored.sample_format}, photometric {stored.photometric}); convert it to gray or "
            "RGB of 8 or 16 bits"
        ),
    )


def description_of(tags: Tags) -> str:
    """Return the description of a page; empty without one."""
    if Base.ImageDescription not in tags:
        return ""
    return tags[Base.ImageDescription].value.decode("latin-1")


def _raster_reason(tags: Tags, stored: StoredPixels, pages: list[int]) -> str | None:
    """Return why a file is read as a raster; None for photographs."""
    for tag, reason in _RASTER_TAGS.items():
        if tag in tags:
            return reason
    if any(kind & MASK for kind in pages[:_MOST_PAGES_TO_A_MASK]):
        return _MASKED
    if stored.sample_format == 3 and stored.bits[0] == 64:
        return "64-bit floats"
    if stored.sample_format == 3 and stored.colour_model == "gray":
        return "one band of floats"  # heights and other measurements, with their fills
    if stored.height * stored.width > LARGEST_AREA:
        return "more pixels than a photograph"
    # as a raster, the bands of Lab and its like would be taken for red, green and blue
    if stored.obstacle and stored.photometric < _LAB:
        return f"{stored.bands}, of a kind that photographs have not"
    return None


def _has_alpha(tags: Tags, stored: StoredPixels) -> bool:
    """Tell if the band behind the colours is alpha."""
    if stored.extra_bands != 1 or stored.colour_model == "YCbCr":
        return False
    # the fifth channel of CMYK is a spot colour or a selection unless it is said to be
    # alpha
    default = -1 if stored.colour_model in ("gray", "RGB", "palette") else 0
    return whole_numbers(tags, Base.ExtraSamples, default) != [0]


def read_pixels(
    picture: Picture, stream: IO[bytes], folder: Path | None = None
) -> tuple[Array, Array | None]:
    """Decode a TIFF file, not turned: (H, W, C) and alpha (H, W).

    A large file is read into the folder; see ``empty_array``.
    """
    page = read_page(stream, picture.page)
    tags = page.tags
    _check_blocks(tags, stream.seek(0, os.SEEK_END))
    photometric = first_number(tags, Base.PhotometricInterpretation, -1)
    colour_model, colours = _COLOUR_MODELS[photometric]
    prefix = "GTIFF_RAW:" if colour_model in ("CMYK", "LAB") else ""
    count = colours + picture.has_alpha
    values, bits = _read_stored(picture.path, page, count, prefix, folder)
    dtype = np.uint8 if picture.bits == 8 else np.uint16
    if colour_model == "CMYK" and values.dtype.kind == "f":
        values = to_dtype(np.nan_to_num(values) * 255.0, np.dtype(dtype))
        bits = 8
    pixels = values[:, :, :colours]
    if colour_model != "palette":
        pixels = stretch_to_dtype(pixels, bits, dtype)
    # GDAL neither inverts gray nor divides by alpha
    alpha = None
    if picture.has_alpha:
        alpha = stretch_to_dtype(values[:, :, colours], bits, dtype)
        is_multiplied = whole_numbers(tags, Base.ExtraSamples)[:1] == [PREMULTIPLIED]
        if is_multiplied and colour_model in ("gray", "RGB", "CMYK"):
            pixels = unpremultiplied(pixels, alpha)
    if colour_model == "palette":
        palette = _palette(tags)
        pixels = palette[np.minimum(pixels[:, :, 0], len(palette) - 1)]
    elif colour_model == "LAB" and (white := _white_of_lab(tags)):
        pixels = _lab_pixels(pixels, white)
    elif colour_model in ("CMYK", "LAB"):
        pixels = pillow.to_srgb(pixels, picture.metadata.icc, colour_model)
    elif photometric == _WHITE_IS_0 and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.ascontiguousarray(pixels), alpha


def _white_of_lab(tags: Tags) -> tuple[float, float] | None:
    """Return CIE x and y of the white that L*a*b* refers to; None for D50, as without a tag."""
    entry = tags.get(Base.WhitePoint)
    if entry is None or entry.tiff_type in (TEXT, UNDEFINED):
        return None
    numbers = entry.numbers
    if len(numbers) != 2:
        return None
    x, y = numbers
    is_colour = 0.1 < x < 0.9 and 0.1 < y < 0.9 and x + y < 1
    is_d50 = abs(x - _D50[0]) + abs(y - _D50[1]) < 0.002
    return (x, y) if is_colour and not is_d50 else None


def _lab_pixels(pixels: Array, white: tuple[float, float]) -> Array:
    """Convert L*a*b* of 8 bits, (H, W, 3), whose a* and b* are signed, to sRGB."""
    converted = np.empty(pixels.shape, np.uint8)
    for rows in strips(converted):
        values = pixels[rows].reshape(-1, 3)
        lab = values.view(np.int8).astype(np.float64)
        lab[:, 0] = values[:, 0] / 2.55
        srgb = _lab_to_srgb(lab, white).reshape(converted[rows].shape)
        converted[rows] = np.rint(255 * srgb)
    return converted


def _lab_to_srgb(lab: Array, white: tuple[float, float]) -> Array:
    """Convert CIE L*a*b*, (N, 3) floats, of a white by its CIE x and y, to sRGB of 0 to 1."""
    from skimage.color import xyz2rgb

    x, y = white
    source = np.array([x / y, 1, (1 - x - y) / y])
    gains = (BRADFORD @ _D65) / (BRADFORD @ source)
    to_d65 = np.linalg.inv(BRADFORD) @ np.diag(gains) @ BRADFORD @ np.diag(source)
    middle = (lab[:, 0] + 16) / 116
    roots = np.stack((middle + lab[:, 1] / 500, middle, middle - lab[:, 2] / 200), 1)
    ratios = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 108 / 841)
    srgb: Array = xyz2rgb(ratios @ to_d65.T)
    return srgb


def _check_blocks(tags: Tags, file_size: int) -> None:
    """Refuse strips and tiles of which a part is missing; those left out are empty."""
    for offset_tag, length_tag in BLOCKS:
        offsets = whole_numbers(tags, offset_tag)
        lengths = whole_numbers(tags, length_tag)
        for offset, length in zip(offsets, lengths, strict=True):
            is_left_out = offset == length == 0
            if is_left_out:
                continue
            if not length or offset + length > file_size:
                raise ValueError("a part of its pixels is missing")


def _describe_blocks_left_out(tags: Tags) -> str:
    """Tell of strips and tiles at 0, which sparse files have; empty without any."""
    for tag, kind in ((Base.StripOffsets, "strips"), (Base.TileOffsets, "tiles")):
        offsets = whole_numbers(tags, tag)
        count = offsets.count(0)
        if count:
            return (
                f"{count:,} of its {len(offsets):,} {kind} are left out in the file: their "
                "pixels are 0"
            )
    return ""


def _read_stored(
    path: Path, page: Page, count: int, prefix: str, folder: Path | None
) -> tuple[Array, int]:
    """Read bands; where that fails, tell pixels that are only not read from those damaged."""
    size = (
        first_number(page.tags, Base.ImageLength, 0),
        first_number(page.tags, Base.ImageWidth, 0),
    )
    if page.number > 1:
        prefix += f"GTIFF_DIR:{page.number}:"
    try:
        return read_bands(path, "GTiff", size, count, prefix, folder)
    except DAMAGE:
        if stored := _unusual_compression(page.tags):
            raise PictureError(
                f"{path}: its pixels are stored as {stored}, which is not read from TIFF; export "
                "it as PNG, or as TIFF with LZW or deflate"
            ) from None
        raise


def _unusual_compression(tags: Tags) -> str:
    """Return in what pixels are compressed if few readers know it; empty for usual ways."""
    compression = first_number(tags, Base.Compression, 1)
    bits = first_number(tags, Base.BitsPerSample, 1)
    if compression == _JPEG and bits > 8:
        return f"JPEG of {bits} bits"
    if compression in _USUAL_COMPRESSIONS:
        return ""
    return _COMPRESSIONS.get(compression, f"compression {compression}")


def _palette(tags: Tags) -> Array:
    """Return the colours of a palette, (N, 3) uint8, N maybe fewer than values have room for."""
    values = np.array(tags[Base.ColorMap].numbers)
    if values.max(initial=0) > 255:  # some writers store 8 bits
        values = np.rint(values / 257)
    length = len(values) // 3
    return values[: 3 * length].reshape(3, length).T.astype(np.uint8)


def bytes_of(page: Page, tag: int) -> bytes | None:
    """Return the bytes of a tag as the file has them, whatever type they are said to have."""
    entry = page.tags.get(tag)
    if entry is None:
        return None
    return page.layout.byteswapped(entry.value, entry.tiff_type)


def read_bands(
    path: Path,
    driver: str,
    size: Size,
    count: int,
    prefix: str = "",
    folder: Path | None = None,
) -> tuple[Array, int]:
    """Read the first bands of a file with one of GDAL's drivers, as they are stored, not turned.

    The size is (height, width) by the file's header; the prefix ``"GTIFF_RAW:"`` leaves
    CMYK as it is, and ``"GTIFF_DIR:2:"`` takes a page. What is large is read into the
    folder; see ``empty_array``.

    Returns:
        Values (H, W, C), whole numbers or floats, and their bits.
    """
    import rasterio

    name = os.fspath(alias_of_file(path).absolute())
    with rasterio.Env(**_GDAL_OPTIONS):
        # a photograph has no position, of which rasterio warns
        with quiet_libraries():
            source = rasterio.open(prefix + name, driver=driver)
        with source:
            if source.shape != size or source.count < count:
                raise ValueError(
                    f"{source.count} bands of {source.shape[1]}x{source.shape[0]}"
                )
            values = empty_array((*size, count), source.dtypes[0], folder)
            source.read(list(range(1, count + 1)), out=values.transpose(2, 0, 1))
            structure = source.tags(1, ns="IMAGE_STRUCTURE")
    return values, int(structure.get("NBITS", 8 * values.dtype.itemsize))
