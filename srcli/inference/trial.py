"""Try a network on one small picture, before it enlarges those of a user.

Weights that were never trained, or that are another network's, load without an error,
and a network whose tiles differ from the whole picture leaves seams: both show at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from srcli.layers.colour import as_rgb_network
from srcli.layers.resize import bicubic_resize
from srcli.layers.user_network import UserNetwork

if TYPE_CHECKING:
    from srcli.layers.network import Network

_FAR_LEVELS = 8.0
"""Mean levels from bicubic interpolation beyond which a network may not be trained. All
shipped weights are within 4.8, those made crisp and trained against a discriminator
included; fresh networks are 10 and more away, but for those that begin as bicubic
interpolation, or as repeated pixels and little else (srvgg, 6)."""
_SIDE = 32
"""Edge of the picture, in LR pixels."""
_TILE_SIDE = 64
"""Edge of the tiles, in LR pixels, or the least that the network takes."""
_ODD_SHIFT = 7
"""Pixels between two tiles of a network that takes any size: few networks work in steps
of so many."""
_SEAM_LEVELS = 1.0
"""Levels by which a tile may differ from the whole picture."""


def find_faults(network: Network) -> Iterator[str]:
    """Yield in words what a network in evaluation mode does wrong to a picture."""
    # code of a user may fail at a size that no class declares, and at none of the user's
    with torch.inference_mode(), suppress(Exception):
        levels = _levels_from_bicubic(network)
        # also where it is no number
        if not levels <= _FAR_LEVELS:
            yield (
                f"may not be trained: a test picture comes out {levels:.0f} levels from bicubic "
                f"interpolation, where trained networks are within {_FAR_LEVELS:.0f}"
            )
        is_cut = network.tiles and not network.pools_globally
        if isinstance(network, UserNetwork) and is_cut:
            levels = _levels_of_tiles(network)
            if levels > _SEAM_LEVELS:
                yield (
                    f"its tiles differ from the whole picture by up to {levels:.0f} levels, so "
                    "that seams may show; let its class say multiple_of = 8 (or 16 ...) if it "
                    "works in steps of so many pixels, or tiles = False"
                )


def _levels_from_bicubic(network: Network) -> float:
    """Return how far an enlarged picture is from bicubic interpolation, mean of all levels."""
    picture = _picture(network.padded(_SIDE))
    enlarged = as_rgb_network(network)(picture.clone()).float()
    apart = enlarged - bicubic_resize(picture, Fraction(network.scale))
    return float(apart.abs().mean()) * 255


def _levels_of_tiles(network: Network) -> float:
    """Return how far tiles at two offsets are from the whole picture, the most of all levels.

    As far as they reach beyond the overlap of their neighbours.
    """
    scale = network.scale
    _, overlap = network.tiling
    side = network.padded(_TILE_SIDE)
    shift = network.multiple_of
    if shift == 1:
        shift = _ODD_SHIFT
    picture = _picture(network.padded(2 * side + shift))
    enlarge = as_rgb_network(network)
    uncut = enlarge(picture.clone())
    inside = slice(scale * overlap, -scale * overlap)
    most = 0.0
    for start in (0, side + shift):
        end = start + side
        tile = enlarge(picture[..., start:end, start:end].clone())
        along = slice(scale * (start + overlap), scale * (end - overlap))
        apart = tile[..., inside, inside] - uncut[..., along, along]
        most = max(most, float(apart.abs().max()) * 255)
    return most


def _picture(side: int) -> Tensor:
    """Return (1, 3, side, side) in [0, 1] with the spectrum of photographs: f to the -1.5."""
    waves = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    waves[0, 0] = 1
    noise = np.random.default_rng(0).standard_normal((3, side, side))
    planes = np.fft.ifft2(np.fft.fft2(noise) / waves**1.5).real
    # mostly gray
    planes += 2 * planes.mean(axis=0)
    planes *= 0.12 / planes.std()
    return torch.from_numpy(planes + 0.5).clamp(0, 1).float()[None]
