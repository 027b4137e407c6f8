"""Noise that repeats far away, so that the land needs no memory for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scene.arrays import Array, Place

TILE = 512  # what is drawn at once, pixels


def spotted(rng: np.random.Generator, size: int, power: float, bands: int = 1) -> Array:
    """Noise of deviation 1 and falling spectrum that repeats, (bands, size + TILE, size + TILE)."""
    pitch = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    falling = np.maximum(pitch, 4 / size) ** power * np.exp(-((pitch / 0.42) ** 4))
    waves = np.fft.rfft2(rng.standard_normal((bands, size, size))) * falling
    noise = np.fft.irfft2(waves, s=(size, size)).astype(np.float32)
    noise /= noise.std((1, 2), keepdims=True)
    return np.pad(noise, ((0, 0), (0, TILE), (0, TILE)), mode="wrap")


def view(noise: Array, start: Place) -> Array:
    """What a tile sees of a noise, (bands, TILE, TILE)."""
    x, y = start % (noise.shape[1] - TILE)
    return noise[:, y : y + TILE, x : x + TILE]
