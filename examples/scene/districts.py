"""Districts of the land: their sites and kinds, and the models placed in them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scene.colours import SHORE, crops
from scene.models import MODELS, NAMES
from scene.relief import STEPS, axes_of
from scene.roads import PLOTS, VERGE, bend, border_depths, plot_centres, street_distance

if TYPE_CHECKING:
    from scene.arrays import Array, Cell, Place

CELL = 900  # mean spacing of the districts, pixels
KINDS = {  # of districts: share, ground, probability of a tree by the road and elsewhere
    "homes": (0.3, "grass", 0.12, 0.05), "halls": (0.09, "grass", 0.2, 0.08),
    "fields": (0.35, "crop", 0.2, 0.001), "meadow": (0.08, "dry", 0.3, 0.03),
    "wood": (0.11, "leaf", 0.95, 0.95), "lake": (0.07, "water", 0.35, 0.0),
}  # fmt: skip


class District(NamedTuple):
    """One cell of the land."""

    kind: str
    site: Array
    turn: int
    table: Array  # profile of its fields or its shore, four samples a pixel
    things: Place  # x, y, model, variant and turn of each model in it


class Land:
    """The districts of one seed, made when they are first seen."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.site = lru_cache(4096)(self._site)
        self.district = lru_cache(512)(self._district)

    def rng(self, use: int, cell: Cell) -> np.random.Generator:
        """Return the random generator of a cell for one use, always in the same state."""
        return np.random.default_rng((self.seed, use, cell[0] % 2**32, cell[1] % 2**32))

    def around(self, place: Array, reach: float) -> list[Cell]:
        """Return the cells whose sites are within reach of a place."""
        i, j = (int(at // CELL) for at in place)
        cells = [(m, n) for m in range(i - 3, i + 4) for n in range(j - 3, j + 4)]
        return [cell for cell in cells if math.dist(self.site(cell), place) < reach]

    def _site(self, cell: Cell) -> Array:
        return (np.array(cell) + self.rng(1, cell).uniform(0.15, 0.85, 2)) * CELL

    def _district(self, cell: Cell) -> District:
        site, cells = self.site(cell), self.around(self.site(cell), 2.6 * CELL)
        others = np.array([self.site(other) - site for other in cells if other != cell])
        return make_district(self.rng(3, cell), site, others)


def make_district(rng: np.random.Generator, site: Array, others: Array) -> District:
    """Make a district.

    Args:
        rng: Its own random generator.
        site: Its centre, pixels, (2,).
        others: The sites around, relative to it, (n, 2).
    """
    kind = str(rng.choice(list(KINDS), p=[share for share, *_ in KINDS.values()]))
    turn = int(rng.integers(STEPS))
    turn -= (
        turn % 4 if kind in PLOTS else 0
    )  # few directions, as each needs models of its own
    builder = DistrictBuilder(rng, site, others, turn)
    trees = builder.tree_spots(*KINDS[kind][2:])
    if kind in PLOTS:
        trees = builder.build(kind, trees)
    builder.place_models("tree", trees, 0)
    builder.place_cars()
    table = crops(rng) if kind == "fields" else SHORE
    return District(kind, site, turn, table, np.concatenate(builder.things))


class DistrictBuilder:
    """Places models in a district; spots are pixels along its own axes from its site, (n, 2)."""

    def __init__(
        self, rng: np.random.Generator, site: Array, others: Array, turn: int
    ) -> None:
        self.rng, self.site, self.others, self.turn = rng, site, others, turn
        self.axes = axes_of(turn)
        self.things: list[Place] = []

    def depths(self, spots: Array) -> Array:
        """Return the depths of spots inside the border towards each other site, (sites, n)."""
        x, y = (spots @ self.axes).T
        right, down = bend(x + self.site[0], y + self.site[1])
        return np.stack(
            list(border_depths(x + right, y + down, np.zeros(2), self.others))
        )

    def place_models(self, name: str, spots: Array, turns: Array | int) -> None:
        """Place a model of that name on each spot."""
        variants = self.rng.integers(MODELS[name][2], size=len(spots))
        place = np.rint(spots @ self.axes + self.site).T
        rows = np.broadcast_arrays(*place, NAMES.index(name), variants, turns)
        # in the order of drawing: no model casts a shadow on one drawn before it
        self.things.append(np.stack(rows, 1)[np.argsort(-place[1])].astype(np.int64))

    def random_spots(self, spacing: float) -> Array:
        """Return spots all over the district and beyond, one in each square of a grid."""
        line = np.arange(-1150, 1150, spacing)
        spots = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        offsets: Array = self.rng.uniform(0, spacing, spots.shape)
        return spots + offsets

    def tree_spots(self, by_road: float, elsewhere: float) -> Array:
        """Return spots of trees, by their probability near roads and elsewhere."""
        spots = self.random_spots(20)
        depth = self.depths(spots).min(0)
        chance = np.where(depth < 50, by_road, elsewhere)
        grown: Array = spots[(depth > 26) & (self.rng.random(len(spots)) < chance)]
        return grown

    def build(self, kind: str, trees: Array) -> Array:
        """Place buildings on plots and cars in the streets; returns the trees that remain."""
        spots, side = plot_centres(kind)
        half = np.array(PLOTS[kind][:2]) / 2
        corners = [
            self.depths(spots + half * (a, b)).min(0) for a in (-1, 1) for b in (-1, 1)
        ]
        built = np.min(corners, axis=0) > 24
        self.place_models(
            kind, spots[built], self.turn + STEPS // 2 * (side < 0)[built]
        )
        taken = (np.abs(trees[:, None] - spots[built]) < half + 3).all(2).any(1)
        spots[:, 1] -= side * (half[1] + VERGE - 8.5)
        parked = (self.depths(spots).min(0) > 24) & (self.rng.random(len(spots)) < 0.2)
        self.place_models("car", spots[parked], self.turn - STEPS // 4)
        left: Array = trees[~taken & (street_distance(kind, *trees.T) > 26)]
        return left

    def place_cars(self) -> None:
        """Place cars on the roads around the district."""
        spots = self.random_spots(30)
        away = self.depths(spots)
        driven = np.abs(away.min(0) - 7) < 1.2
        facing = np.arctan2(self.others[:, 1], self.others[:, 0])[away.argmin(0)][
            driven
        ]
        self.place_models("car", spots[driven], np.rint(facing / 2 / math.pi * STEPS))
