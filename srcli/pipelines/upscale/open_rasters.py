"""``srcli.upscale`` for rasters: open datasets of rasterio, arrays of xarray, files as images."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from srcli.errors import PictureError, UsageError
from srcli.imaging.files.decoding import quiet_libraries
from srcli.imaging.photographs.pillow import to_image
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.rasters.dataset_names import as_input, is_remote
from srcli.imaging.rasters.gdal_access import network_access, open_quietly
from srcli.imaging.rasters.stale_tags import is_outdated
from srcli.imaging.rasters.transforms import bounding_box
from srcli.inference.engines import pools_of_run
from srcli.layers.network import undisturbed
from srcli.pipelines.upscale.python_options import FractionTask, ShowProgress
from srcli.pipelines.upscale.rasters import run_steps_here, upscale_one_raster
from srcli.pipelines.upscale.reporter import Item, Reporter

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.io import DatasetReader

    from srcli.pipelines.upscale.options import Settled


_FOR_XARRAY = "pip install 'srcli[xarray]', which brings rioxarray"
_CF_ATTRIBUTES = (
    "units", "valid_range", "valid_min", "valid_max", "missing_value", "flag_values",
    "flag_masks", "flag_meanings",
)  # fmt: skip
"""Attributes of the CF conventions that say what values mean."""
_OUTDATED = frozenset({
    "transform", "shape", "res", "resolution", "actual_range", "bounds", "multiscales",
    "tile_matrix_set", "tile_matrix_limits",
})  # fmt: skip
"""Names of attributes, also of coordinates, that are wrong for the enlarged pixels."""
_CONVENTIONS = ("spatial:", "proj:")
"""Prefixes of attributes of a grid: GeoZarr, and STAC or EOPF."""
_OF_GRIDS = frozenset(
    prefix + name for prefix in _CONVENTIONS for name in ("transform", "shape", "bbox")
)
"""Attributes of a grid: that of the array, or within others that of whatever they describe."""
_GEO_TRANSFORM = "GeoTransform"
"""GDAL's text of a transform, among the attributes of a grid mapping."""
_OF_ITEMS = frozenset({"proj:shape", "proj:transform"})
"""Coordinates without dimensions by which stackstac tells the grid of an input's file."""
_SLACK = 0.1
"""Share of a pixel by which coordinates may differ from evenly spaced ones."""
_HALF_TURN = 180
"""Degrees; neighbours whose longitudes differ by more lie on both sides of a border."""


def raster_as_image(
    path: Path, options: Settled, progress: ShowProgress
) -> Image.Image:
    """Upscale the raster at a path; a mask is alpha, and PIL must have a mode for the result."""
    from rasterio.enums import ColorInterp, MaskFlags

    with (
        _enlarged_file(path, options, progress) as enlarged,
        open_quietly(enlarged) as file,
    ):
        pixels = np.moveaxis(file.read(), 0, 2)
        nodata = file.nodata
        # rasterio's masks are those of alpha and nodata too
        is_masked = [MaskFlags.per_dataset] == file.mask_flag_enums[0]
        has_alpha = file.colorinterp[-1] == ColorInterp.alpha
        if is_masked and pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
            pixels = np.dstack([pixels, file.dataset_mask()])
            has_alpha = True
    dtype = pixels.dtype
    count = pixels.shape[2]
    is_known = count in (1, 3) or (count in (2, 4) and has_alpha)
    if count == 1 and dtype in (np.int16, np.int32):
        image = Image.fromarray(pixels[:, :, 0].astype(np.int32))
    elif (dtype == np.uint8 and is_known) or (
        count == 1 and dtype in (np.uint16, np.float32)
    ):
        image = to_image(pixels)
    else:
        raise PictureError(
            f"{path}: PIL has no mode for {count} band(s) of {dtype}; give "
            "rasterio.open(path), which gives a dataset"
        )
    if nodata is not None:
        image.info["nodata"] = nodata
    return image


def upscale_dataset(
    dataset: DatasetReader, options: Settled, progress: ShowProgress
) -> DatasetReader:
    """Upscale an open dataset into one in memory."""
    from rasterio.io import MemoryFile

    if isinstance(dataset, MemoryFile) or dataset.closed or dataset.mode != "r":
        raise UsageError(f"{dataset.name}: give a dataset that is open for reading")
    path = as_input(dataset.name)
    access: AbstractContextManager[None] = nullcontext()
    if any(map(is_remote, [dataset.name, *dataset.files])):
        # who has opened it has permitted what it reads
        access = network_access(allowed=True)
    result: DatasetReader
    with access, _enlarged_file(path, options, progress, dataset) as enlarged:
        result = open_quietly(BytesIO(enlarged.read_bytes()))
    return result


def upscale_data_array(
    data: Any,  # noqa: ANN401
    options: Settled,
    progress: ShowProgress,
) -> Any:  # noqa: ANN401
    """Upscale a DataArray of xarray; see ``srcli.upscale``."""
    _check_data_array(data)
    if options.bands is not None:
        data = _with_bands(data, options.bands)
        options = replace(options, bands=None)
    asked_type = data.dtype
    if asked_type.kind == "b":  # a mask
        data = data.astype(np.uint8)
        options = replace(options, classes="yes")
    elif asked_type.name == "float16":  # which not every GDAL writes
        data = data.astype(np.float32)
    transform = _transform_of(data)
    path = Path(str(data.name or "DataArray"))
    with (
        _as_dataset(data, transform) as dataset,
        _enlarged_file(path, options, progress, dataset) as enlarged,
        open_quietly(enlarged) as result,
    ):
        values = result.read()
        values = values.reshape(*data.shape[:-2], *result.shape)
        _clip_for_packing(values, data)
        array = _array_like(data, values, result.transform)
        points, crs = result.gcps
        if points:
            array = array.rio.write_gcps(points, crs)
        return array.astype(asked_type) if array.dtype != asked_type else array


def _with_bands(data: Any, numbers: Sequence[int]) -> Any:  # noqa: ANN401
    """Return the bands of these numbers, from 1, in this order."""
    count = len(data) if data.ndim == 3 else 1
    if max(numbers) > count:
        raise UsageError(
            f"DataArray {dict(data.sizes)}: has {count} band(s), so bidx={numbers} does not fit"
        )
    if data.ndim < 3:
        return data
    return data.isel({data.dims[0]: [number - 1 for number in numbers]})


def _clip_for_packing(values: Array, data: Any) -> None:  # noqa: ANN401
    """Move values of each band, in place, to the extremes of a DataArray's that was packed.

    xarray packs it into integers or half floats again when it is written, where values
    beyond them would wrap, become the fill value, or be too large.
    """
    packed = np.dtype(data.encoding.get("dtype") or data.dtype)
    if packed == data.dtype or (packed.kind == "f" and packed.itemsize > 2):
        return
    before = data.values
    low = np.fmin.reduce(before, axis=(-2, -1), keepdims=True)
    high = np.fmax.reduce(before, axis=(-2, -1), keepdims=True)
    values.clip(low, high, out=values)


def _check_data_array(data: Any) -> None:  # noqa: ANN401
    """Refuse an xarray object that is no raster of the dimensions (y, x) or (band, y, x)."""
    if not hasattr(data, "coords") or callable(data.values):
        raise UsageError(
            f"got an xarray {type(data).__name__}: give a DataArray: one of the variables of a "
            "Dataset, or dataset.to_dataarray('band')"
        )
    try:
        import rioxarray  # noqa: F401 - which adds data.rio
    except ImportError:
        raise UsageError(f"a DataArray needs rioxarray: {_FOR_XARRAY}") from None
    from rioxarray.exceptions import RioXarrayError

    try:
        axes = (data.rio.y_dim, data.rio.x_dim)
    except RioXarrayError as error:
        raise UsageError(f"DataArray {data.dims}: {error}") from None
    if data.dims[-2:] != axes or data.ndim > 3 or not data.size:
        raise UsageError(
            f"DataArray {dict(data.sizes)}: give the dimensions (y, x) or (band, y, x), "
            "such as by data.transpose('band', 'y', 'x') and data.isel(time=0)"
        )
    if data.ndim == 3 and len(data) > 1:
        name = data.dims[0]
        if str(name).lower() == "time" or data[name].dtype.kind in "mM":
            raise UsageError(
                f"DataArray {dict(data.sizes)}: times are no bands; enlarge one step after the "
                f"other, such as by data.isel({name}=0)"
            )
    if data.dtype.kind not in "uifb":
        raise UsageError(
            f"DataArray of {data.dtype}: give integers, floats or booleans, "
            "such as by data.astype('float32')"
        )


def _transform_of(data: Any) -> Affine:  # noqa: ANN401
    """Return the transform of a DataArray; refuse coordinates that have none.

    One that is stored may be that of an array before ``coarsen`` or a step of slices.
    """
    from rioxarray.exceptions import RioXarrayError

    stated = transform_of_corners(data)
    if stated is not None:
        return stated
    try:
        transform: Affine = data.rio.transform()
        if not _fits(transform, data):
            transform = data.rio.transform(recalc=True)
    except RioXarrayError as error:
        raise UsageError(f"DataArray {dict(data.sizes)}: {error}") from None
    if not _fits(transform, data):
        raise UsageError(
            f"DataArray {dict(data.sizes)}: its coordinates are not evenly spaced, or are of one "
            "pixel; give data.interp(...), or data.rio.write_transform(...)"
        )
    return transform


def _fits(transform: Affine, data: Any) -> bool:  # noqa: ANN401
    """Tell if the coordinates are those of a transform, up to a tenth of a pixel."""
    if not transform.is_rectilinear:
        return True  # by row and column together
    for name, (start, step) in _axes_of(data, transform).items():
        if name not in data.coords:
            continue
        first_centre = start + step / 2
        if not are_even(data.coords[name].values, first_centre, step):
            return False
    return True


def _axes_of(data: Any, transform: Affine) -> dict[Hashable, tuple[float, float]]:  # noqa: ANN401
    """Return where a transform lets x and y begin, and their steps, by names of dimensions."""
    return {
        data.rio.x_dim: (transform.c, transform.a),
        data.rio.y_dim: (transform.f, transform.e),
    }


def _nodata_of(data: Any) -> float | None:  # noqa: ANN401
    """Return the nodata value of a DataArray; None if its dtype cannot hold it."""
    try:
        nodata: float | None = data.rio.nodata
    except (ValueError, OverflowError):
        # an array of integers that states NaN, as if it had been decoded to floats
        nodata = data.encoding.get("_FillValue")
    if nodata is not None and data.dtype.kind != "f":
        limits = np.iinfo(data.dtype)
        if not limits.min <= nodata <= limits.max:
            return None
    return nodata


@contextmanager
def _as_dataset(
    data: Any,  # noqa: ANN401
    transform: Affine,
) -> Iterator[DatasetReader]:
    """Yield a DataArray as an open dataset in memory; a band coordinate of words names bands."""
    from rasterio.io import MemoryFile

    bands: Array = data.values
    bands = bands.reshape(-1, *bands.shape[-2:])
    names = np.atleast_1d(data.attrs.get("long_name", ()))
    if data.ndim == 3 and data.dims[0] in data.coords:
        labels = data.coords[data.dims[0]].values
        if labels.dtype.kind in "UOT":
            names = labels
    with MemoryFile() as memory:
        with (
            quiet_libraries(),
            memory.open(
                driver="GTiff",
                count=len(bands),
                height=bands.shape[1],
                width=bands.shape[2],
                dtype=bands.dtype.name,
                crs=data.rio.crs,
                transform=None if transform.is_identity else transform,
                nodata=_nodata_of(data),
                photometric="MINISBLACK",  # else GDAL takes a fourth band for alpha
                alpha="UNSPECIFIED",
                bigtiff="IF_SAFER",
            ) as writer,
        ):
            writer.write(bands)
            for name in data.attrs.keys() & _CF_ATTRIBUTES:
                for number in writer.indexes:
                    writer.update_tags(number, **{name: str(data.attrs[name])})
            points = data.rio.get_gcps()
            if points:
                writer.gcps = points, data.rio.crs
            if len(names) == len(bands):
                writer.descriptions = [str(name) for name in names]
        with quiet_libraries():
            dataset = memory.open()
        yield dataset


def _array_like(data: Any, values: Array, transform: Affine) -> Any:  # noqa: ANN401
    """Return values as a DataArray with the names of ``data``, on the grid of a transform."""
    scale = values.shape[-1] // data.shape[-1]
    result = type(data)(
        values,
        dims=data.dims,
        coords=enlarge_coordinates(data, transform, scale),
        name=data.name,
        attrs=fit_attributes(data.attrs, transform, values.shape[-2:]),
    )
    result.encoding = dict(data.encoding)
    x_dim = data.rio.x_dim
    y_dim = data.rio.y_dim
    if not data.rio.transform().is_identity:
        result = result.rio.set_spatial_dims(x_dim, y_dim)
        result = result.rio.write_transform(transform)
    return result


@contextmanager
def _enlarged_file(
    path: Path,
    options: Settled,
    progress: ShowProgress,
    dataset: DatasetReader | None = None,
) -> Iterator[Path]:
    """Enlarge a raster as the command line does; yield a GeoTIFF that lives for the block."""
    if options.lacking_scale:
        raise UsageError(f"scale={options.size}: {options.lacking_scale}")
    task = FractionTask(progress)
    reporter = Reporter(task)
    reporter.open(1)
    pools = pools_of_run(options.engine)
    run_steps = partial(run_steps_here, pools, reporter)
    with tempfile.TemporaryDirectory(prefix="srx-") as folder:
        item = Item(source=path, target=Path(folder) / "enlarged.tif", format="tif")
        with undisturbed(options.engine.device):
            maker = partial(
                upscale_one_raster, item, options, reporter, run_steps, dataset=dataset
            )
            reporter.make(item, maker)
        if reporter.counts["failed"]:
            raise task.error or PictureError(reporter.files[0].error)
        yield item.target


def enlarge_coordinates(
    data: Any,  # noqa: ANN401
    transform: Affine,
    scale: int,
) -> dict[Hashable, Any]:
    """Return the coordinates of an enlarged DataArray, whose transform is given.

    Those of x and y are the centres of its pixels, or for a rotated grid numbers of
    pixels as before. Others along both or one of them are interpolated if they are
    floats, such as latitudes and longitudes of a swath, and repeated otherwise.
    """
    x_dim = data.rio.x_dim
    y_dim = data.rio.y_dim
    has_grid = x_dim in data.coords and y_dim in data.coords
    shape = (data.shape[-2] * scale, data.shape[-1] * scale)
    coordinates: dict[Hashable, Any] = {}
    for name, coordinate in data.coords.items():
        dims = coordinate.dims
        if name in _OF_ITEMS:
            continue
        if {x_dim, y_dim}.isdisjoint(dims):
            attributes = coordinate.attrs
            if not dims:  # such as a grid mapping
                attributes = fit_attributes(attributes, transform, shape)
            coordinates[name] = coordinate.copy()
            coordinates[name].attrs = attributes
        elif name in (x_dim, y_dim):
            if has_grid:
                start, step = _axes_of(data, transform)[name]
                centres = np.arange(len(coordinate) * scale) + 0.5
                values = np.asarray(start + step * centres)
                if not transform.is_rectilinear:
                    values = _of_rotated_grid(coordinate.values, scale)
                coordinates[name] = (dims, values, lasting(coordinate.attrs))
        else:
            axes = [dims.index(dim) for dim in (y_dim, x_dim) if dim in dims]
            values = _enlarge(coordinate, axes, scale)
            coordinates[name] = (dims, values, lasting(coordinate.attrs))
    return coordinates


def are_even(values: Array, start: float, step: float) -> bool:
    """Tell if coordinates are ``start`` and further steps, up to a tenth of a step each."""
    even = start + step * np.arange(len(values))
    is_beside = np.abs(values - even).max() > _SLACK * abs(step)
    return not is_beside


def transform_of_corners(data: Any) -> Affine | None:  # noqa: ANN401
    """Return the transform of a DataArray whose x and y are upper left corners of pixels.

    stackstac gives them, where others give centres, and among the attributes the
    transform of the array before it was cut. None for centres, or if nothing is stated.
    """
    from affine import Affine

    try:
        stated = Affine(*tuple(data.attrs["transform"])[:6])
    except (KeyError, TypeError, ValueError):
        return None
    starts = []
    for name, (origin, step) in _axes_of(data, stated).items():
        if name not in data.coords or not stated.is_rectilinear:
            return None
        values = data.coords[name].values
        start = origin + step * round((values[0] - origin) / step)
        if not are_even(values, start, step):
            return None
        starts.append(start)
    return Affine(stated.a, 0, starts[0], 0, stated.e, starts[1])


def fit_attributes(
    attributes: Mapping[str, Any], transform: Affine, shape: tuple[int, int]
) -> dict[str, Any]:
    """Return the attributes of a DataArray or grid mapping for enlarged pixels.

    Those that hold no longer are left out, those of the grid are made right: by its
    transform and shape (rows, columns). One without a place on the map has none.
    """
    kept = lasting(attributes)
    edges = bounding_box(transform, (0, 0, *shape[::-1]))
    grid = {
        "transform": list(transform),
        "shape": list(shape),
        "bbox": list(edges),
    }
    if transform.is_identity:
        grid = {"shape": list(shape)}
    for prefix in _CONVENTIONS:
        for name, right in grid.items():
            stated = attributes.get(prefix + name)
            if stated is not None:
                kept[prefix + name] = right[: len(stated)]
    # transforms of pixels' centres
    if kept.get("spatial:registration") == "node":
        kept.pop("spatial:transform", None)
    if _GEO_TRANSFORM in attributes and not transform.is_identity:
        kept[_GEO_TRANSFORM] = " ".join(map(str, transform.to_gdal()))
    return kept


def lasting(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a DataArray or coordinate that hold for enlarged pixels."""
    kept = {}
    for name, value in attributes.items():
        is_statistic = str(name).startswith("STATISTICS_")
        is_grid = hasattr(value, "resolutions_xy")  # RasterSpec of stackstac
        is_wrong = is_statistic or is_grid or name in _OUTDATED | _OF_GRIDS
        if is_wrong or is_outdated(str(name)):
            continue
        kept[name] = lasting(value) if isinstance(value, Mapping) else value
    return kept


def _of_rotated_grid(values: Array, scale: int) -> Array:
    """Return numbers of pixels, as odc-geo gives rotated grids, or what else stands there."""
    count = len(values)
    if np.array_equal(values, np.arange(count) + 0.5):
        return np.asarray(np.arange(count * scale) + 0.5)
    return _interpolate(values.astype(np.float64), 0, scale)


def _enlarge(coordinate: Any, axes: Sequence[int], scale: int) -> Array:  # noqa: ANN401
    """Return the values of a coordinate at the pixels of the enlarged array."""
    values: Array = coordinate.values
    if values.dtype.kind != "f":
        for axis in axes:
            values = values.repeat(scale, axis=axis)
        return values
    exact = values.astype(np.float64)
    is_turning = _crosses_border(exact, axes, coordinate)
    if is_turning:
        for axis in axes:
            exact = np.unwrap(exact, axis=axis, period=2 * _HALF_TURN)
    for axis in axes:
        exact = _interpolate(exact, axis, scale)
    if is_turning:
        lowest = 0 if np.nanmax(values) > _HALF_TURN else -_HALF_TURN
        exact = (exact - lowest) % (2 * _HALF_TURN) + lowest
    return exact.astype(values.dtype)


def _crosses_border(values: Array, axes: Sequence[int], coordinate: Any) -> bool:  # noqa: ANN401
    """Tell if longitudes jump by 360 degrees between pixels beside each other."""
    words = f"{coordinate.name} {coordinate.attrs.get('units', '')}".lower()
    if "lon" not in words and "degree" not in words:
        return False
    for axis in axes:
        steps = np.abs(np.diff(values, axis=axis))
        if steps.size and np.nanmax(steps) > _HALF_TURN:
            return True
    return False


def _interpolate(values: Array, axis: int, scale: int) -> Array:
    """Interpolate along an axis between the centres of pixels, and beyond the outermost."""
    count = values.shape[axis]
    if count == 1:
        return values.repeat(scale, axis=axis)
    positions = (np.arange(count * scale) + 0.5) / scale - 0.5
    before = np.floor(positions).astype(int).clip(0, count - 2)
    share = (positions - before).reshape(
        [-1 if n == axis else 1 for n in range(values.ndim)]
    )
    low = values.take(before, axis=axis)
    high = values.take(before + 1, axis=axis)
    return np.asarray(low + share * (high - low))
