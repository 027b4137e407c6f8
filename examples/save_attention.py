"""Save the attention maps of pictures, each as a gray PNG of the picture's size.

Networks such as attentive-gan mark where there is more to do than to interpolate; the maps are
OUT/<name>_attention_1.png and so on, in the order in which the network refines them. Pictures go
through the network whole.

Usage: python examples/save_attention.py OUT PICTURES ... [--model attentive-gan] [--scale 4]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

import srcli
from srcli.errors import SrxError

if TYPE_CHECKING:
    from srcli.layers.network import Network


@torch.inference_mode()
def attention_maps(network: Network, pixels: np.ndarray) -> list[np.ndarray]:
    """Maps (H, W) of a picture (H, W, 3), all of them uint8."""
    edge = network.edge
    padded = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), mode="symmetric")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 255
    maps = (each[0, 0] * 255 for each in network.attend(x)[1])
    height, width = pixels.shape[:2]
    inner = slice(edge, edge + height), slice(edge, edge + width)
    return [each.round().byte().numpy()[inner] for each in maps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument(
        "--model", default="attentive-gan", help="a name, or a weights file"
    )
    parser.add_argument("--scale", type=int, default=4)
    arguments = parser.parse_args()
    try:
        network = srcli.load_model(arguments.model, arguments.scale)
    except SrxError as error:
        sys.exit(f"error: {error}")
    if not network.num_maps:
        sys.exit(
            f"error: model {arguments.model} has no attention maps; attentive-gan has some"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in arguments.pictures:
        with Image.open(path) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        for number, each in enumerate(attention_maps(network, pixels), start=1):
            Image.fromarray(each).save(
                arguments.out / f"{path.stem}_attention_{number}.png"
            )
        print(f"{path}: {network.num_maps} maps")


if __name__ == "__main__":
    main()
