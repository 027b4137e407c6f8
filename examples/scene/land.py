"""The land of one seed: its dice, and districts that are made when they are first seen."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scene.districts import settled

if TYPE_CHECKING:
    from scene.arrays import Array, Cell
    from scene.districts import District

CELL = 900  # mean spacing of the districts


class Land:
    """Where the districts of one seed are, and what is in them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.site = lru_cache(4096)(self._site)
        self.district = lru_cache(512)(self._district)

    def dice(self, use: int, cell: Cell) -> np.random.Generator:
        """Dice that fall the same whenever the same cell asks for the same use."""
        return np.random.default_rng((self.seed, use, cell[0] % 2**32, cell[1] % 2**32))

    def around(self, place: Array, reach: float) -> list[Cell]:
        """The cells whose sites are at most so far from a place."""
        i, j = (int(at // CELL) for at in place)
        cells = [(m, n) for m in range(i - 3, i + 4) for n in range(j - 3, j + 4)]
        return [cell for cell in cells if math.dist(self.site(cell), place) < reach]

    def _site(self, cell: Cell) -> Array:
        return (np.array(cell) + self.dice(1, cell).uniform(0.15, 0.85, 2)) * CELL

    def _district(self, cell: Cell) -> District:
        site, cells = self.site(cell), self.around(self.site(cell), 2.6 * CELL)
        others = np.array([self.site(other) - site for other in cells if other != cell])
        return settled(self.dice(3, cell), site, others)
