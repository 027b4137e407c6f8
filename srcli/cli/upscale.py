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
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import Console, echo
from srcli.cli.gdal import GdalCommand
from srcli.cli.options import flag, heading
from srcli.cli.streams import STREAM, ReportLines, open_streams
from srcli.cli.values import (
    FILE,
    MODE,
    POSITIVE,
    QUALITY,
    SECONDS,
    SHARE,
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
  srx upscale ortho.tif s3://BUCKET/larger.tif --allow-remote

Running again does what is missing; a raster resumes where it stopped. An output that srx has made
with another model, scale or options, or from an input that has changed since, is made again (not
for a newer version, or newer weights, of the same model). A file that is not known to be srx's own
is never replaced without --overwrite.
"""


@click.command("upscale", cls=GdalCommand, epilog=EXAMPLES)
@heading("Model")
@option(
    "-m",
    "--model",
    metavar="NAME|FILE",
    default="auto",
    help="Name, file, FILE.py:CLASS@FILE, auto: by what pictures need, or best.",
)
@options.value_range
@option(
    "-s",
    "--scale",
    type=click.FloatRange(1, 16),  # two passes by 4
    metavar="N",
    help="Times larger: 2, 3, 4; photographs: 1 to 16. [default: 4, or a file's]",
)
@option(
    "--size",
    type=parse_box,
    metavar="WxH",
    help="Enlarge photographs to 3840x2160 at most, 3840x or x2160 exactly.",
)
@option(
    "--long-edge",
    type=POSITIVE,
    help="Enlarge photographs to so many pixels on the longer side.",
)
@option(
    "--strength",
    type=SHARE,
    metavar="X",
    help="From g-idrn-photo (0) to its crisp form (1). [default: 0; auto: 0.5, x2: 1]",
)
@option(
    "--denoise",
    type=SHARE,
    metavar="X",
    default="1",
    help="How much grain and noise is removed; 0.5 keeps half of it.",
)
@flag(
    "--tta", help="Average over 8 flips and rotations: a little better, 8 times slower."
)
@option(
    "--back-project",
    type=Choice(["bicubic", "area"]),
    help="Make results, shrunk by this kernel, agree with inputs; not for JPEGs.",
)
@heading("Input and output")
@option(
    "-o",
    "--output",
    type=click.Path(),
    help="Output folder or file, instead of the last argument.",
)
@flag("-r", "--recursive", help="Include subfolders and mirror them.")
@option(
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out files and folders of this name or path; repeatable.",
)
@option(
    "-f",
    "-of",
    "--format",
    default="auto",
    help="png, jpg, webp, avif, bmp, gif, tif or cog; auto is the input's.",
)
@option(
    "--quality",
    type=QUALITY,
    help="Quality of jpg, webp and avif, and of COMPRESS=JPEG. [jpg: 95]",
)
@option(
    "--fit",
    type=parse_box,
    metavar="WxH",
    help="Shrink results that exceed these bounds: 3840x2160, 3840x, x2160.",
)
@option("--suffix", help="Append this to output names, such as _x4.")
@flag("--overwrite", help="Replace outputs that exist, whoever made them.")
@flag("--keep-dates", help="Give outputs the file times of their inputs.")
@flag(
    "--keep-hidden",
    help="Keep colours that alpha hides: it is data, such as gloss or height.",
)
@flag(
    "--strip-metadata",
    help="Leave out EXIF, XMP and tags; colours and georeference stay.",
)
@flag(
    "--strip-provenance",
    help="Do not record srx, its version and model in the outputs.",
)
@heading("Rasters (GeoTIFF and all that GDAL reads)")
@option(
    "-b",
    "--bidx",
    "bands",
    type=parse_bands,
    metavar="BANDS",
    multiple=True,
    help="Bands to upscale, in this order: 4,3,2, or -b 4 -b 3 -b 2.",
)
@option(
    "--rgb",
    type=parse_rgb,
    metavar="R,G,B",
    help="Red, green and blue band, where the file does not name them.",
)
@option(
    "--range",
    "values",
    type=parse_range,
    metavar="auto|LO,HI|dtype",
    default="auto",
    help="Values that count as black and white: LO,HI, or found in the file.",
)
@option(
    "--classes",
    type=MODE,
    default="auto",
    help="Bands hold classes, flags or a mask: repeat pixels, interpolate nothing.",
)
@option(
    "--alpha",
    type=MODE,
    default="auto",
    help="The band called alpha is transparency, or data (near infrared).",
)
@option(
    "--nodata",
    type=parse_nodata,
    metavar="VALUE|none",
    default="file",
    help="Value of pixels without data; none: there is no such value.",
)
@option(
    "-srcwin",
    "--srcwin",
    type=click.INT,
    metavar="COL ROW W H",
    nargs=4,
    help="Upscale this window only, in pixels of the input.",
)
@option(
    "-te",
    "--bounds",
    type=click.FLOAT,
    metavar="L B R T",
    nargs=4,
    help="Upscale this window only, in coordinates of the file.",
)
@option(
    "-projwin",
    type=click.FLOAT,
    metavar="L T R B",
    nargs=4,
    help="The same by its upper left and lower right corner.",
)
@option(
    "-cutline",
    "--cutline",
    type=FILE,
    help="Upscale what lies inside the polygons of this GeoJSON, GPKG or SHP.",
)
@flag(
    "--mosaic", help="Upscale a folder of map tiles (z/x/y, or sheets) as one raster."
)
@option(
    "-co",
    "--co",
    "creation",
    type=parse_creation,
    metavar="KEY=VALUE",
    multiple=True,
    help="Creation option of GDAL, such as COMPRESS=ZSTD; repeatable.",
)
@flag("--overviews", help="Add overviews (pyramids).")
@flag("--cog", help="Write a cloud-optimised GeoTIFF.")
@flag("--no-resume", help="Start over instead of continuing an interrupted run.")
@flag(
    "--allow-remote", help="Use the network: URLs and remote mosaics in, buckets out."
)
@heading("Device and speed")
@option(
    "-t",
    "--tile",
    type=AutoOrInt(16),
    metavar="auto|N",
    default="auto",
    help="Size of the tiles that pictures are cut into, in input pixels.",
)
@option(
    "--overlap",
    type=AutoOrInt(0),
    metavar="auto|N",
    default="auto",
    help="Strip that neighbouring tiles share, in input pixels.",
)
@option(
    "--batch",
    type=AutoOrInt(1),
    metavar="auto|N",
    default="auto",
    help="Tiles computed at once.",
)
@option(
    "-j",
    "--workers",
    type=click.IntRange(1, 64),
    default="2",
    help="Threads that read and write files.",
)
@option(
    "--read-timeout",
    type=SECONDS,
    metavar="SECONDS",
    default="30",
    help="Seconds to read a file, beyond what its size asks for; 0: no limit.",
)
@options.devices
@options.executor
@options.precision
@heading("Results")
@flag("--dry-run", help="Only print names, sizes, disk and problems.")
@option("--report", type=FILE, help="Write a JSON line for every file.")
@options.messages
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
    from srcli.imaging.rasters.opening import as_input, is_remote, network_access
    from srcli.pipelines.executors import choose_executor
    from srcli.pipelines.upscale.mosaic import upscale_mosaic
    from srcli.pipelines.upscale.run import upscale_files

    limit_reading(read_timeout)
    # by a path GDAL's names lose slashes
    inputs, target = split_paths(
        [as_input(word) for word in paths], output, named["overwrite"]
    )
    named["into_folder"] = (output or paths[-1]).endswith(("/", os.sep))
    if not is_remote(str(target)):
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
        text = _summary_of(summary, planned=dry_run, auto=settings.auto)
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
    from srcli.imaging.rasters.opening import as_input

    inputs = list(paths)
    target = inputs.pop() if output is None else as_input(output)
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
    from srcli.imaging.rasters.cutline import read_polygons
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
    _refuse_several(
        named, "name a window", "--srcwin", "--bounds", "-projwin", "--cutline"
    )
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
        cutline=named["cutline"] and read_polygons(named["cutline"]),
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
