"""Time what a user gets who converts a network to OpenVINO by hand: whole picture, default options.

Usage: python benchmarks/openvino_by_hand.py [-m g-idrn] [-s 4] [--size 512] [--rounds 5]

The network that srcli.load_model gives is converted by openvino.convert_model for the
picture's size, compiled for bf16, and called once a picture; conversion and compilation
do not count. ``benchmarks/cpu.py`` runs it beside the engines.
"""

from __future__ import annotations

import argparse
import time
import warnings
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srcli.evaluation.pairs import real_picture
from srcli.layers.colour import as_rgb_network
from srcli.models.loading import load_model

Picture = NDArray[np.uint8]


class ByHand:
    """A network of the table, converted for pictures of one size."""

    def __init__(self, model: str, scale: int, height: int, width: int) -> None:
        import openvino

        network = as_rgb_network(load_model(model, scale))
        example = torch.rand(1, 3, height, width)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(network, example, check_trace=False)
            converted = openvino.convert_model(
                traced, example_input=example, input=[1, 3, height, width]
            )
        self.compiled = openvino.compile_model(
            converted, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"}
        )

    def __call__(self, picture: Picture) -> Picture:
        batch = picture.transpose(2, 0, 1)[None].astype(np.float32) / 255
        out: NDArray[Any] = self.compiled(batch)[0][0]
        return (out * 255).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("-m", "--model", default="g-idrn")
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    picture = real_picture(given.size, given.size)
    run = ByHand(given.model, given.scale, given.size, given.size)
    run(picture)
    seconds = []
    for _ in range(given.rounds):
        start = time.perf_counter()
        run(picture)
        seconds.append(time.perf_counter() - start)
    print(
        f"{given.model} x{given.scale}, {given.size}x{given.size}: {median(seconds) * 1000:.0f} ms "
        f"({min(seconds) * 1000:.0f} to {max(seconds) * 1000:.0f})"
    )


if __name__ == "__main__":
    main()
