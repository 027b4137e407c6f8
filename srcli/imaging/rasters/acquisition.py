"""Time at which a raster was taken: by its STAC item, its tags, its name, or its file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import PictureError
from srcli.files import read_input
from srcli.imaging.rasters.dataset_names import file_on_disk

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from srcli.imaging.rasters.stac_assets import StacAsset

_TAGS = (
    ("IMAGERY", "ACQUISITIONDATETIME"),  # of Maxar, Landsat, Pleiades, RapidEye ...
    ("", "ACQUISITIONDATETIME"),
    ("", "DATATAKE_1_DATATAKE_SENSING_START"),
    ("", "PRODUCT_START_TIME"),
    ("", "NITF_IDATIM"),
    ("", "NC_GLOBAL#time_coverage_start"),
    ("", "time_coverage_start"),
    ("", "EXIF_DateTimeOriginal"),
    ("ENVI", "acquisition_time"),
    ("", "TIFFTAG_DATETIME"),
)
"""Namespaces and names of tags that tell it, the surest first."""
_TIMES = re.compile(
    r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)"
    r"(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:\.\d+)?)?)? *(Z|UTC|[+-]\d\d:?\d\d)?"
)
_IN_TEXTS = (
    ('DATE_ACQUIRED = "?([^"\n]+)', 'SCENE_CENTER_TIME = "?([^"\n]+)'),  # Landsat's MTL
    ("<IMAGING_DATE>(.*?)<", "<IMAGING_TIME>(.*?)<"),  # DIMAP of Pleiades and SPOT
)
"""Expressions for date and time in the descriptions of scenes."""
_LANDSAT = re.compile(r"L[COTEM]\d\d_\w{4}_\d{6}_(\d{8})_\d{8}_\d\d_[A-Z0-9]{2}")
"""Names of scenes, which begin those of all their files."""
_SENTINEL = re.compile(r"(?:S[123][ABCD]_\w+?_|T\d\d[A-Z]{3}_)(\d{8}T\d{6})(?!\d)")
"""Names of products and of files in them, with the time at which sensing began."""
_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
"""What GDAL makes of times that it cannot read."""
_SINCE = re.compile(r"(day|hour|minute|second)s? since (.+)", re.IGNORECASE)
"""Units of time of the CF conventions."""


def acquisition_time(
    dataset: DatasetReader, source: Path, asset: StacAsset | None
) -> str:
    """Return when a raster was taken, as RFC 3339 has it.

    A file that nothing tells it of has its time on disk; PictureError for one on the
    network.
    """
    if asset is not None and (time := _time_of_item(asset)):
        return time
    for text in _texts_that_tell(dataset, source):
        if time := _parse_time(text):
            return time
    with suppress(OSError):
        seconds = file_on_disk(source).stat().st_mtime
        return _formatted(datetime.fromtimestamp(seconds, UTC))
    raise PictureError(
        f"{source}: nothing tells when it was taken, which a STAC item must say; drop --stac, or "
        "download it"
    )


def _time_of_item(asset: StacAsset) -> str:
    """Return the time of an item, or the beginning of its span."""
    properties = asset.document.get("properties")
    if isinstance(properties, dict):
        for name in ("datetime", "start_datetime"):
            time = properties.get(name)
            if isinstance(time, str) and _parse_time(time):
                return time
    return ""


def _texts_that_tell(dataset: DatasetReader, source: Path) -> Iterator[str]:
    """Yield the texts that may tell the time, the surest first."""
    for namespace, name in _TAGS:
        yield dataset.tags(ns=namespace or None).get(name, "")
    # GDAL reads the date of some versions of Landsat's MTL only
    lines = [f"{key} = {text}" for key, text in dataset.tags(ns="IMD").items()]
    yield _time_in("\n".join(lines))
    yield _time_of_first_band(dataset)
    if dataset.driver == "DIMAP":
        yield _time_in_file(file_on_disk(source))
    name = str(source)
    if match := _LANDSAT.search(name):
        # GDAL does not find the MTL of Landsat's products of level 2
        yield _time_in_file(source.with_name(f"{match[0]}_MTL.txt")) or match[1]
    elif match := _SENTINEL.search(name):
        yield match[1]


def _time_in_file(file: Path) -> str:
    with suppress(OSError):
        return _time_in(read_input(file).decode("utf-8", "replace"))
    return ""


def _time_in(text: str) -> str:
    """Return date and time in the description of a scene; empty without one."""
    for expressions in _IN_TEXTS:
        matches = [re.search(expression, text) for expression in expressions]
        words = [match[1].strip() for match in matches if match]
        if words:
            return " ".join(words)
    return ""


def _time_of_first_band(dataset: DatasetReader) -> str:
    """Return the time for which a weather or climate model gives its first band."""
    tags = dataset.tags(1)
    with suppress(ValueError, OverflowError):
        if "GRIB_VALID_TIME" in tags:
            seconds = float(tags["GRIB_VALID_TIME"].split()[0])
            return _formatted(datetime.fromtimestamp(seconds, UTC))
        units = _SINCE.match(dataset.tags().get("time#units", ""))
        if units is not None and "NETCDF_DIM_time" in tags:
            start = datetime.fromisoformat(_parse_time(units[2]))
            step = {f"{units[1].lower()}s": float(tags["NETCDF_DIM_time"])}
            return _formatted(start + timedelta(**step))
    return ""


def _parse_time(text: str) -> str:
    """Return a time in one of the forms of tags as RFC 3339 has it; empty for no time.

    Without a zone it is that of UTC.
    """
    match = _TIMES.match(text.strip())
    if match is None:
        return ""
    with suppress(ValueError):
        numbers = [int(number or 0) for number in match.groups()[:6]]
        time = datetime(*numbers, tzinfo=UTC)  # type: ignore[arg-type, misc]
        if time == _UNKNOWN:
            return ""
        zone = (match[7] or "").replace(":", "")
        if zone[:1] in ("+", "-"):
            shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
            time -= shift if zone[0] == "+" else -shift
        return _formatted(time)
    return ""


def _formatted(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
