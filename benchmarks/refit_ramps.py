"""Solve the last convolution of quick anew, so that it is silent on soft ramps.

Usage: python benchmarks/refit_ramps.py WEIGHTS OUT --data FOLDER [--degradation restore]
           [--weight 1000]

Its last layer is linear, so no training is needed: of all layers that enlarge ramps as
bicubic interpolation does, that one is taken whose pictures of FOLDER change least. Sums
of squares over places of crops and of ramps are minimised, ramps counting ``--weight``
times; 289 unknowns for each place within a pixel and each colour. Takes half a minute.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srcli.data.degrading import degrade
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.recipes.degradation import Degradation

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
    features: list[Tensor] = []
    network.up.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    chance = np.random.default_rng(0)
    degradation = Degradation()
    if words.degradation != "bicubic":
        degradation = Degradation.named(words.degradation)
    files = sorted(words.data.iterdir())

    def unfolded(pixels: np.ndarray) -> Tensor:
        """Return what the last convolution sees: (places, 9 * channels + 1)."""
        features.clear()
        network(as_batch(pixels))
        seen = features[0][:, :, EDGE:-EDGE, EDGE:-EDGE]
        columns = torch.nn.functional.unfold(seen, 3)[0].T.double()
        return torch.cat([columns, torch.ones(len(columns), 1)], dim=1)

    with torch.inference_mode():
        count = network.up.weight[0].numel() + 1
        of_crops = torch.zeros(count, count, dtype=torch.double)
        of_ramps = torch.zeros(count, count, dtype=torch.double)
        for number in range(CROPS):
            file = files[chance.integers(len(files))]
            with Image.open(file) as image:
                hr = np.asarray(image.convert("RGB"))
            top, left = chance.integers(0, 480 - SIDE * info.scale + 1, 2)
            rows = slice(top, top + SIDE * info.scale)
            hr = hr[rows, left : left + SIDE * info.scale]
            seen = unfolded(degrade(hr, info.scale, degradation, number))
            of_crops += seen.T @ seen / len(seen) / CROPS
        for _ in range(RAMPS):
            ramp = draw_ramp(chance)
            while not is_within(ramp):
                ramp = draw_ramp(chance)
            # the mean over a ramp: steps are the same in every pixel
            seen = unfolded(ramp).mean(dim=0, keepdim=True)
            of_ramps += seen.T @ seen / RAMPS
        kernel = network.up.weight.flatten(1).double()
        layer = torch.cat([kernel, network.up.bias[:, None].double()], dim=1).T
        wanted = words.weight * of_ramps
        small = 1e-6 * of_crops.diagonal().mean() * torch.eye(count)
        change = torch.linalg.solve(of_crops + wanted + small, -wanted @ layer)
        for name, table in (("crops", of_crops), ("ramps", of_ramps)):
            moved = (change * (table @ change)).sum(0).mean().sqrt() * 255
            before = (layer * (table @ layer)).sum(0).mean().sqrt() * 255
            now = layer + change
            after = (now * (table @ now)).sum(0).mean().sqrt() * 255
            print(f"{name}: correction {before:.3f} -> {after:.3f}, moved {moved:.3f}")
        now = (layer + change).T
        network.up.weight.copy_(now[:, :-1].reshape(network.up.weight.shape))
        network.up.bias.copy_(now[:, -1])
    notes = dict(info.notes)
    notes.pop("validation_psnr_y", None)  # of the former layer
    notes["last_layer"] = "solved anew, silent on ramps"
    told = replace(info, notes=notes)
    save_weights(words.out, network.state_dict(), told, half=True)


if __name__ == "__main__":
    main()
