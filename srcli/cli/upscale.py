"""The command ``srx upscale``: upscale pictures, folders, rasters and standard input."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import Console, echo
from srcli.cli.gdal import GdalCommand
from srcli.cli.options import flag, heading, with_settings
from srcli.cli.streams import STREAM, ReportLines, open_streams, shortening
from srcli.cli.upscale_results import describe_run, print_file
from srcli.cli.values import (
    AUTO_YES_NO,
    FILE,
    POSITIVE,
    QUALITY,
    SECONDS,
    SHARE,
    AutoOrInt,
    complete_models,
    parse_bands,
    parse_box,
    parse_creation,
    parse_dpi,
    parse_nodata,
    parse_range,
    parse_rgb,
    parse_type,
)
from srcli.errors import ExitCode, UsageError
from srcli.machine import run_in_background
from srcli.supervision import is_watched, limit_reading
from srcli.torch_import import leave_out_shape_rules

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from srcli.pipelines.upscale.options import UpscaleOptions
    from srcli.pipelines.upscale.reporter import FileReport

T = TypeVar("T", bound="DataclassInstance")
EXAMPLES = """
\b
Examples:
  srx upscale photo.jpg larger.png              one picture, 4 times larger
  srx upscale photos/ larger/ -s 2 -r           a folder and its subfolders
  srx upscale a.jpg b.png out/ --suffix _x4     several pictures
  srx upscale photos/ out/ --fit 3840x2160      no larger than a screen
  srx upscale clip.mp4 larger.mp4 -s 2          a video, with its sound
  srx upscale - - < small.png > large.png       standard input and output
  srx upscale book.cbz larger.cbz               a comic book, or a zip
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
    shell_complete=complete_models,
    metavar="NAME|FILE",
    default="auto",
    help="Name, file, FILE.py:CLASS@FILE, auto: by what pictures need, or best.",
)
@options.network_settings
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
@flag(
    "--only-smaller",
    help="With --size or --long-edge: copy pictures that are large enough.",
)
@option(
    "--strength",
    type=SHARE,
    metavar="X",
    help="From g-idrn-photo (0) to its crisp form, or to -m (1). [auto: 0.5 or 1]",
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
@option(
    "--wrap",
    type=Choice(["x", "y", "both"]),
    help="Borders that meet: x of 360-degree panoramas, both of textures.",
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
    help="png, jpg, webp, avif, bmp, gif, tif, cog, mp4, mov, mkv, webm, or as input.",
)
@option(
    "--quality",
    type=QUALITY,
    help="Quality of jpg, webp, avif, COMPRESS=JPEG, videos. [jpg: 95, videos: 85]",
)
@option(
    "--fit",
    type=parse_box,
    metavar="WxH",
    help="Shrink results that exceed these bounds: 3840x2160, 3840x, x2160.",
)
@option(
    "--pages",
    type=AutoOrInt(1),
    metavar="all|N",
    default="all",
    help="Pages of a TIFF to upscale; all go into one TIFF.",
)
@option(
    "--dpi",
    type=parse_dpi,
    metavar="keep|scale|N",
    default="keep",
    help="Resolution of outputs: the input's, for prints of equal size, or N.",
)
@option("--suffix", help="Append this to output names, such as _x4.")
@flag("--watch", help="Stay, and enlarge what comes into the folders, until Ctrl-C.")
@flag("--overwrite", help="Replace outputs that exist, whoever made them.")
@flag(
    "--no-disk-check",
    help="Begin where the disk seems too small; what is done is kept.",
)
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
    metavar="R,G,B|none",
    help="Red, green, blue band, where the file does not name them; none: all alone.",
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
    type=AUTO_YES_NO,
    default="auto",
    help="Bands hold classes, flags or a mask: repeat pixels, interpolate nothing.",
)
@option(
    "--alpha",
    type=AUTO_YES_NO,
    default="auto",
    help="The band called alpha is transparency, or data (near infrared).",
)
@option(
    "--nodata",
    type=parse_nodata,
    metavar="VALUE,...|none",
    default="file",
    help="Value of pixels without data, further ones to be kept; none: no such value.",
)
@option(
    "-ot",
    "dtype",
    type=parse_type,
    metavar="Float32|Float64",
    help="Type of the result: heights in whole metres become smooth.",
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
@option(
    "--overviews/--no-overviews",
    default=None,
    help="Add overviews (pyramids), or none. [default: as the input]",
)
@flag("--cog", help="Write a cloud-optimised GeoTIFF.")
@flag("--stac", help="Write a STAC item beside each result, as NAME.stac.json.")
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
@options.background
@heading("Results")
@flag("--dry-run", help="Only print names, sizes, disk and problems.")
@option("--report", type=FILE, help="Write a JSON line for every file.")
@options.message_options
@click.argument("paths", nargs=-1, required=True, metavar="IN... OUT")
def command(
    paths: tuple[str, ...],
    output: str | None,
    executor: str,
    background: bool,
    read_timeout: float,
    dry_run: bool,
    watch: bool,
    report: Path | None,
    quiet: bool,
    verbose: bool,
    **option_values: Any,
) -> int:
    """Upscale pictures, videos and rasters with a trained network.

    IN are pictures, videos, rasters (GeoTIFF, VRT, JP2 and all that GDAL reads), folders;
    OUT, the last argument, is a folder, or a file name when there is one picture. For
    one picture, - is standard input or output.
    """
    from srcli.imaging.rasters.dataset_names import as_input, is_remote
    from srcli.imaging.rasters.opening import network_access
    from srcli.models import MODELS
    from srcli.pipelines.executors import choose_executor
    from srcli.pipelines.upscale.archives import (
        check_archive_name,
        is_archive,
        open_archive,
    )
    from srcli.pipelines.upscale.mosaic import upscale_mosaic
    from srcli.pipelines.upscale.run import upscale_files
    from srcli.pipelines.upscale.watch import watch_folders

    if background:
        run_in_background()
    limit_reading(read_timeout)
    # as_input: a Path would lose slashes of GDAL's names
    inputs, target = split_paths(
        [as_input(word) for word in paths], output, option_values["overwrite"]
    )
    option_values["into_folder"] = (output or paths[-1]).endswith(("/", os.sep))
    if not is_remote(str(target)):
        target = Path(target)  # outputs on disk are paths, never a DatasetName
    runner, option_values["device"] = choose_executor(option_values["device"], executor)
    to_stdout = target == STREAM
    open_files: Callable[..., Any] = open_streams
    is_special = watch or option_values["mosaic"]
    makes_archive = is_archive(inputs, target) and not is_special
    if is_remote(str(target)) and (is_special or makes_archive):
        raise UsageError(
            f"{target}: results of --watch, --mosaic and archives are written to disk; "
            "name a folder there"
        )
    if makes_archive:
        if not option_values["into_folder"]:
            check_archive_name(Path(target))
        open_files = partial(open_archive, dry_run=dry_run)
        option_values |= {"recursive": True, "suffix": "", "into_folder": True}
    if to_stdout:
        option_values["suffix"] = ""
    (option_values["model"],) = with_settings(
        (option_values["model"],), option_values["network_settings"]
    )
    settings = read_settings(option_values)
    entry = MODELS.get(settings.model)
    if is_watched() and (settings.auto or (entry and entry.target)):
        leave_out_shape_rules()  # neither our networks nor this process need them
    with (
        network_access(allowed=option_values["allow_remote"]),
        open_files(inputs, target, settings) as (sources, target, shorten),
        shortening(shorten),
        closing(ReportLines(None if dry_run else report)) as lines,
        Console(
            quiet=quiet and not dry_run,
            verbose=verbose,
            shorten=shorten,
            to_stdout=dry_run and not to_stdout,
        ) as console,
    ):

        def show(file: FileReport) -> None:
            lines.write(file, shorten)
            print_file(console, file, is_dry_run=dry_run)

        upscale = upscale_mosaic if settings.mosaic else upscale_files
        if watch:
            upscale = watch_folders
        reporter = upscale(
            sources,
            target,
            settings,
            progress=console,
            on_file=show,
            executor=runner,
            dry_run=dry_run,
        )
    if dry_run or not quiet:
        text = describe_run(reporter, is_dry_run=dry_run, auto=settings.auto)
        echo(text, err=to_stdout)
    if lines.failed:
        return reporter.exit_code or ExitCode.PARTIAL
    return reporter.exit_code


def split_paths(
    paths: Sequence[Path], output: str | None, overwrite: bool
) -> tuple[list[Path], Path]:
    """Split paths into inputs and the output, which is ``-o`` or else the last path.

    A file that exists is refused where it may be meant as an input.
    """
    from srcli.imaging.rasters.dataset_names import as_input

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


def read_settings(option_values: Mapping[str, Any]) -> UpscaleOptions:
    """Make ``UpscaleOptions`` of click's values.

    An option whose name is that of a field of ``UpscaleOptions``, ``RasterOptions`` or
    ``EngineOptions`` becomes that field; the others are turned into fields here.
    """
    from srcli.imaging.rasters.cutline import read_polygons
    from srcli.imaging.resize import UNBOUNDED, Box
    from srcli.inference.device import EngineOptions
    from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions

    def fill(options_type: type[T], **settings: Any) -> T:
        for field in fields(options_type):
            if field.name in option_values:
                settings.setdefault(field.name, option_values[field.name])
        return options_type(**settings)

    _refuse_together(
        option_values, "say how large results are", "--scale", "--size", "--long-edge"
    )
    _refuse_together(
        option_values, "name a window", "--srcwin", "--bounds", "-projwin", "--cutline"
    )
    output_format = option_values["format"].lower().lstrip(".")
    scale = Fraction(option_values["scale"] or 0).limit_denominator(1000)
    size = option_values["size"]
    if option_values["long_edge"]:
        size = Box(longest=option_values["long_edge"])
    if scale.denominator > 1:
        size = scale
        scale = Fraction(0)
    bounds = option_values["bounds"]
    if option_values["projwin"]:
        west, north, east, south = option_values["projwin"]
        bounds = (west, south, east, north)
    raster = fill(
        RasterOptions,
        bands=sum(option_values["bands"], ()) or None,
        bounds=bounds,
        creation=dict(option_values["creation"]),
        cutline=option_values["cutline"] and read_polygons(option_values["cutline"]),
        cog=option_values["cog"] or output_format == "cog",
        resume=not option_values["no_resume"],
    )
    if output_format in ("gtiff", "cog"):
        output_format = "tif"
    return fill(
        UpscaleOptions,
        scale=int(scale),
        size=size,
        fit=option_values["fit"] or UNBOUNDED,
        format=output_format,
        suffix=option_values["suffix"] or "",
        wrap=option_values["wrap"] or "",
        disk_check=not option_values["no_disk_check"],
        raster=raster,
        engine=fill(EngineOptions, back_project=option_values["back_project"] or ""),
    )


def _refuse_together(
    option_values: Mapping[str, Any], action: str, *names: str
) -> None:
    """Refuse more than one of several options that exclude each other."""
    used = [name for name in names if option_values[name.lstrip("-").replace("-", "_")]]
    if len(used) > 1:
        raise UsageError(f"{' and '.join(used)} each {action}; give one of them")
