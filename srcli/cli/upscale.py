"""The command ``srx upscale``: upscale pictures, folders, rasters and standard input."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click import FLOAT, INT, FloatRange, IntRange

from srcli.cli.console import Console, echo
from srcli.cli.gdal import GdalCommand
from srcli.cli.streams import STREAM, ReportLines, open_streams
from srcli.cli.values import (
    FILE,
    AutoOrInt,
    parse_bands,
    parse_box,
    parse_creation,
    parse_nodata,
    parse_range,
    parse_rgb,
)
from srcli.errors import ExitCode, UsageError
from srcli.holding import limit_reading

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import FileReport, Reporter

T = TypeVar("T", bound="DataclassInstance")
EXAMPLES = """
\b
Examples:
  srx upscale photo.jpg larger.png              one picture, 4 times larger
  srx upscale photos/ larger/ -s 2 -r           a folder and its subfolders
  srx upscale a.jpg b.png out/ --suffix _x4     several pictures
  srx upscale photos/ out/ --fit 3840x2160      no larger than a screen
  srx upscale - - < small.png > large.png       standard input and output
  srx upscale photos/ out/ --dry-run            sizes, disk and problems
  srx upscale photos/ out/ --device all         on every GPU of the machine
  srx upscale ortho.tif out/ -s 2 --cog         a GeoTIFF of any size
  srx upscale ortho.tif out/ --bounds 8.10 47.20 8.15 47.25 --rgb 1,2,3
  srx upscale ortho.tif part.tif -srcwin 0 0 900 700 -of COG -co COMPRESS=ZSTD
  srx upscale tiles/ out/ -s 2 --mosaic         map tiles z/x/y, or sheets
  srx upscale 'NETCDF:"a.nc":band' /vsizip/a.zip/b.tif out/
  srx upscale https://HOST/cog.tif out/ --allow-remote -srcwin 0 0 512 512

Running again does what is missing; a raster resumes where it stopped. An output that srx has made
with another model, scale or options, or from an input that has changed since, is made again (not
for a newer version, or newer weights, of the same model). A file that is not known to be srx's own
is never replaced without --overwrite.
"""
OPTIONS = """
Model:
  -m, --model NAME|FILE = auto
      Name, weights file, FILE.py:CLASS@FILE, or auto: by what pictures need.
  value_range
  -s, --scale N
      Times larger: 2, 3, 4; photographs: 1 to 16. [default: 4, or a file's]
  --size WxH                    Enlarge photographs to 3840x2160 at most, 3840x or x2160 exactly.
  --long-edge N                 Enlarge photographs to so many pixels on the longer side.
  --strength X
      How crisp soft and saved photographs become. [default: 0.5 by auto, else 0]
  --denoise X = 1               How much grain and noise is removed; 0.5 keeps half of it.
  --tta                         Average over 8 flips and rotations: a little better, 8 times slower.
  --back-project [bicubic|area]
      Make results, shrunk by this kernel, agree with inputs; not for JPEGs.
Input and output:
  -o, --output PATH             Output folder or file, instead of the last argument.
  -r, --recursive               Include subfolders and mirror them.
  --exclude GLOB...             Leave out files and folders of this name or path; repeatable.
  -f, -of, --format TEXT = auto
      png, jpg, webp, avif, bmp, gif, tif or cog; auto is the input's.
  --quality N                   Quality of jpg, webp and avif, and of COMPRESS=JPEG. [jpg: 95]
  --fit WxH                     Shrink results that exceed these bounds: 3840x2160, 3840x, x2160.
  --suffix TEXT                 Append this to output names, such as _x4.
  --overwrite                   Replace outputs that exist, whoever made them.
  --keep-dates                  Give outputs the file times of their inputs.
  --keep-hidden                 Keep colours that alpha hides: it is data, such as gloss or height.
  --strip-metadata              Leave out EXIF, XMP and tags; colours and georeference stay.
  --strip-provenance            Do not record srx, its version and model in the outputs.
Rasters (GeoTIFF and all that GDAL reads):
  -b, --bidx BANDS... -> bands  Bands to upscale, in this order: 4,3,2, or -b 4 -b 3 -b 2.
  --rgb R,G,B                   Red, green and blue band, where the file does not name them.
  --range auto|LO,HI|dtype = auto -> values
      Values that count as black and white: LO,HI, or found in the file.
  --classes [auto|yes|no] = auto
      Bands hold classes, flags or a mask: repeat pixels, interpolate nothing.
  --alpha [auto|yes|no] = auto  The band called alpha is transparency, or data (near infrared).
  --nodata VALUE|none = file    Value of pixels without data; none: there is no such value.
  -srcwin, --srcwin COL ROW W H
      Upscale this window only, in pixels of the input.
  -te, --bounds L B R T         Upscale this window only, in coordinates of the file.
  -projwin L T R B              The same by its upper left and lower right corner.
  --mosaic                      Upscale a folder of map tiles (z/x/y, or sheets) as one raster.
  -co, --co KEY=VALUE... -> creation
      Creation option of GDAL, such as COMPRESS=ZSTD; repeatable.
  --overviews                   Add overviews (pyramids).
  --cog                         Write a cloud-optimised GeoTIFF.
  --no-resume                   Start over instead of continuing an interrupted run.
  --allow-remote                Read from the network: URLs, and mosaics with remote parts.
Device and speed:
  -t, --tile auto|N = auto      Size of the tiles that pictures are cut into, in input pixels.
  --overlap auto|N = auto       Strip that neighbouring tiles share, in input pixels.
  --batch auto|N = auto         Tiles computed at once.
  -j, --workers N = 2           Threads that read and write files.
  --read-timeout SECONDS = 30   Seconds to read a file, beyond what its size asks for; 0: no limit.
  device executor
  --precision [auto|fp32|bf16|fp16] = auto
      Number format; auto: half precision where that is fast.
Results:
  --dry-run                     Only print names, sizes, disk and problems.
  --report FILE                 Write a JSON line for every file.
Messages:
  verbose quiet
"""
KINDS = {
    "bidx": parse_bands,
    "rgb": parse_rgb,
    "range": parse_range,
    "nodata": parse_nodata,
    "srcwin": INT,
    "bounds": FLOAT,
    "projwin": FLOAT,
    "co": parse_creation,
    "output": click.Path(),
    "report": FILE,
    "quality": IntRange(1, 100),
    "workers": IntRange(1, 64),
    "X": FloatRange(0, 1),
    "read-timeout": FloatRange(0),
    "scale": FloatRange(1, 16),  # two passes by 4
    "WxH": parse_box,
    "long-edge": IntRange(1),
    "tile": AutoOrInt(16),
    "overlap": AutoOrInt(0),
    "batch": AutoOrInt(1),
}


@click.command(
    "upscale", cls=GdalCommand, options=OPTIONS, kinds=KINDS, epilog=EXAMPLES
)
@click.argument("paths", nargs=-1, required=True, metavar="IN... OUT")
def command(
    paths: tuple[str, ...],
    output: str | None,
    executor: str,
    read_timeout: float,
    dry_run: bool,
    report: Path | None,
    quiet: bool,
    verbose: bool,
    **named: Any,
) -> int:
    """Upscale pictures and rasters with a trained network.

    IN are pictures, rasters (GeoTIFF, VRT, JP2 and all that GDAL reads) and folders;
    OUT, the last argument, is a folder, or a file name when there is one picture. For
    one picture, - is standard input or output.
    """
    from srcli.imaging.rasters.opening import as_input, network_access
    from srcli.pipelines.executors import choose_executor
    from srcli.pipelines.upscale.mosaic import upscale_mosaic
    from srcli.pipelines.upscale.run import upscale_files

    limit_reading(read_timeout)
    # by a path GDAL's names lose slashes
    inputs, target = split_paths(
        [as_input(word) for word in paths], output, named["overwrite"]
    )
    named["into_folder"] = (output or paths[-1]).endswith(("/", os.sep))
    target = Path(target)  # no name of GDAL's
    runner, named["device"] = choose_executor(named["device"], executor)
    to_stdout = target == STREAM
    if to_stdout:  # all else that is printed goes to standard error
        named["suffix"] = ""
    settings = read_settings(named)
    with (
        network_access(allowed=named["allow_remote"]),
        open_streams(inputs, target, settings) as (sources, target, shown_name),
        closing(ReportLines(None if dry_run else report)) as lines,
        Console(
            quiet=quiet and not dry_run,
            verbose=verbose,
            named=shown_name,
            to_stdout=dry_run and not to_stdout,
        ) as console,
    ):

        def show(file: FileReport) -> None:
            lines.write(file, shown_name)
            _show(console, file, planned=dry_run)

        upscale = upscale_mosaic if settings.mosaic else upscale_files
        summary = upscale(
            sources,
            target,
            settings,
            progress=console,
            on_file=show,
            executor=runner,
            dry_run=dry_run,
        )
    if dry_run or not quiet:
        text = _summary_of(summary, planned=dry_run, auto=named["model"] == "auto")
        echo(text, err=to_stdout)
    if lines.failed:
        return summary.exit_code or ExitCode.PARTIAL
    return summary.exit_code


def split_paths(
    paths: Sequence[Path], output: str | None, overwrite: bool
) -> tuple[list[Path], Path]:
    """Tell inputs from the output, which is ``-o`` or else the last path.

    A file that exists is refused where it may be meant as an input.
    """
    inputs = list(paths)
    target = Path(output) if output is not None else inputs.pop()
    if not inputs:
        raise UsageError(f"no output given; say where to: srx upscale {target} OUT")
    if not os.path.isfile(target) or target == STREAM:  # noqa: PTH113 - pathlib may raise
        return inputs, target
    is_input = os.path.realpath(target) == os.path.realpath(inputs[0])
    if output is None and (is_input or len(inputs) > 1):
        raise UsageError(
            f"{target}: the last argument is the output, and this file exists; "
            f"give an output folder, or -o {target} --overwrite to replace it"
        )
    if is_input and len(inputs) == 1 and not overwrite:
        raise UsageError(
            f"{target}: is the input; --overwrite replaces it by its enlargement"
        )
    return inputs, target


def read_settings(named: Mapping[str, Any]) -> UpscaleOptions:
    """Return the options of a command line, most of which have the names of fields."""
    from srcli.imaging.resize import UNBOUNDED, Box
    from srcli.inference.device import EngineOptions
    from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions

    def fill(options_type: type[T], **settings: Any) -> T:
        for field in fields(options_type):
            if field.name in named:
                settings.setdefault(field.name, named[field.name])
        return options_type(**settings)

    _refuse_several(
        named, "say how large results are", "--scale", "--size", "--long-edge"
    )
    _refuse_several(named, "name a window", "--srcwin", "--bounds", "-projwin")
    output_format = named["format"].lower().lstrip(".")
    scale = Fraction(named["scale"] or 0).limit_denominator(1000)
    size = named["size"]
    if named["long_edge"]:
        size = Box(longest=named["long_edge"])
    if scale.denominator > 1:
        size = scale
        scale = Fraction(0)
    bounds = named["bounds"]
    if named["projwin"]:
        west, north, east, south = named["projwin"]
        bounds = (west, south, east, north)
    raster = fill(
        RasterOptions,
        bands=sum(named["bands"], ()) or None,
        bounds=bounds,
        creation=dict(named["creation"]),
        cog=named["cog"] or output_format == "cog",
        resume=not named["no_resume"],
    )
    if output_format in ("gtiff", "cog"):
        output_format = "tif"
    return fill(
        UpscaleOptions,
        scale=int(scale),
        size=size,
        fit=named["fit"] or UNBOUNDED,
        format=output_format,
        suffix=named["suffix"] or "",
        raster=raster,
        engine=fill(EngineOptions, back_project=named["back_project"] or ""),
    )


def _refuse_several(named: Mapping[str, Any], action: str, *names: str) -> None:
    """Refuse several options that would do the same."""
    used = [name for name in names if named[name.lstrip("-").replace("-", "_")]]
    if len(used) > 1:
        raise UsageError(f"{' and '.join(used)} each {action}; give one of them")


def _show(console: Console, file: FileReport, *, planned: bool) -> None:
    """Show what became of a file, or in a dry run what would."""
    say = console.message if planned else console.detail
    if file.state == "left out":
        say(f"{file.source}: {file.error}")
    elif file.state == "failed":
        if planned:
            say(f"would fail: {file.error}")
        else:
            console.error(file.error)
        say = console.detail
    elif planned:
        result = "skip, exists"
        if file.size:
            height, width = file.size
            result = f"{width}x{height} {file.target.suffix.lstrip('.')}".strip()
        say(f"{file.source} -> {file.target} ({result})")
    elif file.state == "done":
        model = file.model
        if file.condition:
            model += f" as {file.condition}"
        say(f"{file.source} -> {file.target} ({model}, {file.seconds:.1f} s)")
    else:
        say(f"{file.target}: exists, skipped")
    say(*(f"  {line}" for line in file.details))


def _summary_of(summary: Reporter, *, planned: bool, auto: bool) -> str:
    counts = summary.counts
    if planned:
        disk = sum(file.bytes for file in summary.files)
        return (
            f"{summary.megapixels:.1f} megapixels to write, {counts['failed']} problems; "
            f"at most {disk / 1e6:.0f} MB on disk before compression; nothing was done"
        )
    text = f"{counts['done']} done"
    models = Counter(file.model for file in summary.files if file.condition)
    if auto and models:
        shares = [f"{count} by {model}" for model, count in models.most_common()]
        text += f" ({', '.join(shares)})"
    if counts["skipped"]:
        text += (
            f", {counts['skipped']} skipped (they exist; --overwrite writes them again)"
        )
    if counts["failed"]:
        text += f", {counts['failed']} failed"
    return f"{text}; {summary.megapixels:.1f} megapixels in {summary.seconds:.1f} s"
