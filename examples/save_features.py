"""Save the feature maps of a layer as one gray PNG: a grid of its channels, each stretched.

Without --layer the layers are listed. Pictures go through the network whole.

Usage: python examples/save_features.py PICTURE OUT.png --layer up [--model ddsr] [--scale 3]
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

import srcli
from srcli.errors import SrxError
from srcli.layers.colour import luma

if TYPE_CHECKING:
    from torch import nn

    from srcli.layers.network import Network


@torch.inference_mode()
def feature_maps(network: Network, layer: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Output (C, H, W) of a layer for a picture (H, W, 3) uint8; its first call counts."""
    found: list[torch.Tensor] = []
    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    # A copy: activations that follow change the output in place.
    hook = layer.register_forward_hook(
        lambda _, inputs, output: found.append(output.clone())
    )
    network(luma(x) if network.colour == "y" else x)
    hook.remove()
    return found[0][0].numpy()


def grid(maps: np.ndarray) -> np.ndarray:
    """Maps (C, H, W) side by side in rows, each stretched to 0..255, a pixel between them."""
    low, high = (
        maps.min(axis=(1, 2), keepdims=True),
        maps.max(axis=(1, 2), keepdims=True),
    )
    levels = np.rint(255 * (maps - low) / np.maximum(high - low, 1e-12)).astype(
        np.uint8
    )
    across = math.ceil(math.sqrt(len(levels)))
    rows = -(-len(levels) // across)
    cells = np.zeros((rows * across, maps.shape[1] + 1, maps.shape[2] + 1), np.uint8)
    cells[: len(levels), :-1, :-1] = levels
    cells = cells.reshape(rows, across, *cells.shape[1:]).swapaxes(1, 2)
    return cells.reshape(rows * cells.shape[1], -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layer", help="name of a layer, such as up or body.0")
    parser.add_argument("--model", default="ddsr", help="a name, or a weights file")
    parser.add_argument("--scale", type=int, default=3)
    arguments = parser.parse_args()
    try:
        network = srcli.load_model(arguments.model, arguments.scale)
    except SrxError as error:
        sys.exit(f"error: {error}")
    layers = dict(network.named_modules())
    if not arguments.layer or arguments.layer not in layers:
        names = ", ".join(filter(None, layers))
        sys.exit(f"error: --layer {arguments.layer}: {arguments.model} has {names}")
    with Image.open(arguments.picture) as image:
        pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    maps = feature_maps(network, layers[arguments.layer], pixels)
    Image.fromarray(grid(maps)).save(arguments.out)
    print(f"{arguments.out}: {len(maps)} maps of {maps.shape[2]}x{maps.shape[1]}")


if __name__ == "__main__":
    main()
