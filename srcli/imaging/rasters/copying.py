"""Let GDAL copy a VRT over the parts of an output into its final format, after a trial.

The VRT holds the metadata; a trial of a few pixels refuses wrong options before hours of work.
"""

from __future__ import annotations

import logging
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from srcli.errors import PictureError, UsageError
from srcli.imaging.pillow import quiet_pillow
from srcli.imaging.rasters.opening import reason_of
from srcli.imaging.rasters.parts import Parts, part_blocks

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from collections.abc import Mapping, Sequence

    from rasterio.io import DatasetWriter

    from srcli.imaging.rasters.output import OutputProfile

_COPY_SETTINGS = {
    "GDAL_CACHEMAX": 2**26,
    # each file that stays open takes 0.8 MB at 40,000 columns; a block needs one of them
    "GDAL_MAX_DATASET_POOL_SIZE": 16,
    "GDAL_TIFF_INTERNAL_MASK": True,
}
# Parts of GDAL's warnings of wrong creation options, which it then ignores.
_COMPLAINTS = ("creation option", "value not recognised")
_SIGNALLED = re.compile(r"GDAL signalled an error:.* msg=(['\"])(.*)\1")
_PREFIX = re.compile(r"copy\.\w+: |\w+Setup\w+:")
"""What GDAL puts before a reason: the trial's file, the name of a function of libtiff."""
_BAND = re.compile(r'(<VRTRasterBand dataType="\w+" band="(\d+)"[^>]*?)\s*(/?)>')
# Keys that collide with the arguments of rasterio's update_tags.
_RESERVED = frozenset({"bidx", "ns"})
_WORLD_SUFFIXES = {"png": "*.pgw", "jpg": "*.jgw"}


def copy_file(source: Path, done: Path, output: OutputProfile) -> None:
    """Copy a VRT to the format and options of an output; errors are those of rasterio."""
    import rasterio
    import rasterio.shutil

    with rasterio.Env(**_COPY_SETTINGS):
        with quiet_pillow():
            dataset = rasterio.open(source, "r+")
        with dataset:
            # tags that are complete documents, such as XMP, have other white space in a VRT
            documents = {name: tags for name, tags in output.tags.items() if set(tags) == {name}}
            _set_tags(dataset, 0, documents)
            # GDAL 3.10 copies either the tags of bands or those of all namespaces
            tagged = any(band.tags.get("") for band in output.bands)
            options = {} if tagged else {"COPY_SRC_MDD": "YES"}
            rasterio.shutil.copy(dataset, done, driver=output.driver, **options, **output.creation)
        if tagged and output.driver == "GTiff" and set(output.tags) - {""}:
            with rasterio.open(done, "r+") as dataset:
                _set_all_tags(dataset, output)


def try_creation_options(target: Path, output: OutputProfile) -> None:
    """Let GDAL write a small file with the metadata and options of an output.

    Raises:
        UsageError: If GDAL does not know a creation option or its value.
        PictureError: If GDAL cannot write such a file.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    height = min(output.height, int(output.creation.get("BLOCKYSIZE", "512")))
    width = min(output.width, int(output.creation.get("BLOCKXSIZE", "512")))
    listener, failure = _Listener(), ""
    logger = logging.getLogger("rasterio._env")
    level = logger.level
    logger.addFilter(listener)
    logger.setLevel(logging.INFO)  # of errors that rasterio does not raise
    try:
        with tempfile.TemporaryDirectory(prefix="srx-", ignore_cleanup_errors=True) as folder:
            small, copy = Path(folder) / "small.vrt", Path(folder) / f"copy{target.suffix}"
            write_vrt(small, output, size=(height, width))
            copy_file(small, copy, output)
            check_shape(copy, target, output, size=(height, width))
    except (RasterioError, CPLE_BaseError) as error:
        failure = reason_of(error)
    except (ValueError, OSError) as error:
        failure = (listener.errors or [str(error)])[-1]
    finally:
        logger.setLevel(level)
        logger.removeFilter(listener)
    if listener.complaints:
        raise UsageError(
            f"{target}: --co: GDAL says: {listener.complaints[0]}; "
            f"gdal.org/drivers/raster/{output.driver.lower()}.html lists what there is"
        )
    if failure:
        name = {"GTiff": "GeoTIFF"}.get(output.driver, output.driver)
        reason = _PREFIX.sub("", failure)
        raise PictureError(
            f"{target}: GDAL cannot write such a {name}{_options(output)}: {reason}; change --co"
        )


def check_shape(
    file: Path, target: Path, output: OutputProfile, *, size: tuple[int, int] | None = None
) -> int:
    """Check what GDAL has written: size, bands, last block; return the number of its overviews.

    Raises:
        PictureError: If they are others.
        OSError: If the last block is missing.
        rasterio.errors.RasterioError: If it cannot be read.
    """
    import rasterio
    from rasterio.windows import Window

    height, width = size or (output.height, output.width)
    with quiet_pillow():
        dataset = rasterio.open(file)
    with dataset:
        count: int = dataset.count
        if output.cog and output.alpha and count == output.channels:
            # GDAL turns the alpha band of a COG with JPEG compression into a mask
            count += all(flag.name == "per_dataset" for flag in dataset.mask_flag_enums[0])
        if (dataset.height, dataset.width, count) != (height, width, len(output.bands)):
            raise PictureError(
                f"{target}: with these options GDAL writes {dataset.count} band(s) of "
                f"{dataset.width}x{dataset.height} pixels instead of {len(output.bands)} of "
                f"{width}x{height}{_options(output)}; change --co"
            )
        dataset.read(1, window=Window(width - 1, height - 1, 1, 1))
        block_height, block_width = dataset.block_shapes[0]
        block = f"{(width - 1) // block_width}_{(height - 1) // block_height}"
        sparse = dataset.driver != "GTiff" or output.creation.get("SPARSE_OK", "NO") != "NO"
        if not sparse and not dataset.get_tag_item(f"BLOCK_OFFSET_{block}", "TIFF", bidx=1):
            raise OSError("it writes no pixels")  # GDAL goes on after some of its errors
        return len(dataset.overviews(1))


def _options(output: OutputProfile) -> str:
    key_options = ("COMPRESS", "PHOTOMETRIC", "TILING_SCHEME", "TARGET_SRS")
    words = [f"{name}={output.creation[name]}" for name in key_options if name in output.creation]
    return f" ({', '.join(words)})" if words else ""


class _Listener(logging.Filter):
    """Collects GDAL's errors and its warnings of creation options, and hides them."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.errors: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        text = " ".join(record.getMessage().split())
        if found := _SIGNALLED.search(text):
            self.errors.append(found[2])
            return False
        if not any(words in text for words in _COMPLAINTS):
            return True
        self.complaints.append(text.partition(" in ")[2] or text)
        return False


def write_vrt(
    path: Path,
    output: OutputProfile,
    parts: Parts | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> None:
    """Write a VRT with the metadata of an output; errors are those of rasterio.

    Args:
        path: The VRT, in the folder of the parts or beside it.
        output: What it is to hold.
        parts: The pixels; all must be there. Without them it is empty.
        size: (height, width), of the output by default.
    """
    import rasterio

    height, width = size or (output.height, output.width)
    georeference = {} if output.transform is None else {"transform": output.transform}
    with quiet_pillow():  # rasterio warns of files without a transform
        dataset = rasterio.open(
            path,
            "w",
            driver="VRT",
            height=height,
            width=width,
            count=len(output.bands),
            dtype=output.dtype,
            nodata=output.nodata,
            crs=output.crs,
            **georeference,
        )
    placed: list[tuple[str, range]] = []
    if parts is not None:
        for number, file in sorted(parts.found().items()):
            name = escape(file.relative_to(path.parent).as_posix())
            placed.append((name, parts.span(number)))
    with dataset:
        set_metadata(dataset, output)
        for band in dataset.indexes:
            sources = _sources(placed, f"{band}", output)
            dataset.update_tags(band, ns="new_vrt_sources", **sources)
    text = path.read_text(encoding="utf-8")
    if any(band.legend for band in output.bands):
        text = _BAND.sub(lambda found: _with_legend(found, output), text)
    if output.mask:
        inner = "".join(_sources(placed, "mask,1", output).values())
        mask = f'<MaskBand><VRTRasterBand dataType="Byte">{inner}</VRTRasterBand></MaskBand>'
        head, end, tail = text.rpartition("</VRTDataset>")
        text = head + mask + end + tail
    path.write_text(text, encoding="utf-8")


def _with_legend(found: re.Match[str], output: OutputProfile) -> str:
    """Add a band's legend after the beginning of its element, which may be its end too."""
    begin, legend = found[1], output.bands[int(found[2]) - 1].legend
    return f"{begin}>{legend}" + "</VRTRasterBand>" * bool(found[3])


def _sources(
    placed: Sequence[tuple[str, range]], band: str, output: OutputProfile
) -> dict[str, str]:
    """Make the XML that places one band of all parts, by names that GDAL ignores.

    Args:
        placed: The parts' names, relative to the VRT, and their output rows.
        band: A number from 1, or ``"mask,1"``.
        output: The output.
    """
    from rasterio.dtypes import dtype_rev, typename_fwd

    width = output.width
    kind = "Byte" if band.startswith("mask") else typename_fwd[dtype_rev[output.dtype]]
    sources = {}
    for number, (name, span) in enumerate(placed):
        block_height, block_width = part_blocks(output, len(span))
        sources[f"source_{number}"] = (
            "<SimpleSource>"
            f'<SourceFilename relativeToVRT="1">{name}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand>"
            f'<SourceProperties RasterXSize="{width}" RasterYSize="{len(span)}" '
            f'DataType="{kind}" BlockXSize="{block_width}" BlockYSize="{block_height}"/>'
            f'<SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{len(span)}"/>'
            f'<DstRect xOff="0" yOff="{span.start}" xSize="{width}" ySize="{len(span)}"/>'
            "</SimpleSource>"
        )
    return sources


def set_metadata(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set all metadata of a new dataset that are not arguments of rasterio.open."""
    from rasterio.enums import ColorInterp

    known = ColorInterp.__members__
    names = [band.interpretation for band in output.bands]
    dataset.colorinterp = [known.get(name, ColorInterp.undefined) for name in names]
    _set_all_tags(dataset, output)
    for place, band in enumerate(output.bands, 1):
        if band.description:
            dataset.set_band_description(place, band.description)
        if band.unit:
            dataset.set_band_unit(place, band.unit)
    if any(band.scale != 1 or band.offset != 0 for band in output.bands):
        dataset.scales = [band.scale for band in output.bands]
        dataset.offsets = [band.offset for band in output.bands]
    if output.gcps:
        dataset.gcps = (output.gcps, output.gcps_crs)
    if output.rpcs is not None:
        dataset.rpcs = output.rpcs


def _set_all_tags(dataset: DatasetWriter, output: OutputProfile) -> None:
    _set_tags(dataset, 0, output.tags)
    for place, band in enumerate(output.bands, 1):
        _set_tags(dataset, place, band.tags)


def _set_tags(dataset: DatasetWriter, band: int, found: Mapping[str, Mapping[str, str]]) -> None:
    """Set the tags of a band, or of the file if it is 0, by their namespaces."""
    for namespace, tags in found.items():
        settable = {key: value for key, value in tags.items() if key not in _RESERVED}
        if set(tags) == {namespace}:
            # a complete document: rasterio reads it under the name of its namespace, but writes
            # "key=value"
            key, sign, value = tags[namespace].partition("=")
            settable = {key: value} if sign else {}
        dataset.update_tags(band, ns=namespace or None, **settable)


def georeference_sidecars(output: OutputProfile) -> dict[str, bytes]:
    """Make the world file and .prj of a PNG or JPEG, by what is put after their stem's ``*``."""
    if output.format not in _WORLD_SUFFIXES or output.transform is None:
        return {}
    from affine import dumpsw

    found = {_WORLD_SUFFIXES[output.format]: dumpsw(output.transform).encode("ascii")}
    if output.crs:
        from rasterio.errors import CRSError

        try:
            text = output.crs.to_wkt(version="WKT1_ESRI")
        except CRSError:
            return found  # not expressible in Esri's WKT; .aux.xml has it
        found["*.prj"] = text.encode("utf-8")
    return found
