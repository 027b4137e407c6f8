"""Write the georeference and tags of a raster into a GeoTIFF, or into files beside a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rasterio is imported late: most of srx works without it
    from collections.abc import Mapping

    from rasterio.io import DatasetWriter

    from srcli.imaging.rasters.output import OutputProfile

# Keys that collide with the arguments of rasterio's update_tags.
_RESERVED = frozenset({"bidx", "ns"})
_WORLD_SUFFIXES = {"png": "*.pgw", "jpg": "*.jgw"}


def georeference_sidecars(output: OutputProfile) -> dict[str, bytes]:
    """Make the world file and .prj of a PNG or JPEG, by keys of ``write_sidecars``."""
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


def set_metadata(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set all metadata of a new GeoTIFF that are not arguments of rasterio.open."""
    from rasterio.enums import ColorInterp

    known = ColorInterp.__members__
    names = [band.interpretation for band in output.bands]
    dataset.colorinterp = [known.get(name, ColorInterp.undefined) for name in names]
    set_tags(dataset, output)
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


def set_tags(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set the tags of the file and of its bands, of all namespaces."""
    _set_tags(dataset, 0, output.tags)
    for place, band in enumerate(output.bands, 1):
        _set_tags(dataset, place, band.tags)


def set_documents(dataset: DatasetWriter, output: OutputProfile) -> None:
    """Set the tags that are complete documents, such as XMP, once more.

    A VRT on disk holds them in other white space.
    """
    documents = {name: tags for name, tags in output.tags.items() if set(tags) == {name}}
    _set_tags(dataset, 0, documents)


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
