"""Headers of TIFF files by their tags: how pixels are stored, whether as a photograph, metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.imaging.files.tiff_directories import DirectoryForm, Tags, first_number
from srcli.imaging.files.tiff_pages import (
    DAMAGED_PAGE,
    DESCRIPTIVE,
    INCH,
    MASK,
    REDUCED,
    RESOLUTION,
    Page,
    check_tiff,
    read_page,
    whole_numbers,
)
from srcli.imaging.metadata import colour_spaces, exif
from srcli.imaging.metadata.descriptions import is_whole_slide, refuse_hidden_planes
from srcli.imaging.metadata.embedded import EXIF_PREFIX, ColourSpace, Metadata
from srcli.imaging.photographs.photograph import LARGEST_AREA, Picture

SMALLER_COPIES = "smaller copies, thumbnail and label of the whole slide left out"
# Photometric interpretations: a pixel for each colour filter, or three before
# development.
_RAW_PHOTOMETRICS = (32803, 34892)
_LAB = 8
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
_NUMERIC_TYPES = (3, 4, 5)  # whole numbers and fractions, as types of entries
# Exponent of TIFF 6.0, where primaries are told without a transfer function.
_DEFAULT_CURVE = (2.2,)
_CENTIMETRE = 3
_IMAGEJ = 50839  # its tag of tables, display ranges, labels and selections


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


def read_tiff_header(path: Path, stream: IO[bytes], number: int = 1) -> Picture:
    """Read the header and the metadata of a page of a TIFF file.

    ``number`` is that of the page without thumbnails, from 1. If its layout is not that
    of a photograph, the picture has a ``refusal``.
    """
    page = read_page(stream, number)
    tags = page.tags
    stored = StoredPixels.from_tags(tags)
    raster = _raster_reason(tags, stored, page.further)
    _refuse_unread(path, stream, page, stored, number, raster)
    has_alpha = _has_alpha(tags, stored)
    notes: list[str] = []
    if page.is_cut:
        notes.append(DAMAGED_PAGE)
    if raster is None and (left_out := _describe_blocks_left_out(tags)):
        notes.append(left_out)
    refusal = None
    colour_space = None
    channels = stored.channels
    bits = 8 if stored.colour_model in ("CMYK", "palette") else stored.depth
    if stored.obstacle:
        channels = stored.samples
        bits = stored.bits[0]
        refusal = (
            f"{path}: this TIFF has {stored.obstacle} ({stored.bands}, sample format "
            f"{stored.sample_format}, photometric {stored.photometric}); convert it to gray or "
            "RGB of 8 or 16 bits"
        )
    else:
        notes += stored.losses(has_alpha=has_alpha)
        if _GEO_KEYS in tags:
            notes.append("position on the map (GeoTIFF) left out")
        if not stored.is_converted and Base.InterColorProfile not in tags:
            colour_space = _colour_space(tags, channels, notes)
    metadata = Metadata(
        icc=_bytes_of(page, Base.InterColorProfile),
        colours=colour_space,
        exif=_exif(stream, page, notes),
        xmp=_bytes_of(page, Base.XMLPacket),
        iptc=_bytes_of(page, Base.IPTCNAA),
        dpi=_resolution(tags),
    )
    frames = 1
    if is_whole_slide(_description_of(tags)):
        if page.further:
            notes.append(SMALLER_COPIES)
    elif number == 1:
        frames += sum(not kind & (REDUCED | MASK) for kind in page.further)
    return Picture(
        path=path,
        format="tif",
        height=stored.height,
        width=stored.width,
        channels=channels,
        has_alpha=has_alpha,
        bits=bits,
        frames=frames,
        page=number,
        orientation=first_number(tags, Base.Orientation, 0),
        is_converted=stored.is_converted,
        metadata=metadata,
        raster=raster,
        is_on_map=raster in (*_PLACES, _MASKED),
        refusal=refusal,
        warnings=tuple(notes),
    )


def _refuse_unread(
    path: Path,
    stream: IO[bytes],
    page: Page,
    stored: StoredPixels,
    number: int,
    raster: str | None,
) -> None:
    """Refuse a page that is cut short, no full picture, or of which planes would be lost.

    So is what a camera's sensor saw, before which there mostly is a preview of some 200
    pixels.
    """
    tags = page.tags
    check_tiff(path, tags, stream)
    is_reduced = first_number(tags, Base.NewSubfileType, 0) & REDUCED
    is_preview = is_reduced and Base.SubIFDs in tags
    if is_preview or stored.photometric in _RAW_PHOTOMETRICS:
        raise PictureError(
            f"{path}: a camera's raw file; develop it first, to TIFF or JPEG"
        )
    if raster is not None and page.number > number:
        raise PictureError(
            f"{path}: its first page is a thumbnail; name the full picture: "
            f"GTIFF_DIR:{page.number}:{path}"
        )
    is_plain = first_number(tags, Base.Compression, 1) == 1
    if number == 1 and is_plain and not page.further:
        bits = stored.width * stored.height * stored.samples * stored.bits[0]
        refuse_hidden_planes(path, _description_of(tags), stream, bits // 8)


def _description_of(tags: Tags) -> str:
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


def _bytes_of(page: Page, tag: int) -> bytes | None:
    """Return the bytes of a tag as the file has them, whatever type they are said to have."""
    entry = page.tags.get(tag)
    if entry is None:
        return None
    return page.layout.byteswapped(entry.value, entry.tiff_type)


def _colour_space(tags: Tags, channels: int, notes: list[str]) -> ColourSpace | None:
    """Return the colours that WhitePoint and PrimaryChromaticities describe."""
    if Base.TransferFunction in tags:
        notes.append("transfer function of its colours left out (TIFF): taken as usual")
    stated = {}
    for tag in (Base.WhitePoint, Base.PrimaryChromaticities):
        if tag in tags and tags[tag].tiff_type in _NUMERIC_TYPES:
            stated[tag] = tags[tag].numbers
    if not stated:
        return None
    white = stated.get(Base.WhitePoint, colour_spaces.SRGB[:2])
    primaries = stated.get(Base.PrimaryChromaticities, colour_spaces.SRGB[2:])
    xy = (*white, *primaries)
    return colour_spaces.from_primaries(xy, _DEFAULT_CURVE, channels, notes)


def _resolution(tags: Tags) -> tuple[float, float] | None:
    """Return pixels per inch across and down; None if they are not stated."""
    if RESOLUTION[0] not in tags or RESOLUTION[1] not in tags:
        return None
    if exif.is_pixel_size(tags):
        return None  # the size of a microscope's pixels, not of a print
    across, down = (tags[tag].numbers[0] for tag in RESOLUTION[:2])
    unit = first_number(tags, RESOLUTION[2], INCH)
    per_inch = {INCH: 1.0, _CENTIMETRE: 2.54}.get(unit, 0)
    if per_inch * min(across, down) <= 0:
        return None
    return across * per_inch, down * per_inch


def _exif(stream: IO[bytes], page: Page, notes: list[str]) -> bytes | None:
    """Return the tags that describe the photograph as an EXIF block; None if there are none."""
    kept = DESCRIPTIVE
    if exif.is_pixel_size(page.tags):
        kept = kept.union(RESOLUTION)
    main = {tag: entry for tag, entry in page.tags.items() if tag in kept}
    if _IMAGEJ in page.tags:
        notes.append("tables, labels and overlays of ImageJ left out")
    ifds, damaged = exif.read_linked_ifds(stream, page.tags, page.layout)
    if damaged:
        notes.append(exif.DAMAGED)
    linked_ifds = {}
    for pointer, tags in ifds.items():
        linked_ifds[pointer] = {
            tag: entry for tag, entry in tags.items() if entry.tiff_type < 16
        }
    if not main and not any(linked_ifds.values()):
        return None
    layout = DirectoryForm(page.layout.order)
    packed, start = exif.pack(main, linked_ifds, 8, layout)
    return EXIF_PREFIX + layout.start(start) + packed
