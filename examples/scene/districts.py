"""Districts: what kind each is, what lies across it and all that stands in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scene.borders import bend, sides
from scene.models import MODELS, NAMES
from scene.plots import PLOTS, VERGE, plots, street
from scene.relief import STEPS, turned
from scene.tables import SHORE, crops

if TYPE_CHECKING:
    from scene.arrays import Array, Place

KINDS = {  # of districts: share, what covers them, chance of a tree by the road and elsewhere
    "homes": (0.3, "grass", 0.12, 0.05), "halls": (0.09, "grass", 0.2, 0.08),
    "fields": (0.35, "crop", 0.2, 0.001), "meadow": (0.08, "dry", 0.3, 0.03),
    "wood": (0.11, "leaf", 0.95, 0.95), "lake": (0.07, "water", 0.35, 0.0),
}  # fmt: skip


class District(NamedTuple):
    """One cell of the land."""

    kind: str
    site: Array
    turn: int
    table: Array  # what lies across its fields or its shore, four a pixel
    things: Place  # x, y, model, variant and turn of all that stands in it


def settled(rng: np.random.Generator, site: Array, others: Array) -> District:
    """Make a district.

    Args:
        rng: Its own dice.
        site: Where its middle is, pixels, (2,).
        others: Where the sites around are, seen from it, (n, 2).

    Returns:
        It and all that stands in it.
    """
    kind = str(rng.choice(list(KINDS), p=[share for share, *_ in KINDS.values()]))
    turn = int(rng.integers(STEPS))
    turn -= turn % 4 if kind in PLOTS else 0  # few ways to face, as each draws its own models
    settler = Settler(rng, site, others, turn)
    trees = settler.wooded(*KINDS[kind][2:])
    if kind in PLOTS:
        trees = settler.build(kind, trees)
    settler.stand("tree", trees, 0)
    settler.drive()
    table = crops(rng) if kind == "fields" else SHORE
    return District(kind, site, turn, table, np.concatenate(settler.things))


class Settler:
    """Puts things into one district; spots are pixels along its own axes from its site, (n, 2)."""

    def __init__(self, rng: np.random.Generator, site: Array, others: Array, turn: int) -> None:
        self.rng, self.site, self.others, self.turn = rng, site, others, turn
        self.axes = turned(turn)
        self.things: list[Place] = []

    def depths(self, spots: Array) -> Array:
        """How far spots are within the border to each other site, (sites, n)."""
        x, y = (spots @ self.axes).T
        right, down = bend(x + self.site[0], y + self.site[1])
        return np.stack(list(sides(x + right, y + down, np.zeros(2), self.others)))

    def stand(self, name: str, spots: Array, turns: Array | int) -> None:
        """Put a model of that name on each spot."""
        variants = self.rng.integers(MODELS[name][2], size=len(spots))
        place = np.rint(spots @ self.axes + self.site).T
        rows = np.broadcast_arrays(*place, NAMES.index(name), variants, turns)
        # from below to above, so that nothing lies in the shadow of what is drawn after it
        self.things.append(np.stack(rows, 1)[np.argsort(-place[1])].astype(np.int64))

    def scattered(self, spacing: float) -> Array:
        """Spots all over the district and beyond, one in each square of a grid."""
        line = np.arange(-1150, 1150, spacing)
        spots = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        offsets: Array = self.rng.uniform(0, spacing, spots.shape)
        return spots + offsets

    def wooded(self, by_road: float, elsewhere: float) -> Array:
        """Spots for trees, by how likely there is one."""
        spots = self.scattered(20)
        depth = self.depths(spots).min(0)
        chance = np.where(depth < 50, by_road, elsewhere)
        grown: Array = spots[(depth > 26) & (self.rng.random(len(spots)) < chance)]
        return grown

    def build(self, kind: str, trees: Array) -> Array:
        """Put up what stands on plots, with cars in the street; the trees that are left."""
        spots, side = plots(kind)
        half = np.array(PLOTS[kind][:2]) / 2
        corners = [self.depths(spots + half * (a, b)).min(0) for a in (-1, 1) for b in (-1, 1)]
        built = np.min(corners, axis=0) > 24
        self.stand(kind, spots[built], self.turn + STEPS // 2 * (side < 0)[built])
        taken = (np.abs(trees[:, None] - spots[built]) < half + 3).all(2).any(1)
        spots[:, 1] -= side * (half[1] + VERGE - 8.5)
        parked = (self.depths(spots).min(0) > 24) & (self.rng.random(len(spots)) < 0.2)
        self.stand("car", spots[parked], self.turn - STEPS // 4)
        left: Array = trees[~taken & (street(kind, *trees.T) > 26)]
        return left

    def drive(self) -> None:
        """Put cars on the roads around."""
        spots = self.scattered(30)
        away = self.depths(spots)
        driven = np.abs(away.min(0) - 7) < 1.2
        facing = np.arctan2(self.others[:, 1], self.others[:, 0])[away.argmin(0)][driven]
        self.stand("car", spots[driven], np.rint(facing / 2 / math.pi * STEPS))
