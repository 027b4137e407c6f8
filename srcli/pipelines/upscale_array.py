"""``srcli.upscale``: one picture in memory, numpy or PIL in, the same kind out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from srcli.errors import UsageError
from srcli.imaging.photograph import Metadata, Photograph
from srcli.inference.device import Precision, choose_device
from srcli.pipelines.engines import EngineOptions, EnginePool, choose_tiling, run_one
from srcli.pipelines.prepare import finish, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Picture = TypeVar("Picture", "NDArray[Any]", Image.Image)
_POOLS: dict[tuple[str, int, str, Precision, bool], EnginePool] = {}
_POOLS_KEPT = 2


def upscale(  # noqa: PLR0913 - the options of the command, by name
    picture: Picture,
    model: str = "g-idrn",
    scale: int = 4,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    tta: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
) -> Picture:
    """Make a picture ``scale`` times larger.

    Args:
        picture: (H, W), or (H, W, C) with 1 gray, 2 gray + alpha, 3 RGB or 4 RGBA channels; uint8,
            uint16, or float in [0, 1]. Or a PIL image (mode 1 becomes L, P becomes RGB or RGBA).
        model: A name of ``srx models``, or a weights file.
        scale: 2, 3 or 4.
        tile: Tile edge in input pixels; the model's by default.
        overlap: Input pixels shared by neighbouring tiles.
        tta: Average over the 8 flips and rotations: a little better, 8 times slower.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.

    Returns:
        The same kind, number of dimensions and dtype, both sides ``scale`` times as long.

    Raises:
        UsageError: If the picture's shape or type is none of these.
        ModelError: If the model or its scale does not exist.
    """
    if isinstance(picture, Image.Image):
        return _upscale_pil(
            picture,
            lambda array: upscale(
                array,
                model,
                scale,
                tile=tile,
                overlap=overlap,
                tta=tta,
                device=device,
                precision=precision,
            ),
        )
    photograph, dtype = _photograph(picture)
    prepared, _ = prepare(photograph)
    pool = _pool(model, scale, device, precision, tta)
    tiling = choose_tiling(model, pool.network, tile, overlap)
    work, sink = prepared.work(scale, tiling, "picture")
    run_one(pool.engine(prepared.bits), work)
    done = finish(prepared, sink.pixels, scale)
    parts = [done.pixels] if done.alpha is None else [done.pixels, done.alpha[:, :, None]]
    joined = np.concatenate(parts, axis=2).astype(dtype, copy=False)
    return joined[:, :, 0] if picture.ndim == 2 else joined


def _pool(model: str, scale: int, device: str, precision: Precision, tta: bool) -> EnginePool:
    key = (model, scale, str(choose_device(device)), precision, tta)
    if key not in _POOLS:
        while len(_POOLS) >= _POOLS_KEPT:
            del _POOLS[next(iter(_POOLS))]
        _POOLS[key] = EnginePool(
            model, scale, EngineOptions(device=device, precision=precision, tta=tta)
        )
    return _POOLS[key]


def _photograph(picture: NDArray[Any]) -> tuple[Photograph, np.dtype[Any]]:
    shape = getattr(picture, "shape", ())
    if len(shape) not in (2, 3) or 0 in shape:
        got = shape or type(picture).__name__
        raise UsageError(f"expected a PIL image or an array (H, W) or (H, W, C), got {got}")
    array = picture[:, :, None] if picture.ndim == 2 else picture
    if array.shape[2] > 4:
        raise UsageError(f"expected 1 to 4 channels last, got shape {picture.shape}")
    if array.dtype not in (np.uint8, np.uint16) and array.dtype.kind != "f":
        raise UsageError(f"expected uint8, uint16 or floats in [0, 1], got {picture.dtype}")
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    colours = array.shape[2] - (array.shape[2] % 2 == 0)
    alpha = array[:, :, -1] if array.shape[2] in (2, 4) else None
    pixels = np.ascontiguousarray(array[:, :, :colours])
    return Photograph(pixels=pixels, alpha=alpha, metadata=Metadata()), picture.dtype


def _upscale_pil(
    picture: Image.Image, enlarge: Callable[[NDArray[Any]], NDArray[Any]]
) -> Image.Image:
    if picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode == "P" or picture.mode == "PA":
        transparent = "transparency" in picture.info or picture.mode == "PA"
        picture = picture.convert("RGBA" if transparent else "RGB")
    elif picture.mode not in ("L", "LA", "RGB", "RGBA", "I;16", "F"):
        picture = picture.convert("RGB")
    return Image.fromarray(enlarge(np.asarray(picture)))
