"""What a user can ask of rasters, beside what holds for every picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RasterOptions:
    """Bands, values, part and output of rasters, in the words of GDAL and rasterio."""

    bands: tuple[int, ...] | None = None
    """Bands to enlarge, from 1, in the output's order; None is all of them."""
    rgb: tuple[int, int, int] | None = None
    """Bands that go through the network together; None asks the file."""
    values: str = "auto"
    """Which values are black and white: ``auto``, ``dtype`` or ``LO,HI``."""
    nodata: float | Literal["file", "none"] = "file"
    """The value that means no data; ``none`` takes all values for data."""
    srcwin: tuple[int, int, int, int] | None = None
    """Part to enlarge: column, row, width, height in input pixels."""
    bounds: tuple[float, float, float, float] | None = None
    """Part to enlarge: left, bottom, right, top in the file's coordinates."""
    creation: Mapping[str, str] = field(default_factory=dict)
    """Creation options of GDAL's driver."""
    overviews: bool = False
    cog: bool = False
    max_memory: int | None = None
    """Bytes; None is what the default settings take."""
    resume: bool = True
    """Go on with what an interrupted run has left."""

    @property
    def asked_for(self) -> list[str]:
        """Names of the options that only mean something for rasters, where they were given."""
        given = {
            "--bidx": self.bands is not None,
            "--rgb": self.rgb is not None,
            "--range": self.values != "auto",
            "--nodata": self.nodata != "file",
            "--srcwin": self.srcwin is not None,
            "--bounds": self.bounds is not None,
            "--co": bool(self.creation),
            "--overviews": self.overviews,
            "--cog": self.cog,
        }
        return [name for name, there in given.items() if there]
