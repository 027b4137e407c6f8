"""A band as signs see it: what the file says of it, and its values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from srcli.imaging.rasters.info import BandInfo, RasterInfo
from srcli.imaging.rasters.look import BandWindow, Look
from srcli.imaging.rasters.measures import (
    Appearance,
    codes_beyond_gap,
    fill_values_of,
    find_turn,
    has_same_units,
    measure_appearance,
    wraps_around,
)

# Formats whose palettes save room, unless georeferenced.
_PICTURES = frozenset({"PNG", "GIF", "BMP"})


@dataclass(frozen=True)
class Band:
    """A band as signs see it: what the file says of it, and its values."""

    look: Look
    number: int
    is_only: bool
    """It is the only band that is enlarged, besides alpha: the file's name is its own."""

    @property
    def info(self) -> RasterInfo:
        """Header of the file that the band is of."""
        return self.look.info

    @property
    def header(self) -> BandInfo:
        """Header of the band."""
        return self.info.band(self.number)

    @property
    def is_wide(self) -> bool:
        """Its values have more than 8 bits."""
        return np.dtype(self.header.dtype).itemsize > 1

    @property
    def is_of_picture(self) -> bool:
        """The file is a picture without a place on the map, of a format for pictures."""
        is_placed = any(self.info.georeference.values())
        return self.info.driver in _PICTURES and not is_placed

    @cached_property
    def tags(self) -> dict[str, str]:
        """Tags of the band by their names in lower case, those of all namespaces."""
        tags = {}
        for items in self.header.tags.values():
            for key, text in items.items():
                tags[key.lower()] = text
        return tags

    @cached_property
    def names(self) -> list[str]:
        """Names of the band in the file: descriptions, with elements of XML, and tags of names."""
        names = [self.header.vrt_elements.get("Description", "")]
        for key, text in self.tags.items():
            if key.endswith("name") or key == "description":
                names.append(text)
        return names

    @cached_property
    def appearance(self) -> Appearance:
        """Look of its values; of huge blocks, which are not decoded, nothing is known."""
        if self.look.has_huge_blocks:
            return Appearance()
        return measure_appearance(self.look.windows(self.number, side=256, along=8))

    @property
    def unit(self) -> str:
        """Unit of the values by the file, in lower case; empty without one."""
        text = re.sub("<[^>]*>", "", self.header.vrt_elements.get("UnitType", ""))
        return text.strip().lower() or self.tags.get("units", "").lower()

    @property
    def scale(self) -> float:
        """Factor of the file by which values become those of the unit."""
        text = re.sub("<[^>]*>", "", self.header.vrt_elements.get("Scale", ""))
        try:
            return float(text)
        except ValueError:
            return 1.0

    @cached_property
    def turn(self) -> float | None:
        """Full turn of the angles that its values may be; see ``find_turn``."""
        if self.look.has_huge_blocks:
            return None
        return find_turn(*self.windows, self.scale)

    @property
    def wraps_around(self) -> bool:
        """Its values use a full turn, and neighbours meet over the ends of it."""
        turn = self.turn
        return turn is not None and wraps_around(*self.windows, turn, self.scale)

    @cached_property
    def windows(self) -> BandWindow:
        """Its pixels in all windows (n, h, w) that were looked at, not to be changed."""
        return self.look.all_pixels(self.number)

    @cached_property
    def fill_values(self) -> list[float]:
        """Values that stand for no data though the file does not say so."""
        return fill_values_of(*self.windows)

    @cached_property
    def measured(self) -> tuple[float, float] | None:
        """Range of measurements that its tags state, if that is of the same units."""
        limits = self.header.limits
        if limits is None or self.look.has_huge_blocks:
            return None
        return limits if has_same_units(*self.windows, limits) else None

    @cached_property
    def special_codes(self) -> tuple[float, ...]:
        """Codes among measurements, beyond a gap; see ``codes_beyond_gap``."""
        if self.look.has_huge_blocks:
            return ()
        return codes_beyond_gap(*self.windows)
