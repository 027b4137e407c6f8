"""The command ``srx upscale``: upscale pictures, folders, rasters and standard input."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from srcli.cli.console import Console, echo
from srcli.cli.options import AutoOrInt, GroupedCommand, parse_box
from srcli.cli.streams import STREAM, open_streams, report_lines
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

_WINDOWS = frozenset({"--bounds", "-te", "--srcwin", "-srcwin", "-projwin"})


def parse_bands(text: str, count: int = 0) -> tuple[int, ...]:
    """Read band numbers such as ``4,3,2``, so many if a count is given."""
    parts = re.split(r"[,\s]+", text.strip())
    numbers = tuple(
        int(part) if part.isascii() and part.isdigit() else 0 for part in parts
    )
    if min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"{text!r} is no list of different bands from 1, such as 4,3,2"
        )
    if count and len(numbers) != count:
        raise ValueError(f"{text!r}: give {count} bands, such as 1,2,3")
    return numbers


def parse_range(text: str) -> str | tuple[float, float]:
    """Read ``auto``, ``dtype`` or two numbers."""
    word = text.strip()
    if word in ("auto", "dtype"):
        return word
    try:
        low, high = map(float, word.split(","))
    except ValueError:
        low = high = math.nan
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(f"{text!r} is not auto, dtype or LO,HI with LO below HI")
    return low, high


def parse_nodata(text: str) -> float | str:
    """Read a number (also ``nan``), ``none`` or ``file``."""
    if text in ("none", "file"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor 'none'") from None


def parse_creation(text: str) -> tuple[str, str]:
    """Read a creation option, ``KEY=VALUE``."""
    key, _, value = (part.strip() for part in text.partition("="))
    if not key or not value:
        raise ValueError(f"{text!r} is not KEY=VALUE, such as COMPRESS=ZSTD")
    return key.upper(), value


_ELSEWHERE = {
    "-outsize": "-s 2 says how many times larger, --size and --long-edge (photographs) how large",
    "-ts": "-s 2 says how many times larger",
    "-tr": "-s 2 halves the pixels' size; gdalwarp -tr makes another of the result",
    "-tap": "the corners stay; gdalwarp -tap moves them",
    "-scale": "-s 2 says how many times larger; values keep their range (--range LO,HI names it)",
    "-unscale": "values keep their offset and scale, as tags; gdal_translate -unscale applies them",
    "-exponent": "values keep their range; --range LO,HI says which are black and white",
    "-stats": "run gdalinfo -stats on the result",
    "-mask": "masks are enlarged with the picture; --nodata VALUE marks pixels without data",
    "-expand": "palettes become RGB, but for those of classes (--classes no)",
    "-mo": "tags are kept; gdal_edit -mo adds some to the result",
    "-a_srs": "the coordinate system is kept; gdal_edit -a_srs changes it",
    "-a_ullr": "the place on the map is kept; gdal_edit -a_ullr changes it",
    "-a_nodata": "--nodata VALUE says which pixels are without data",
    "-srcnodata": "--nodata VALUE says which pixels are without data",
    "-dstnodata": "--nodata VALUE says which pixels are without data",
    "-vrtnodata": "--nodata VALUE says which pixels are without data",
    "-s_srs": "nothing is warped; use gdalwarp before",
    "-t_srs": "nothing is warped; use gdalwarp before",
    "-te_srs": "windows are in the file's coordinates; convert them first",
    "-projwin_srs": "windows are in the file's coordinates; convert them first",
    "-strict": "losses are told in warnings",
    "-sds": "name each picture of the file, such as NETCDF:a.nc:band",
    "-separate": "--bidx chooses bands; gdalbuildvrt -separate puts files together",
    "-multi": "--workers says how many threads read and write",
    "-resolution": "-s 2 says how many times larger",
    "-rb": "each model has its own way of resampling: -m bicubic is one",
    "-oo": "open options of GDAL are not taken",
}
"""Words of GDAL's commands that click would take apart, such as ``-m ask``, and what to
use."""


class GdalCommand(GroupedCommand):
    """A command whose options of one dash and several letters are GDAL's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take windows apart that are given in quotes; refuse words that mean something else."""
        for word in args[: args.index("--")] if "--" in args else args:
            if word in _ELSEWHERE:
                ctx.fail(f"{word}: {_ELSEWHERE[word]}")
            if word.startswith("-o") and word not in (
                "-o",
                "-of",
            ):  # -overwrite, -ot, -ofCOG
                ctx.fail(
                    f"{word}: write '-o {word[2:]}', or another option as it stands in --help"
                )
        args = list(_split_windows(args))
        for place, word in enumerate(args):
            # a kernel may follow, but click would take any word for one
            if word == "--back-project":
                follows = args[place + 1 : place + 2]
                if follows not in (["bicubic"], ["area"]):
                    args[place] = "--back-project=bicubic"
        return super().parse_args(ctx, args)


def _split_windows(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, the four numbers of a window apart: ``--bounds "1 2 3 4"``."""
    after_window = False
    for word in words:
        name, sign, value = word.partition("=")
        parts = [name, value] if sign and name in _WINDOWS else [word]
        if after_window or len(parts) == 2:
            numbers = re.split(r"[,\s]+", parts[-1].strip(" []()"))
            parts[-1:] = numbers if len(numbers) == 4 else parts[-1:]
        yield from parts
        after_window = word in _WINDOWS


KINDS = {
    "bidx": parse_bands,
    "rgb": lambda text: parse_bands(text, 3),
    "range": parse_range,
    "nodata": parse_nodata,
    "srcwin": click.INT,
    "bounds": click.FLOAT,
    "projwin": click.FLOAT,
    "co": parse_creation,
    "output": click.Path(),
    "report": click.Path(path_type=Path, dir_okay=False),
    "quality": click.IntRange(1, 100),
    "workers": click.IntRange(1, 64),
    "strength": click.FloatRange(0, 1),
    "denoise": click.FloatRange(0, 1),
    "read-timeout": click.FloatRange(0),
    "scale": click.FloatRange(1, 16),  # two passes by 4
    "fit": parse_box,
    "size": parse_box,
    "long-edge": click.IntRange(1),
    "tile": AutoOrInt(16),
    "overlap": AutoOrInt(0),
    "batch": AutoOrInt(1),
}


@click.command(
    "upscale", cls=GdalCommand, options=OPTIONS, kinds=KINDS, epilog=EXAMPLES
)
@click.argument("paths", nargs=-1, required=True, metavar="IN... OUT")
def command(**options: Any) -> int:
    """Upscale pictures and rasters with a trained network.

    IN are pictures, rasters (GeoTIFF, VRT, JP2 and all that GDAL reads) and folders;
    OUT, the last argument, is a folder, or a file name when there is one picture. For
    one picture, - is standard input or output.
    """
    from srcli.imaging.rasters.opening import as_input, network_access
    from srcli.pipelines.executors import choose_executor
    from srcli.pipelines.upscale.mosaic import upscale_mosaic
    from srcli.pipelines.upscale.run import upscale_files

    limit_reading(options["read_timeout"])
    dry_run, quiet = options["dry_run"], options["quiet"]
    paths = [
        as_input(word) for word in options["paths"]
    ]  # by a path GDAL's names lose slashes
    inputs, output = split_paths(paths, options["output"], options["overwrite"])
    named_last = options["output"] or options["paths"][-1]
    options["into_folder"] = named_last.endswith(("/", os.sep))
    output = Path(output)  # no name of GDAL's
    executor, options["device"] = choose_executor(
        options["device"], options["executor"]
    )
    if to_stdout := output == STREAM:  # all else that is printed goes to standard error
        options["suffix"] = ""
    settings = read_settings(options)
    with (
        network_access(allowed=options["allow_remote"]),
        open_streams(inputs, output, settings) as (sources, target, named),
        report_lines(None if dry_run else options["report"]) as report,
        Console(
            quiet=quiet and not dry_run,
            verbose=options["verbose"],
            named=named,
            to_stdout=dry_run and not to_stdout,
        ) as console,
    ):

        def show(file: FileReport) -> None:
            report.write(file, named)
            _show(console, file, planned=dry_run)

        summary = (upscale_mosaic if settings.mosaic else upscale_files)(
            sources,
            target,
            settings,
            progress=console,
            on_file=show,
            executor=executor,
            dry_run=dry_run,
        )
    if dry_run or not quiet:
        auto = options["model"] == "auto"
        echo(_closing(summary, planned=dry_run, auto=auto), err=to_stdout)
    if report.failed:
        return int(summary.exit_code) or int(ExitCode.PARTIAL)
    return int(summary.exit_code)


def split_paths(
    paths: Sequence[Path], output: str | None, overwrite: bool
) -> tuple[list[Path], Path]:
    """Tell inputs from the output, which is ``-o`` or else the last path.

    A file that exists is refused where it may be meant as an input.
    """
    *inputs, last = paths if output is None else [*paths, Path(output)]
    if not inputs:
        raise UsageError(f"no output given; say where to: srx upscale {last} OUT")
    same = os.path.realpath(last) == os.path.realpath(inputs[0])
    if not os.path.isfile(last) or last == STREAM:  # noqa: PTH113 - pathlib may raise
        return inputs, last
    if output is None and (same or len(inputs) > 1):
        raise UsageError(
            f"{last}: the last argument is the output, and this file exists; "
            f"give an output folder, or -o {last} --overwrite to replace it"
        )
    if same and len(inputs) == 1 and not overwrite:
        raise UsageError(
            f"{last}: is the input; --overwrite replaces it by its enlargement"
        )
    return inputs, last


def read_settings(options: Mapping[str, Any]) -> UpscaleOptions:
    """Return the options of a command line, most of which have the names of fields."""
    from srcli.imaging.resize import UNBOUNDED, Box
    from srcli.inference.device import EngineOptions
    from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions

    def chosen(kind: type[T], **known: Any) -> T:
        names = (each.name for each in fields(kind) if each.name in options)
        return kind(**{name: options[name] for name in names} | known)

    fmt = options["format"].lower().lstrip(".")
    scale = Fraction(options["scale"] or 0).limit_denominator(1000)
    longest, window = options["long_edge"], options["projwin"]
    _refuse_several(
        options, "say how large results are", "--scale", "--size", "--long-edge"
    )
    _refuse_several(options, "name a window", "--srcwin", "--bounds", "-projwin")
    size = options["size"] or (Box(longest=longest) if longest else None)
    if scale.denominator > 1:
        scale, size = Fraction(0), scale
    raster = chosen(
        RasterOptions,
        bands=sum(options["bands"], ()) or None,
        bounds=(window[0], window[3], window[2], window[1])
        if window
        else options["bounds"],
        creation=dict(options["creation"]),
        cog=options["cog"] or fmt == "cog",
        resume=not options["no_resume"],
    )
    return chosen(
        UpscaleOptions,
        scale=int(scale),
        size=size,
        fit=options["fit"] or UNBOUNDED,
        format={"gtiff": "tif", "cog": "tif"}.get(fmt, fmt),
        suffix=options["suffix"] or "",
        raster=raster,
        engine=chosen(EngineOptions, back_project=options["back_project"] or ""),
    )


def _refuse_several(options: Mapping[str, Any], what: str, *names: str) -> None:
    given = [name for name in names if options[name.lstrip("-").replace("-", "_")]]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} each {what}; give one of them")


def _show(console: Console, file: FileReport, *, planned: bool) -> None:
    """Show what became of a file, or in a dry run what would."""
    failed, say = file.state == "failed", console.message if planned else console.detail
    if file.state == "left out":
        say(f"{file.source}: {file.error}")
    elif failed and planned:
        say(f"would fail: {file.error}")
    elif failed:
        console.error(file.error)
    elif planned:
        size = f"{file.size[1]}x{file.size[0]} " if file.size else ""
        what = (
            f"{size}{file.target.suffix.lstrip('.')}".strip()
            if size
            else "skip, exists"
        )
        say(f"{file.source} -> {file.target} ({what})")
    elif file.state == "done":
        why = f" as {file.condition}" if file.condition else ""
        say(f"{file.source} -> {file.target} ({file.model}{why}, {file.seconds:.1f} s)")
    else:
        say(f"{file.target}: exists, skipped")
    (console.detail if failed else say)(*(f"  {line}" for line in file.details))


def _closing(summary: Reporter, *, planned: bool, auto: bool) -> str:
    done, skipped, failed = (summary.counts[s] for s in ("done", "skipped", "failed"))
    if planned:
        disk = sum(file.bytes for file in summary.files)
        return (
            f"{summary.megapixels:.1f} megapixels to write, {failed} problems; at most "
            f"{disk / 1e6:.0f} MB on disk before compression; nothing was done"
        )
    models = Counter(file.model for file in summary.files if file.condition)
    parts = [f"{done} done"]
    if auto and models:
        parts[0] += (
            f" ({', '.join(f'{n} by {model}' for model, n in models.most_common())})"
        )
    if skipped:
        parts.append(f"{skipped} skipped (they exist; --overwrite writes them again)")
    if failed:
        parts.append(f"{failed} failed")
    return f"{', '.join(parts)}; {summary.megapixels:.1f} megapixels in {summary.seconds:.1f} s"
