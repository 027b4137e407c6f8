"""Enlarge a picture whole by a network, in plain PyTorch: no tiles, no merged layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from srcli.errors import InferenceError
from srcli.inference.corrections import apply_corrections
from srcli.inference.orientations import enlarge_oriented, mean_of_passes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.imaging.pixels.arrays import Array
    from srcli.inference.corrections import Correction
    from srcli.layers.network import Network


@torch.inference_mode()
def enlarge_whole(
    network: Network,
    lr: Array,
    name: str = "picture",
    *,
    device: torch.device,
    half: torch.dtype | None = None,
    layout: torch.memory_format = torch.contiguous_format,
    tta: bool = False,
    corrections: Sequence[Correction] = (),
) -> Array:
    """Enlarge a picture (H, W, 3) whole, as the engine enlarges a tile.

    Args:
        network: On RGB, in evaluation mode, on the device and in the layout.
        lr: uint8 or uint16, and so is the result; or float32 in [0, 1], whose result is
            not clipped.
        name: Names the picture in errors.
        device: Where it is computed.
        half: Type of the forward pass; None for fp32. What is not finite in it is
            computed again in fp32.
        layout: Memory layout of the picture.
        tta: The result is the mean over the 8 orientations.
        corrections: Applied to what the network gives, as the engine does it.

    Raises:
        InferenceError: If values are not finite in fp32 either.
    """
    values = lr.astype(np.float32)
    network.white_level = None
    if lr.dtype.kind == "u":
        network.white_level = int(np.iinfo(lr.dtype).max)
        values /= np.float32(network.white_level)
    x = torch.from_numpy(values)[None].permute(0, 3, 1, 2).to(device)
    enlarge = partial(enlarge_oriented, network, x, half=half, layout=layout)
    out = mean_of_passes(enlarge, tta=tta)
    out = apply_corrections(
        corrections,
        out,
        x,
        is_clipped=network.white_level is not None,
    )
    if not out.isfinite().all():
        if half is not None:
            return enlarge_whole(
                network,
                lr,
                name,
                device=device,
                layout=layout,
                tta=tta,
                corrections=corrections,
            )
        raise InferenceError(
            f"{name}: the network gave values that are not finite, in fp32 too; try "
            "another model"
        )
    if network.white_level is not None:
        out = out.clamp(0, 1).mul(float(network.white_level)).round().int()
    levels: Array = out[0].permute(1, 2, 0).contiguous().cpu().numpy().astype(lr.dtype)
    return levels
