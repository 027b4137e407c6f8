"""``srcli.upscale``: upscale one picture in memory: a numpy array, a PIL image, or a file."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcli.errors import PictureError, UsageError
from srcli.imaging.formats import format_of_suffix
from srcli.imaging.metadata.colour_spaces import profile_fits
from srcli.imaging.photograph import Photograph
from srcli.imaging.pillow import decode_pixels, quiet_pillow, to_image
from srcli.imaging.reading import read_photograph
from srcli.inference.building import cached_pool, choose_tiling, run_one
from srcli.inference.device import EngineOptions, Precision, choose_device
from srcli.inference.stream import array_job
from srcli.layers.isolation import undisturbed
from srcli.models.weights import PHOTO_MODEL, is_mixed, model_text
from srcli.pipelines.upscale.options import (
    AUTO,
    BEST,
    UpscaleOptions,
    file_of_model,
)
from srcli.pipelines.upscale.photographs import choose_model, open_photograph
from srcli.pipelines.upscale.preparing import prepare
from srcli.pipelines.upscale.rasters import run_steps_here, upscale_raster
from srcli.pipelines.upscale.reporter import Item, Reporter
from srcli.ports.image import Wrap
from srcli.ports.progress import Progress, Task

log = logging.getLogger(__name__)
ShowProgress = bool | Callable[[float], object]
Picture = TypeVar("Picture", "NDArray[Any]", Image.Image)


@overload
def upscale(picture: Picture, *args: Any, **options: Any) -> Picture: ...
@overload
def upscale(
    picture: str | os.PathLike[str], *args: Any, **options: Any
) -> Image.Image: ...
def upscale(  # noqa: PLR0913 - the options of the command, by name
    picture: Any,
    model: str | os.PathLike[str] = "g-idrn",
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
) -> Any:
    """Upscale a picture.

    The first call with a model loads it, which takes a second; the last two stay in
    memory until their files change.

    Args:
        picture: (H, W), or (H, W, C) with 1 gray, 2 gray + alpha, 3 RGB or 4 RGBA
            channels; uint8, uint16, or float in [0, 1], in any byte order. Or a PIL
            image: modes 1, L, P, RGB and their like become L or RGB, with alpha where
            they have transparency of any form; modes of 16 bits, and I with values from
            0 to 65535, become I;16 (a transparent value of 16 bits is an error, as PIL
            has no mode for the result); CMYK and others become RGB. Or the path of a
            picture in any format that ``srx upscale`` reads: a photograph is turned
            upright by its EXIF orientation, a raster (GeoTIFF and others) is enlarged
            as by the command, with nodata, masks and classes.
        model: A name of ``srx models``, a weights file, or ``auto``: by what the
            picture needs; ``best`` is that with Real-ESRGAN's networks.
        scale: 1 to 16; None for 4, or that of a weights file. One that the model lacks
            is made by its others, one after the other, and a resize.
        tile: Tile size in input pixels; the model's by default.
        overlap: Overlap of neighbouring tiles in input pixels; the model's by default.
        tta: Average over the 8 flips and rotations: a little better, 8 times slower.
        back_project: Correct the result so that bicubic downscaling gives the picture
            again, or for ``area`` the mean of the pixels that each became; for clean
            pictures only, as noise and JPEG blocks are kept as well.
        strength: How far ``g-idrn-photo`` becomes ``g-idrn-photo-crisp``, 0 to 1; None
            is 0.5 where ``auto`` chooses it, 1 at x2, and else 0. Networks of others,
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

    Returns:
        The same kind, number of dimensions and dtype, both sides ``scale`` times as
        long; a path gives a PIL image. PIL images keep the ``dpi`` of ``picture`` in
        their ``info``, and the ``icc_profile`` if that fits the colours of the result
        (gray, RGB); EXIF and everything else is dropped.

    Raises:
        UsageError: If the picture's shape, type or values, or an option, are not as above.
        ModelError: If the model does not exist, or a file is not for this scale.
        PictureError: If the file of a path cannot be read, or PIL has no mode for the
            result.
        InferenceError: If values come out that are not finite, or a tile does not fit
            into memory.
    """
    if precision not in get_args(Precision):
        raise UsageError(
            f"precision={precision!r}: give one of {', '.join(get_args(Precision))}"
        )
    if wrap not in get_args(Wrap):
        raise UsageError(f"wrap={wrap!r}: give x, y or both")
    model = model_text(model)
    scale = _check_whole_number("scale", scale, 1)
    tile = _check_whole_number("tile", tile, 1)
    overlap = _check_whole_number("overlap", overlap, 0)
    # ``auto`` is resolved here, as its meaning may change while the process lives
    engine = EngineOptions(
        device=str(choose_device(device)),
        precision=precision,
        tta=tta,
        back_project="bicubic" if back_project is True else back_project or "",
        strength=strength,
        denoise=denoise,
        value_range=value_range,
    )
    has_strength = model in (AUTO, BEST, PHOTO_MODEL) or is_mixed(model)
    if strength and not has_strength:
        engine = replace(engine, strength=0.0)
    options = UpscaleOptions(
        model=model,
        scale=scale or 0,
        tile=tile,
        overlap=overlap,
        keep_hidden=keep_hidden,
        wrap=wrap,
        engine=engine,
    )
    if isinstance(picture, np.ndarray):
        return _enlarge(picture, options, progress)
    if isinstance(picture, str | os.PathLike):
        return _enlarge_file(Path(picture), options, progress)
    if isinstance(picture, Image.Image):
        file_format = format_of_suffix(picture.format or "") or ""
        array = _pixels_of_image(picture)
        enlarged = _enlarge(array, options, progress, file_format)
        return _as_image(
            enlarged, picture.info.get("icc_profile"), picture.info.get("dpi")
        )
    name = type(picture).__name__
    if type(picture).__module__.partition(".")[0] == "torch":
        name = (
            "a torch tensor; give tensor.permute(1, 2, 0).cpu().numpy() for (C, H, W)"
        )
    raise UsageError(
        f"expected a path, a PIL image or a numpy array (H, W) or (H, W, C), got {name}"
    )


def _enlarge_file(
    path: Path, options: UpscaleOptions, progress: ShowProgress
) -> Image.Image:
    item = Item(source=path, target=path, format="tif")
    opened = open_photograph(item, options)
    if opened is None:
        return enlarge_raster(path, options, progress)
    photograph = read_photograph(opened)
    array = _join_alpha(photograph)
    if array.dtype != np.uint8 and array.shape[2] > 1:
        raise PictureError(
            f"{path}: PIL has no mode for {array.shape[2]} channels of {array.dtype}; give "
            "an array, or use 'srx upscale'"
        )
    enlarged = _enlarge(array, options, progress, opened.format)
    metadata = photograph.metadata
    return _as_image(enlarged, metadata.profile, metadata.dpi)


def _as_image(
    array: NDArray[Any], profile: bytes | None, dpi: tuple[float, float] | None
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
    array: NDArray[Any],
    options: UpscaleOptions,
    progress: ShowProgress,
    file_format: str = "",
) -> NDArray[Any]:
    """Upscale an array by one pass, or by two for a scale that the model lacks."""
    photograph = _split_alpha(array)
    model, _ = choose_model(photograph, options, file_format)
    height, width = array.shape[:2]
    size = options.final_size(height, width)
    passes = []
    tiles = 0
    for scale in options.steps(model, height, width):
        pool = cached_pool(model, scale, options.engine, file_of_model(model, scale)[1])
        tiling = choose_tiling(model, pool.network, options.tile, options.overlap)
        grid = tiling.padded_grid(height, width, options.wrap)
        passes.append((pool, grid))
        tiles += len(grid.tops) * len(grid.lefts)
        height *= scale
        width *= scale
        model = options.model
    task = _FractionTask(progress, tiles)
    final_size = None
    for number, (pool, grid) in enumerate(passes, 1):
        if number == len(passes):
            final_size = size
        prepared = prepare(
            photograph, keep_hidden=options.keep_hidden, wrap=options.wrap
        )
        pixels = prepared.pixels
        image_job, enlarged = array_job(
            pixels, grid, name="picture", scale=pool.network.scale
        )
        with undisturbed(options.engine.device):
            run_one(pool.engine(pixels.dtype.itemsize * 8), image_job, task=task)
        photograph = prepared.finish(enlarged, final_size)
    # equal channels are one
    joined = np.require(_join_alpha(photograph), array.dtype, ["C", "W"])
    return joined[:, :, 0] if array.ndim == 2 else joined


def enlarge_raster(
    path: Path,
    options: UpscaleOptions,
    progress: ShowProgress,
) -> Image.Image:
    """Upscale a raster file into a PIL image, as the command line does into a file."""
    _, changed = file_of_model(options.model, options.scale)
    pool = cached_pool(options.model, options.scale, options.engine, changed)
    reporter = Reporter(_LoggedProgress(progress, 0))
    reporter.open(1)
    with tempfile.TemporaryDirectory(prefix="srx-") as folder:
        item = Item(source=path, target=Path(folder) / "enlarged.tif", format="tif")
        with undisturbed(options.engine.device):
            upscale_raster(
                item, options, reporter, partial(run_steps_here, pool, reporter)
            )
        if reporter.counts["failed"]:
            raise PictureError(reporter.files[0].error)
        return _read_enlarged(path, item.target)


def _read_enlarged(path: Path, enlarged: Path) -> Image.Image:
    """Read the raster ``enlarged`` as a PIL image, its mask as alpha; ``path`` is for messages."""
    import rasterio
    from rasterio.enums import ColorInterp, MaskFlags

    with quiet_pillow(), rasterio.open(enlarged) as file:
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
            f"{path}: PIL has no mode for {count} band(s) of {dtype}; use 'srx upscale'"
        )
    if nodata is not None:
        image.info["nodata"] = nodata
    return image


class _FractionTask(Task):
    """Task that calls ``progress`` with the fraction of tiles done; True draws a bar."""

    def __init__(self, progress: ShowProgress, tiles: float) -> None:
        self._show: Callable[[float], object] | None = None
        if progress is True:
            self._show = _draw_bar
        elif progress:
            self._show = progress
        self._tiles = tiles
        self._finished = 0.0

    def grow(self, amount: float) -> None:
        self._tiles += amount

    def advance(self, amount: float = 1.0) -> None:
        self._finished += amount
        if self._show is not None:
            self._show(self._finished / self._tiles)


class _LoggedProgress(_FractionTask, Progress):
    """Progress whose messages go to Python's log, and whose only task are the tiles."""

    def task(self, label: str, *, total: float | None = None, unit: str = "") -> Task:
        return self

    def message(self, text: str) -> None:
        log.info("%s", text)

    def warn(self, text: str) -> None:
        log.warning("%s", text)


def _draw_bar(fraction: float) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r[{'#' * round(40 * fraction):40}] {fraction:4.0%}{end}")
    sys.stderr.flush()


def _check_whole_number(name: str, value: Any, least: int) -> Any:  # noqa: ANN401
    """Return an option as an int or None; refuse others and numbers below ``least``."""
    if value is None:
        return None
    with suppress(TypeError, ValueError, OverflowError):
        number = int(value)
        if number == value and number >= least:
            return number
    raise UsageError(f"{name}={value!r}: give None or a whole number from {least}")


def _split_alpha(picture: NDArray[Any]) -> Photograph:
    """Split an array into a photograph's colours and alpha, in a dtype that engines take."""
    if picture.ndim not in (2, 3) or 0 in picture.shape:
        raise UsageError(
            f"expected a PIL image or an array (H, W) or (H, W, C), got {picture.shape}"
        )
    array = np.atleast_3d(picture)
    if array.shape[2] > 4:
        raise UsageError(f"expected 1 to 4 channels last, got shape {picture.shape}")
    native = array.dtype.newbyteorder("=")
    if native not in (np.uint8, np.uint16) and native.kind != "f":
        raise UsageError(
            f"expected uint8, uint16 or floats in [0, 1], got {picture.dtype}"
        )
    if native.kind == "f":
        native = np.dtype(np.float32)
        largest = np.abs(array).max(where=np.isfinite(array), initial=0)
        # differences are held as well
        if largest > np.finfo(np.float32).max / 2:
            raise UsageError(
                f"float values up to {largest:g} are beyond what 32-bit floats hold; scale them, "
                "such as to [0, 1]"
            )
    array = array.astype(native, copy=False)
    alpha = None
    if array.shape[2] % 2 == 0:
        alpha = array[:, :, -1]
        array = array[:, :, :-1]
    return Photograph(pixels=np.ascontiguousarray(array), alpha=alpha)


def _join_alpha(picture: Photograph) -> NDArray[Any]:
    """Return colours and alpha as one array (H, W, C)."""
    if picture.alpha is None:
        return picture.pixels
    return np.dstack([picture.pixels, picture.alpha])


def _pixels_of_image(image: Image.Image) -> NDArray[Any]:
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
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"PIL image of mode {image.mode}: cannot be converted ({error}); "
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
