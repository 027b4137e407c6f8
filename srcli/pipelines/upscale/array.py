"""``srcli.upscale``: one picture in memory, numpy or PIL in, the same kind out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from PIL import Image

from srcli.errors import UsageError
from srcli.imaging.photograph import Metadata, Photograph
from srcli.inference.device import Precision, choose_device
from srcli.inference.engines import EngineOptions, EnginePool, choose_tiling, run_one
from srcli.pipelines.upscale.pil_arrays import array_of, image_of
from srcli.pipelines.upscale.prepare import finish, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

Picture = TypeVar("Picture", "NDArray[Any]", Image.Image)
_POOLS: dict[tuple[str, int, EngineOptions], EnginePool] = {}
_POOLS_KEPT = 2


def upscale(  # noqa: PLR0913 - the options of the command, by name
    picture: Picture,
    model: str = "g-idrn",
    scale: int = 4,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    tta: bool = False,
    back_project: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
) -> Picture:
    """Make a picture ``scale`` times larger.

    Args:
        picture: (H, W), or (H, W, C) with 1 gray, 2 gray + alpha, 3 RGB or 4 RGBA channels; uint8,
            uint16, or float in [0, 1], in any byte order. Or a PIL image: modes 1, L, P, RGB and
            their like become L or RGB, with alpha where they have transparency of any form; modes
            of 16 bits, and I with values from 0 to 65535, become I;16 (a transparent value of
            16 bits is refused, as PIL has no mode for the result); CMYK and others become RGB.
        model: A name of ``srx models``, or a weights file.
        scale: 2, 3 or 4.
        tile: Tile edge in input pixels; the model's by default.
        overlap: Input pixels shared by neighbouring tiles.
        tta: Average over the 8 flips and rotations: a little better, 8 times slower.
        back_project: Correct the result until, made smaller by bicubic interpolation, it is the
            picture again; for clean pictures, as noise and JPEG blocks count as the truth, too.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Returns:
        The same kind, number of dimensions and dtype, both sides ``scale`` times as long. A PIL
        image has the ``dpi`` of ``picture`` in its ``info``, and the ``icc_profile`` if it is still
        of the same kind of colours (gray, RGB); EXIF and all else is left behind.

    Raises:
        UsageError: If the picture's shape, type or values, or an option, are none of these.
        ModelError: If the model or its scale does not exist.
    """
    if precision not in get_args(Precision):
        raise UsageError(f"precision={precision!r}: give one of {', '.join(get_args(Precision))}")
    factor = _whole("scale", scale, "2, 3 or 4")
    edge = None if tile is None else _whole("tile", tile, "None or a whole number from 1", 1)
    shared = (
        None if overlap is None else _whole("overlap", overlap, "None or a whole number from 0", 0)
    )

    # What ``auto`` means is settled here: it may change while the process lives.
    options = EngineOptions(
        device=str(choose_device(device)), precision=precision, tta=tta, back_project=back_project
    )

    def enlarge(array: NDArray[Any]) -> NDArray[Any]:
        photograph, dtype = _photograph(array)
        prepared, _ = prepare(photograph)
        pool = _pool(model, factor, options)
        tiling = choose_tiling(model, pool.network, edge, shared)
        work, sink = prepared.work(factor, tiling, "picture")
        run_one(pool.engine(prepared.bits), work)
        done = finish(prepared, sink.pixels, factor)
        parts = [done.pixels] if done.alpha is None else [done.pixels, done.alpha[:, :, None]]
        joined = np.concatenate(parts, axis=2).astype(dtype, copy=False)
        return joined[:, :, 0] if array.ndim == 2 else joined

    if isinstance(picture, Image.Image):
        return image_of(enlarge(array_of(picture)), picture)
    return enlarge(picture)


def _whole(name: str, value: object, expected: str, least: int | None = None) -> int:
    """Return an option as a whole number; 2.0 is one."""
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number != value or (least is not None and number < least):
        raise UsageError(f"{name}={value!r}: give {expected}")
    return int(number)


def _pool(model: str, scale: int, options: EngineOptions) -> EnginePool:
    key = (model, scale, options)
    if key not in _POOLS:
        while len(_POOLS) >= _POOLS_KEPT:
            del _POOLS[next(iter(_POOLS))]
        _POOLS[key] = EnginePool(model, scale, options)
    return _POOLS[key]


def _photograph(picture: NDArray[Any]) -> tuple[Photograph, np.dtype[Any]]:
    if not isinstance(picture, np.ndarray):
        raise UsageError(_no_array(picture))
    if picture.ndim not in (2, 3) or 0 in picture.shape:
        raise UsageError(
            f"expected a PIL image or an array (H, W) or (H, W, C), got {picture.shape}"
        )
    array = picture[:, :, None] if picture.ndim == 2 else picture
    if array.shape[2] > 4:
        raise UsageError(f"expected 1 to 4 channels last, got shape {picture.shape}")
    native = array.dtype.newbyteorder("=")
    if native not in (np.uint8, np.uint16) and native.kind != "f":
        raise UsageError(f"expected uint8, uint16 or floats in [0, 1], got {picture.dtype}")
    if native.kind == "f":
        _check_floats(array)
        native = np.dtype(np.float32)
    array = array.astype(native, copy=False)
    colours = array.shape[2] - (array.shape[2] % 2 == 0)
    alpha = array[:, :, -1] if array.shape[2] in (2, 4) else None
    pixels = np.ascontiguousarray(array[:, :, :colours])
    return Photograph(pixels=pixels, alpha=alpha, metadata=Metadata()), picture.dtype


def _no_array(picture: object) -> str:
    """Say what to give instead of something that is neither an image nor an array."""
    kind = type(picture)
    expected = "expected a PIL image or a numpy array (H, W) or (H, W, C)"
    if kind.__module__.partition(".")[0] == "torch":
        return (
            f"{expected}, got a torch tensor; give tensor.permute(1, 2, 0).cpu().numpy() of one "
            "that is (C, H, W)"
        )
    return f"{expected}, got {kind.__name__}"


def _check_floats(array: NDArray[Any]) -> None:
    """Refuse values that float32, or the range between them, cannot hold."""
    finite = np.isfinite(array)
    low = float(array.min(where=finite, initial=np.inf))
    high = float(array.max(where=finite, initial=-np.inf))
    if low <= high and max(-low, high, high - low) > float(np.finfo(np.float32).max):
        raise UsageError(
            f"float values {low:g} to {high:g} are beyond what 32-bit floats hold; "
            "scale them, such as to [0, 1]"
        )
