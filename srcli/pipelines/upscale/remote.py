"""Outputs in buckets: files are finished on disk, and then copied there as whole objects."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from srcli.errors import PictureError, UsageError
from srcli.files import cache_folder
from srcli.imaging.files.gdal import gdal_errors, reason_of
from srcli.imaging.files.provenance import Provenance, parse_provenance
from srcli.imaging.rasters.dataset_names import DatasetName, as_input, is_remote
from srcli.imaging.rasters.gdal_access import open_quietly
from srcli.imaging.rasters.output import software_of

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled

_BUCKET = re.compile(r"/vsi(s3|gs|az|adls|oss|swift|webhdfs)/[^/]")
"""File systems of GDAL to which whole files can be written."""
_MISSING = re.compile(r"does not exist|No such file|response code: 404")


@dataclass(frozen=True)
class RemoteFolder:
    """A folder in a bucket, and the folder on disk in which its files are made."""

    name: str
    """As the user wrote it, without a slash at its end: ``s3://bucket/out``."""
    gdal: str
    """The name by which GDAL writes to it: ``/vsis3/bucket/out``."""
    staging: Path
    """A folder of the user's cache; interrupted work and what was not copied stays there."""
    file_name: str
    """Name of the only file that is written; empty where there may be many."""

    @property
    def local_output(self) -> Path:
        """The file or folder on disk that stands for the output."""
        return self.staging / self.file_name

    def shown(self, text: str) -> str:
        """Return a text in which outputs have the names in the bucket."""
        return text.replace(str(self.staging), self.name)

    def _object(self, target: Path) -> str:
        """Return GDAL's name of the object that a file in the staging folder becomes."""
        return f"{self.gdal}/{target.relative_to(self.staging).as_posix()}"

    def record(self, target: Path) -> tuple[bool, Provenance | None]:
        """Return whether an output is in the bucket, and what it says of its making.

        Raises:
            PictureError: If the bucket cannot be looked at.
        """
        import rasterio

        try:
            with rasterio.Env(), open_quietly(self._object(target)) as file:
                return True, parse_provenance(software_of(file.tags()))
        except gdal_errors(OSError) as error:
            reason = reason_of(error)
        if _is_file(self._object(target)):
            return True, None
        if _MISSING.search(reason):
            return False, None
        raise PictureError(
            f"{target}: cannot be looked at ({reason}); --overwrite writes it without a look"
        )

    def upload(self, target: Path) -> None:
        """Copy a finished file and those beside it into the bucket, and remove them from disk.

        Raises:
            PictureError: If it cannot be copied; it stays on disk.
        """
        import rasterio
        import rasterio.shutil

        if not target.exists():
            return
        try:
            with rasterio.Env():
                with open_quietly(target) as file:
                    names = file.files
                rasterio.shutil.copyfiles(str(target), self._object(target))
        except gdal_errors(OSError) as error:
            raise PictureError(
                f"{target}: cannot be written ({reason_of(error)}); run again: it is finished, "
                f"in {self.staging.parent}"
            ) from error
        for name in names:
            Path(name).unlink(missing_ok=True)
        with suppress(OSError):  # where there is more
            self.staging.rmdir()


def _is_file(name: str) -> bool:
    """Return True if a file exists: as raw bytes GDAL opens any, a raster or not."""
    import rasterio

    vrt = (
        '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1" '
        'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">'
        f"{escape(name)}</SourceFilename></VRTRasterBand></VRTDataset>"
    )
    with (
        suppress(*gdal_errors(OSError)),
        # which GDAL refuses otherwise, from version 3.12 on
        rasterio.Env(GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE="ALL"),
        open_quietly(vrt),
    ):
        return True
    return False


def find_remote(output: Path, options: Settled) -> RemoteFolder | None:
    """Return the folder of an output in a bucket; None for one on disk."""
    name = as_input(output)
    if not isinstance(name, DatasetName) or not is_remote(name.gdal):
        return None
    if not options.allow_remote:
        raise UsageError(f"{output}: is on the network: give --allow-remote, or a file")
    if options.stac:
        raise UsageError(f"{output}: items of --stac are written to disk alone")
    if not _BUCKET.match(name.gdal):
        raise UsageError(
            f"{output}: cannot be written to; give s3://, gs:// or az://BUCKET/NAME, or a file"
        )
    folder = str(output)
    gdal = name.gdal
    file_name = ""
    if name.suffix and not options.into_folder:
        folder, _, file_name = folder.rpartition("/")
        gdal = gdal.rpartition("/")[0]
    gdal = gdal.rstrip("/")
    staging = cache_folder() / "uploads" / f"{zlib.crc32(gdal.encode()):08x}"
    return RemoteFolder(folder.rstrip("/"), gdal, staging, file_name)
