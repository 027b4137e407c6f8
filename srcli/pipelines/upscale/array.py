"""``srcli.upscale``: one picture or raster: an array, a PIL image, a file, an open dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, overload

import numpy as np
from PIL import Image

from srcli.errors import PictureError, UsageError
from srcli.imaging.files.decoding import DAMAGE
from srcli.imaging.files.formats import format_of_suffix
from srcli.imaging.metadata.embedded import profile_fits
from srcli.imaging.metadata.fitting import fit_metadata
from srcli.imaging.photographs.photograph import Photograph, Picture
from srcli.imaging.photographs.pillow import decode_pixels, to_image
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import resize
from srcli.imaging.rasters.heights import (
    MOST,
    are_packed_heights,
    pack,
    unpack,
)
from srcli.imaging.rasters.meanings import AlphaMode, ClassMode
from srcli.inference.device import Precision, check_share, choose_device
from srcli.inference.engines import pools_of_run
from srcli.layers.network import undisturbed
from srcli.models.weights import PHOTO_MODEL, is_mixed, model_text
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.choosing import choose_model
from srcli.pipelines.upscale.kinds import open_item
from srcli.pipelines.upscale.open_rasters import (
    raster_as_image,
    upscale_data_array,
    upscale_dataset,
)
from srcli.pipelines.upscale.options import (
    AUTO,
    BEST,
    Settled,
    settle,
)
from srcli.pipelines.upscale.photographs import PhotographUpscaler
from srcli.pipelines.upscale.python_options import (
    FractionTask,
    ShowProgress,
    errors_in_python,
    given_arguments,
    read_raster_arguments,
)
from srcli.pipelines.upscale.reporter import Item, Reporter
from srcli.ports import Wrap

AnyPicture = TypeVar("AnyPicture", "Array", Image.Image)


@overload
def upscale(picture: AnyPicture, *args: Any, **options: Any) -> AnyPicture: ...
@overload
def upscale(
    picture: str | os.PathLike[str], *args: Any, **options: Any
) -> Image.Image: ...
@overload
def upscale(picture: Any, *args: Any, **options: Any) -> Any: ...  # noqa: ANN401
@errors_in_python()
def upscale(  # noqa: PLR0913 - the options of the command, by name
    picture: Any,
    model: str | os.PathLike[str] = "auto",
    scale: int | None = None,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    tta: bool = False,
    back_project: bool | Literal["bicubic", "area"] = False,
    strength: float | None = None,
    denoise: float = 1.0,
    keep_hidden: bool = False,
    wrap: Wrap = "",
    device: str = "auto",
    precision: Precision = "auto",
    value_range: int | None = None,
    progress: bool | Callable[[float], object] = False,
    window: Any = None,
    bidx: Sequence[int] | None = None,
    rgb: Sequence[int] | Literal["none"] | None = None,
    range: Literal["auto", "dtype"] | tuple[float, float] = "auto",
    nodata: float | Sequence[float] | Literal["file", "none"] | None = None,
    classes: ClassMode = "auto",
    alpha: AlphaMode = "auto",
    disk_check: bool = True,
    divide: bool = False,
) -> Any:
    """Upscale a picture or a raster.

    The first call with a model loads it, which takes a second; the last eight stay in
    memory until their files change.

    Args:
        picture: (H, W), or (H, W, C) with 1 gray, 2 gray + alpha, 3 RGB or 4 RGBA
            channels; uint8, uint16, or float in [0, 1], in any byte order. Floats in
            [0, 1] stay there; others, such as rain or depths, stay on their side of 0,
            and within an end that many lie on. Sums of amounts stay with a DataArray,
            ``xarray.DataArray(array, dims=("y", "x"))``, not with an array. Or a PIL
            image: modes 1, L, P, RGB and their like become L or RGB, with alpha where
            they have transparency of any form; modes of 16 bits, and I with values from
            0 to 65535, become I;16 (a transparent value of 16 bits is an error, as PIL
            has no mode for the result); CMYK and others become RGB. Or the path of a
            picture in any format that ``srx upscale`` reads: a photograph is turned
            upright by its EXIF orientation, a raster (GeoTIFF and others) is enlarged
            as by the command, with nodata, masks and classes. Or a raster that is
            open: a dataset of rasterio (``rasterio.open(path)``, ``WarpedVRT``), or a
            DataArray of xarray with rioxarray (extra ``srcli[xarray]``) and the
            dimensions (y, x) or (band, y, x); int8 to int32, uint8 to uint32, floats
            in any range, enlarged as ``srx upscale`` enlarges a file of them; masks of
            booleans are repeated, as arrays of numpy too, and so are integers of 64
            bits that hold classes. Coordinates of a DataArray are evenly spaced (others,
            such as latitudes and longitudes of each pixel, are enlarged along), several
            times are no bands (``data.isel(time=0)``), and no band is alpha; words as its band
            coordinate, or as ``long_name``, tell red, green and blue. Dask arrays are
            computed.
        model: ``auto``, as of the command: by what the picture needs, an array by its
            pixels alone; ``best`` is that with Real-ESRGAN's networks. Or a name of
            ``srx models``, or a weights file.
        scale: 1 to 16; None for 4, or that of a weights file. One that the model lacks
            is made by its others, one after the other, and a resize.
        tile: Tile size in input pixels; the model's by default.
        overlap: Overlap of neighbouring tiles in input pixels; the model's by default.
        tta: Average over the 8 flips and rotations: a little better, 8 times slower.
        back_project: Correct the result so that bicubic downscaling gives the picture
            again, or for ``area`` the mean of the pixels that each became; for clean
            pictures only, as noise and JPEG blocks are kept as well.
        strength: How far ``g-idrn-photo`` becomes ``g-idrn-photo-crisp``, 0 to 1; None
            is 1 where ``auto`` chooses it, 0.5 at x3, and else 0. Networks of others,
            and ``best``: their share, the remainder is of ``g-idrn-photo``; None is
            1. Other models stay as they are.
        denoise: How much of what the model took for noise stays away, 0 to 1; grain
            comes back as soft as bicubic interpolation makes it. Not together with
            ``back_project``.
        keep_hidden: Keep colours that alpha hides, where it is data such as gloss or
            height; else they are replaced by those around them.
        wrap: ``x``, ``y`` or ``both``: the picture goes on at its opposite border, as a
            panorama of 360 degrees (x) or a texture (both) does.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        value_range: White, 1 or 255, inside the network of a weights file of other
            software; None finds it by a test picture.
        progress: A function that is called with the fraction that is done, up to 1.0,
            after every tile, and whose errors end the call; True draws a bar on
            standard error.
        window: A ``rasterio.windows.Window`` of whole pixels: only this part of a
            dataset, or of the file of a path, is read and enlarged. This and what
            follows is for rasters: datasets, DataArrays (but for the window) and paths.
        bidx: Numbers of the bands to keep, from 1, in this order; None keeps all.
        rgb: Numbers of the bands that go through the network together as red, green
            and blue; ``none``: each band alone; None finds them.
        range: Values that are black and white for the network, ``(low, high)``;
            ``auto`` finds them, ``dtype`` takes all of the type.
        nodata: The value of pixels without data, instead of what the raster says, or
            several, of which the others are kept as they are; ``none`` treats all
            values as data.
        classes: ``yes`` repeats the pixels of all bands, ``no`` those of none; ``auto``
            finds the bands that hold classes, flags or masks.
        alpha: Bands called alpha are transparency (``yes``), data (``no``), or what
            they look like (``auto``).
        disk_check: Refuse a raster for which the folder of temporary files has no room;
            False begins it all the same.
        divide: Values are counts or amounts of a pixel: they are divided among the pixels
            that it becomes, so that totals stay.

    Returns:
        The same kind, number of dimensions and dtype, both sides ``scale`` times as
        long. A path gives a PIL image. A dataset gives a dataset that is open for
        reading and lies in memory: ``read()`` gives (C, H, W), and ``profile``,
        ``transform``, ``nodata``, masks and tags are those of the file that ``srx
        upscale`` would write; closing it frees the memory. A DataArray gives a
        DataArray whose coordinates, transform and attributes fit its pixels. PIL
        images keep the ``dpi`` of ``picture`` in their ``info``, and the
        ``icc_profile`` if that fits the colours of the result (gray, RGB); EXIF and
        everything else is dropped: a photograph that EXIF turns is to be turned before,
        by ``PIL.ImageOps.exif_transpose``.

    Raises:
        UsageError: If the picture's shape, type or values, or an option, are not as above.
        ModelError: If the model does not exist, or a file is not for this scale.
        PictureError: If the file of a path cannot be read, or PIL has no mode for the
            result.
        InferenceError: If values come out that are not finite, or a tile does not fit
            into memory.
    """
    _check_choice("precision", precision, get_args(Precision))
    _check_choice("wrap", wrap, get_args(Wrap))
    model = model_text(model)
    scale = _check_whole_number("scale", scale, 1)
    tile = _check_whole_number("tile", tile, 1)
    overlap = _check_whole_number("overlap", overlap, 0)
    value_range = _check_whole_number("value_range", value_range, 1)
    _check_flags(tta=tta, keep_hidden=keep_hidden, disk_check=disk_check, divide=divide)
    if not callable(progress):
        _check_flags(progress=progress)
    check_share("strength", 0 if strength is None else strength)
    has_strength = model in (AUTO, BEST, PHOTO_MODEL) or is_mixed(model)
    if strength and not has_strength:
        strength = 0.0
    of_rasters = {
        "window": window, "bidx": bidx, "rgb": rgb, "range": range, "nodata": nodata,
        "classes": classes, "alpha": alpha, "divide": divide,
    }  # fmt: skip
    asked = Asked(
        **read_raster_arguments(of_rasters),
        model=model,
        scale=scale,
        tile=tile,
        overlap=overlap,
        tta=tta,
        back_project="bicubic" if back_project is True else back_project or "",
        strength=strength,
        denoise=denoise,
        keep_hidden=keep_hidden,
        wrap=wrap,
        # ``auto`` is resolved here, as its meaning may change while the process lives
        device=str(choose_device(device)),
        precision=precision,
        value_range=value_range,
        disk_check=disk_check,
    )
    options = settle(asked)
    package = type(picture).__module__.partition(".")[0]
    if isinstance(picture, str | os.PathLike):
        return _enlarge_file(Path(picture), options, progress)
    if package == "rasterio":
        return upscale_dataset(picture, options, progress)
    _check_meant_for_arrays(asked, is_data_array=package == "xarray")
    if package == "xarray":
        return upscale_data_array(picture, options, progress)
    if isinstance(picture, np.ma.MaskedArray):
        raise UsageError(
            "a masked array would lose its mask; give floats with NaN, such as by "
            "array.astype(float).filled(numpy.nan), or an open dataset or a DataArray"
        )
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.bool_ and picture.ndim in (2, 3):
            return _repeat_mask(picture, options)
        return _enlarge(picture, options, progress)
    if isinstance(picture, Image.Image):
        file_format = format_of_suffix(picture.format or "") or ""
        array = _pixels_of_image(picture)
        enlarged = _enlarge(array, options, progress, file_format)
        return _as_image(
            enlarged, picture.info.get("icc_profile"), picture.info.get("dpi")
        )
    name = type(picture).__name__
    if package == "torch":
        name = (
            "a torch tensor; give tensor.permute(1, 2, 0).cpu().numpy() for (C, H, W)"
        )
    raise UsageError(
        "expected a path, a PIL image, a numpy array (H, W) or (H, W, C), an open dataset or a "
        f"DataArray, got {name}"
    )


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:  # noqa: ANN401
    """Refuse a value that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(filter(None, choices))
        raise UsageError(f"{name}={value!r}: give one of {listed}")


def _check_flags(**flags: object) -> None:
    """Refuse values that are neither true nor false: a text such as ``no`` would count as true."""
    for name, value in flags.items():
        if value is not None and not isinstance(value, int | np.bool_):
            extra = ", or a function" if name == "progress" else ""
            raise UsageError(f"{name}={value!r}: give True or False{extra}")


def _check_meant_for_arrays(asked: Asked, *, is_data_array: bool) -> None:
    """Refuse options of rasters that mean nothing for arrays, or for a DataArray."""
    if asked.srcwin is not None:
        raise UsageError("window= is for datasets and paths; cut the array instead")
    names = given_arguments(asked)
    if names and not is_data_array:
        raise UsageError(
            f"{names[0]}= is for rasters: datasets, DataArrays and paths; not for arrays"
        )


def _repeat_mask(mask: Array, options: Settled) -> Array:
    """Enlarge a mask (H, W) or (H, W, C) of booleans by repeating each pixel."""
    factor = options.final_size((1, 1))[0]
    return mask.repeat(factor, axis=0).repeat(factor, axis=1)


def _enlarge_file(path: Path, options: Settled, progress: ShowProgress) -> Image.Image:
    item = Item(source=path, target=path, format="tif")
    opened = open_item(item, options)
    if opened.kind.is_raster:
        return raster_as_image(path, options, progress)
    photograph = read_photograph(opened.picture)
    array = _join_alpha(photograph)
    if array.dtype != np.uint8 and array.shape[2] > 1:
        raise PictureError(
            f"{path}: PIL has no mode for {array.shape[2]} channels of {array.dtype}; give "
            "an array, or use 'srx upscale'"
        )
    enlarged = _enlarge(array, options, progress, opened.picture.format)
    size = enlarged.shape[0], enlarged.shape[1]
    metadata, _ = fit_metadata(photograph.metadata, opened.picture.map_to(size))
    return _as_image(enlarged, metadata.profile, metadata.dpi)


def _as_image(
    array: Array, profile: bytes | None, dpi: tuple[float, float] | None
) -> Image.Image:
    """Return an array as a PIL image with resolution, and with the colour profile if it fits."""
    image = to_image(array)
    if dpi:
        image.info["dpi"] = dpi
    channels = 1 if array.shape[2] < 3 else 3
    if profile and profile_fits(profile, channels):
        image.info["icc_profile"] = profile
    return image


def _enlarge(
    array: Array, options: Settled, progress: ShowProgress, file_format: str = ""
) -> Array:
    """Upscale an array by one pass, or by two for a scale that the model lacks."""
    photograph = _split_alpha(array)
    if _holds_heights(photograph):
        FractionTask(progress).message(
            "the colours are bytes of heights: interpolated as numbers"
        )
        return _enlarge_heights(photograph, options)
    model, _ = choose_model(photograph, options, file_format)
    picture = Picture(
        path=Path("picture"),
        format=file_format,
        height=array.shape[0],
        width=array.shape[1],
        channels=photograph.pixels.shape[2],
        bits=photograph.pixels.itemsize * 8,
    )
    reporter = Reporter(FractionTask(progress))
    reporter.open(1)
    pools = pools_of_run(options.engine)
    photographs = PhotographUpscaler(pools, options, reporter)
    with undisturbed(options.engine.device):
        frames = [(None, photograph)]
        _, enlarged = photographs.enlarge_frames(frames, picture, model)
        ((_, photograph),) = enlarged
    # equal channels are one
    joined = np.require(_join_alpha(photograph), array.dtype, ["C", "W"])
    return joined[:, :, 0] if array.ndim == 2 else joined


def _holds_heights(photograph: Photograph) -> bool:
    """Tell if an array's colours are bytes of heights; see ``heights``."""
    pixels = photograph.pixels
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        return False
    alpha = photograph.alpha
    if alpha is not None and (alpha < alpha.max()).any():
        return False  # what alpha hides has no height
    return are_packed_heights(pixels[None], np.ones((1, *pixels.shape[:2]), np.bool_))


def _enlarge_heights(photograph: Photograph, options: Settled) -> Array:
    """Unpack heights, enlarge them by bicubic interpolation, and pack them again."""
    height, width = photograph.pixels.shape[:2]
    scale = Fraction(options.final_size((height, width))[0], height)
    numbers = resize(pack(photograph.pixels), scale, options.wrap)
    larger = unpack(np.minimum(numbers, MOST).astype(numbers.dtype))
    alpha = photograph.alpha
    if alpha is not None:  # the same everywhere
        alpha = np.full(larger.shape[:2], alpha.flat[0])
    return _join_alpha(Photograph(pixels=larger, alpha=alpha))


def _check_whole_number(name: str, value: Any, least: int) -> Any:  # noqa: ANN401
    """Return an option as an int or None; refuse others and numbers below ``least``."""
    if value is None:
        return None
    with suppress(TypeError, ValueError, OverflowError):
        number = int(value)
        if number == value and number >= least:
            return number
    raise UsageError(f"{name}={value!r}: give None or a whole number from {least}")


def _split_alpha(picture: Array) -> Photograph:
    """Split an array into a photograph's colours and alpha, in a dtype that engines take."""
    if picture.ndim not in (2, 3) or 0 in picture.shape:
        raise UsageError(
            f"expected a PIL image or an array (H, W) or (H, W, C), got {picture.shape}"
        )
    array = np.atleast_3d(picture)
    if array.shape[2] > 4:
        raise UsageError(
            f"expected 1 to 4 channels last, got shape {picture.shape}; (C, H, W) becomes that by "
            "numpy.moveaxis(array, 0, 2); more bands: give a dataset or a DataArray"
        )
    native = array.dtype.newbyteorder("=")
    if native not in (np.uint8, np.uint16) and native.kind != "f":
        raise UsageError(
            f"expected uint8, uint16 or floats in [0, 1], got {picture.dtype}; other values are "
            "taken from open datasets of rasterio and DataArrays"
        )
    if native.kind == "f":
        float32 = np.dtype(np.float32)
        largest = np.abs(array).max(where=np.isfinite(array), initial=0)
        # differences are held as well
        if largest > np.finfo(min(native, float32)).max / 2:
            raise UsageError(
                f"{native} values up to {largest:g} are too close to the largest that it, or "
                "float32, holds; scale them, such as to [0, 1]"
            )
        native = float32
    array = array.astype(native, copy=False)
    alpha = None
    if array.shape[2] % 2 == 0:
        alpha = array[:, :, -1]
        array = array[:, :, :-1]
    return Photograph(pixels=np.ascontiguousarray(array), alpha=alpha)


def _join_alpha(picture: Photograph) -> Array:
    """Return colours and alpha as one array (H, W, C)."""
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


def _pixels_of_image(image: Image.Image) -> Array:
    """Return the pixels of a PIL image of any mode, with any form of transparency as alpha."""
    if 0 in image.size:
        raise UsageError(
            f"PIL image of {image.width}x{image.height}: there are no pixels"
        )
    if image.mode == "F":
        return np.asarray(image)[:, :, None]
    if image.mode[0] != "I":  # of 16 bits
        try:
            pixels, alpha = decode_pixels(image)
        except DAMAGE as error:
            raise UsageError(
                f"PIL image of mode {image.mode}: cannot be read or converted ({error}); "
                "give an image of mode L, LA, RGB or RGBA"
            ) from error
        return _join_alpha(Photograph(pixels=pixels, alpha=alpha))
    if image.info.get("transparency") is not None:
        raise UsageError(
            f"PIL image of mode {image.mode} with a transparent value: PIL has no mode for 16 bits "
            "with alpha; give an array (H, W, 2), or delete info['transparency']"
        )
    values = np.asarray(image)
    low = int(values.min())
    high = int(values.max())
    if low < 0 or high > 65535:
        raise UsageError(
            f"PIL image of mode I with values {low} to {high}: only 0 to 65535 are taken, as 16 "
            "bits; scale them, or convert it to mode F"
        )
    return values.astype(np.uint16)[:, :, None]
