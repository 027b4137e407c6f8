"""Draw the land tile by tile: ground, roads, then the models on it."""

from __future__ import annotations

import math
from functools import lru_cache, reduce
from typing import TYPE_CHECKING

import numpy as np

from scene.arrays import bounds
from scene.colours import COLOURS, ROAD, STREET, draw_road
from scene.districts import KINDS, Land
from scene.models import MODELS, NAMES, ROOM
from scene.relief import FINE, STEPS, Relief, axes_of
from scene.roads import PLOTS, bend, border_depths, nearby_sites, street_distance

if TYPE_CHECKING:
    from scene.arrays import Array, Box, Cell, Place
    from scene.districts import District

TILE = 512  # edge of the squares drawn at once, pixels


class Tiles:
    """Draws the land of one seed, with 3 bands or 4 including near infrared."""

    def __init__(self, seed: int, bands: int) -> None:
        self.land, self.bands = Land(seed), bands
        rng = self.land.rng(0, (0, 0))
        self.tone, self.grass = make_noise(rng, 1024, -1.2), make_noise(rng, 960, -0.75)
        grains = (make_noise(rng, size, -0.35, 5) for size in (509, 397))
        self.grain = [0.006 * grain[:bands] + 0.009 * grain[4:] for grain in grains]
        self.model = lru_cache(1024)(self._model)
        self.tile = lru_cache(8)(self._tile)

    def _model(
        self, number: int, variant: int, turn: int
    ) -> tuple[int, int, Array, Array]:
        """Render a model: its offset, the factor of the ground and the summand."""
        build, size, _ = MODELS[NAMES[number]]
        rng = self.land.rng(2, (number, variant))
        x, y = rng.integers(self.grass.shape[1] - size * FINE, size=2)
        relief = Relief(size, turn, self.grass[0, y:, x:])
        for part in build(rng):
            relief.put(part)
        keep, add = relief.render()
        add *= 1 + 0.05 * self.grass[0, :size, :size]
        box = bounds(keep < 0.995)
        start = box[1].start - size // 2, box[0].start - size // 2
        return *start, keep[box].copy(), add[: self.bands, *box].copy()

    def _tile(self, left: int, top: int) -> Array:
        """Draw a square of TILE pixels as reflectances of about 0 to 1, (bands, TILE, TILE)."""
        start = np.array([left, top])
        cells = self.land.around(start + TILE / 2, 1700)
        picture = self.draw_ground(start, cells)
        tone, warm = (
            noise_window(self.tone, start)[0],
            noise_window(self.tone, start + 450)[0],
        )
        picture *= 1 + 0.06 * tone
        picture[0] *= 1 + 0.025 * warm
        picture[2] *= 1 - 0.025 * warm
        for cell in cells:
            self.draw_things(picture, self.land.district(cell).things, start)
        for grain in self.grain:
            picture += noise_window(grain, start)
        return picture

    def draw_ground(self, start: Place, cells: list[Cell]) -> Array:
        """Draw the ground of a tile, with roads along the borders of its districts."""
        line = np.arange(TILE) + 0.5
        right, down = bend(line[None] + start[0], line[:, None] + start[1])
        x, y = (
            (line[None] + right).astype(np.float32),
            (line[:, None] + down).astype(np.float32),
        )
        sites: Array = np.stack([self.land.site(cell) for cell in cells]) - start
        picture, border = (
            np.zeros((self.bands, TILE, TILE), np.float32),
            np.zeros_like(x),
        )
        near = nearby_sites(x, y, sites)
        for k in near:
            depth = reduce(
                np.minimum, border_depths(x, y, sites[k], sites[near[near != k]])
            )
            box = bounds(depth > -0.5)
            share = np.clip(depth[box] + 0.5, 0, 1)
            district = self.land.district(cells[k])
            picture[:, *box] += share * self.ground(district, start, depth, box)
            np.maximum(border, depth, out=border)
        slope = np.array(
            [0.13, 0.22], np.float32
        )  # gives dashes along roads in any direction
        phase = float(start @ slope.astype(float) % (2 * math.pi))
        draw_road(
            picture, border, ROAD, np.sin(slope[0] * x + (slope[1] * y + phase)) > 0.2
        )
        return picture

    def ground(self, district: District, start: Place, depth: Array, box: Box) -> Array:
        """Draw the ground of a district in a part of a tile, (bands, h, w)."""
        grass, axes = (
            noise_window(self.grass, start)[0][box],
            axes_of(district.turn).astype(np.float32),
        )
        line = (np.arange(TILE) + 0.5 + (start - district.site)[:, None]).astype(
            np.float32
        )
        u, v = (a * line[0, box[1]] + b * line[1, box[0], None] for a, b in axes)
        table, at = district.table, 4 * u + district.table.shape[1] / 2
        if district.kind == "lake":
            at = 4 * depth[box] + 40 * noise_window(self.tone, start + 200)[0][box]
        if district.kind in ("lake", "fields"):
            index = np.clip(at, 0, table.shape[1] - 1).astype(np.intp)
            land: Array = np.stack([band[index] for band in table[: self.bands]])
            land *= 1 + 0.07 * grass
            return land
        colour = np.array(COLOURS[KINDS[district.kind][1]], np.float32) / 100
        land = colour[: self.bands, None, None] * (1 + 0.11 * grass)
        if district.kind in PLOTS:
            draw_road(land, street_distance(district.kind, u, v), STREET)
        return land

    def draw_things(self, picture: Array, things: Place, start: Place) -> None:
        """Draw the models that are visible in a tile."""
        reach = TILE // 2 + ROOM[things[:, 2]]
        seen = (np.abs(things[:, :2] - start - TILE // 2) < reach[:, None]).all(1)
        for x, y, number, variant, turn in things[seen].tolist():
            right, down, keep, add = self.model(number, variant, turn % STEPS)
            rows, own_rows = overlap(y - int(start[1]) + down, keep.shape[0])
            columns, own_columns = overlap(x - int(start[0]) + right, keep.shape[1])
            part = picture[:, rows, columns]
            part *= keep[own_rows, own_columns]
            part += add[:, own_rows, own_columns]


def overlap(at: int, length: int) -> Box:
    """Return the part of a tile that a range covers, and the part of the range inside."""
    start, stop = max(0, at), max(0, min(TILE, at + length))
    return slice(start, stop), slice(start - at, max(start, stop) - at)


def make_noise(
    rng: np.random.Generator, size: int, power: float, bands: int = 1
) -> Array:
    """Make periodic noise of unit variance and falling spectrum, (bands, size + TILE, same)."""
    pitch = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    falling = np.maximum(pitch, 4 / size) ** power * np.exp(-((pitch / 0.42) ** 4))
    waves = np.fft.rfft2(rng.standard_normal((bands, size, size))) * falling
    noise = np.fft.irfft2(waves, s=(size, size)).astype(np.float32)
    noise /= noise.std((1, 2), keepdims=True)
    return np.pad(noise, ((0, 0), (0, TILE), (0, TILE)), mode="wrap")


def noise_window(noise: Array, start: Place) -> Array:
    """Return a tile's window of periodic noise, (bands, TILE, TILE)."""
    x, y = start % (noise.shape[1] - TILE)
    return noise[:, y : y + TILE, x : x + TILE]
