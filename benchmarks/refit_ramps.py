"""Solve the last convolution of a network anew, so that ramps come out as ramps.

Usage: python benchmarks/refit_ramps.py WEIGHTS OUT --data FOLDER [--degradation restore]
           [--weight 1000]

For quick, g-idrn and their kin, whose last layer, ``up``, is linear, so that no training
is needed: of all layers that enlarge ramps as bicubic interpolation does, that one is
taken whose pictures of FOLDER change least. Sums of squares over places of crops and over
ramps are minimised, ramps counting ``--weight`` times. Takes a minute or two.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srcli.data.degrading import degrade
from srcli.layers.resize import bicubic_resize
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.recipes.degradation import Degradation

if TYPE_CHECKING:
    from srcli.layers.network import Network

SIDE = 48
"""Edge of the crops and ramps, in LR pixels."""
EDGE = 12
"""Pixels at the borders that padding reaches."""
CROPS = 240
RAMPS = 400
STEEPEST = 8.0
"""Slope of the steepest ramp, in levels a pixel."""


def draw_ramp(chance: np.random.Generator) -> np.ndarray:
    """Return a plane (SIDE, SIDE, 3) in bytes, of any colour, direction and slope."""
    down, right = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle = chance.uniform(0, 2 * np.pi)
    if chance.random() < 0.5:
        angle = chance.integers(0, 4) * np.pi / 2
    along = np.sin(angle) * down + np.cos(angle) * right
    slopes = chance.uniform(-1, 1, 3) * chance.uniform(1, STEEPEST)
    if chance.random() < 0.5:
        slopes[:] = slopes[0]
    plane = chance.uniform(64, 192, 3) + along[..., None] * slopes
    return np.rint(plane.clip(0, 255)).astype(np.uint8)


def is_within(pixels: np.ndarray) -> bool:
    """Return True where no channel of a ramp became black or white."""
    return bool(pixels.min() > 0 and pixels.max() < 255)


def as_batch(pixels: np.ndarray) -> Tensor:
    """Return (H, W, 3) bytes as (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def solve(network: Network, words: argparse.Namespace) -> None:
    """Give the last convolution of a network its new weights."""
    features: list[Tensor] = []
    network.up.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    chance = np.random.default_rng(0)
    degradation = Degradation()
    if words.degradation != "bicubic":
        degradation = Degradation.named(words.degradation)
    files = sorted(words.data.iterdir())

    def unfolded(pixels: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return what the last convolution sees, (places, 9 * channels + 1).

        And what the network adds to bicubic interpolation, (places, 3 * scale ** 2).
        """
        features.clear()
        picture = as_batch(pixels)
        added = network(picture) - bicubic_resize(picture, network.scale)
        places = F.pixel_unshuffle(added, network.scale)
        inner = places[0, :, EDGE + 1 : -EDGE - 1, EDGE + 1 : -EDGE - 1].flatten(1).T
        seen = features[0][:, :, EDGE:-EDGE, EDGE:-EDGE]
        columns = F.unfold(seen, 3)[0].T.double()
        with_bias = torch.cat([columns, torch.ones(len(columns), 1)], dim=1)
        return with_bias, inner.double()

    with torch.inference_mode():
        count = network.up.weight[0].numel() + 1
        of_crops = torch.zeros(count, count, dtype=torch.double)
        of_ramps = torch.zeros(count, count, dtype=torch.double)
        steps = torch.zeros(count, 3 * network.scale**2, dtype=torch.double)
        step_size = 0.0
        for number in range(CROPS):
            file = files[chance.integers(len(files))]
            with Image.open(file) as image:
                hr = np.asarray(image.convert("RGB"))
            top, left = chance.integers(0, 480 - SIDE * network.scale + 1, 2)
            rows = slice(top, top + SIDE * network.scale)
            hr = hr[rows, left : left + SIDE * network.scale]
            seen, _ = unfolded(degrade(hr, network.scale, degradation, number))
            of_crops += seen.T @ seen / len(seen) / CROPS
        for _ in range(RAMPS):
            ramp = draw_ramp(chance)
            while not is_within(ramp):
                ramp = draw_ramp(chance)
            # the mean over a ramp: steps are the same in every pixel
            seen, added = (each.mean(0, keepdim=True) for each in unfolded(ramp))
            of_ramps += seen.T @ seen / RAMPS
            steps += seen.T @ added / RAMPS
            step_size += float(added.square().mean()) / RAMPS
        kernel = network.up.weight.flatten(1).double()
        layer = torch.cat([kernel, network.up.bias[:, None].double()], dim=1).T
        small = 1e-6 * of_crops.diagonal().mean() * torch.eye(count)
        table = of_crops + words.weight * of_ramps + small
        change = torch.linalg.solve(table, -words.weight * steps)
        moved = (change * (of_crops @ change)).sum(0).mean().sqrt() * 255
        left = step_size + float(
            (change * (of_ramps @ change + 2 * steps)).sum(0).mean()
        )
        print(
            f"steps of ramps {step_size**0.5 * 255:.3f} -> {abs(left) ** 0.5 * 255:.3f} levels, "
            f"crops moved by {moved:.3f} (root mean squares)"
        )
        now = (layer + change).T
        network.up.weight.copy_(now[:, :-1].reshape(network.up.weight.shape))
        network.up.bias.copy_(now[:, -1])


def main() -> None:
    """Solve, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--degradation", default="bicubic")
    parser.add_argument("--weight", type=float, default=1000.0)
    words = parser.parse_args()
    _, info, *_ = read_weights(words.weights)
    network = load_model(str(words.weights), info.scale).eval()
    solve(network, words)
    notes = dict(info.notes)
    notes.pop("validation_psnr_y", None)  # of the former layer
    notes["last_layer"] = "solved anew, silent on ramps"
    told = replace(info, notes=notes)
    save_weights(words.out, network.state_dict(), told, half=True)


if __name__ == "__main__":
    main()
