"""The colours of what stands and lies on the land."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scene.arrays import Array

COLOURS = {  # red, green, blue and near infrared, per cent
    "asphalt": (43, 43, 44, 36), "kerb": (66, 65, 62, 60), "paint": (90, 90, 88, 85),
    "gravel": (60, 56, 50, 55), "concrete": (62, 61, 58, 56), "grass": (38, 43, 27, 76),
    "dry": (53, 50, 37, 62), "leaf": (27, 36, 19, 78), "hedge": (20, 29, 16, 70),
    "soil": (47, 41, 34, 46), "crop": (33, 42, 23, 82), "wheat": (67, 59, 43, 64),
    "rape": (66, 64, 31, 80), "sand": (70, 65, 54, 68), "shallow": (30, 38, 34, 12),
    "water": (14, 21, 22, 3), "pool": (35, 66, 73, 10), "clay": (57, 36, 29, 50),
    "brick": (49, 33, 28, 46), "slate": (32, 32, 34, 30), "brown": (43, 34, 29, 42),
    "metal": (72, 73, 74, 66), "glass": (14, 17, 21, 10), "solar": (14, 17, 28, 16),
}  # fmt: skip


def hue(rng: np.random.Generator, names: str, spread: float = 0.12) -> Array:
    """One of the named colours, (4,), made lighter or darker and a little warmer or colder."""
    value = np.array(COLOURS[str(rng.choice(names.split()))], np.float32) / 100
    warm = 1 + rng.normal(0, spread / 4) * np.array([1, 0, -1, 0])
    return np.minimum(value * rng.uniform(1 - spread, 1 + spread) * warm, 0.96).astype(np.float32)
