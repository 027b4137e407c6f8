"""Everything that ``srx upscale`` can be told, apart from the files."""

from __future__ import annotations

from dataclasses import dataclass, field

from srcli.errors import UsageError
from srcli.imaging.fitting import UNBOUNDED, Box
from srcli.inference.engines import EngineOptions
from srcli.pipelines.upscale.plan import Naming
from srcli.pipelines.upscale.rasters.options import RasterOptions


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Model, scale, tiling, naming, machine; what only rasters have stands apart."""

    model: str = "g-idrn"
    scale: int = 4
    tile: int | None = None
    """Input pixels; None takes the model's."""
    overlap: int | None = None
    workers: int = 2
    """Reading and writing threads."""
    quality: int | None = None
    fit: Box = UNBOUNDED
    """Of photographs: make results smaller to fit."""
    naming: Naming = field(default_factory=Naming)
    raster: RasterOptions = field(default_factory=RasterOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        """Refuse what photographs and rasters cannot have in common."""
        if self.fit != UNBOUNDED and self.raster.asked_for:
            raise UsageError(
                f"--fit is for photographs and {self.raster.asked_for[0]} for rasters; "
                "enlarge them one after the other"
            )
