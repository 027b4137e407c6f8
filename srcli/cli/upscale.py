"""The command ``srx upscale``: upscale pictures, folders, rasters and standard input.

It accepts command lines written for GDAL, gives advice on GDAL's options that srx lacks,
and prints what became of each file.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli import options
from srcli.cli.console import Console, echo
from srcli.cli.declared import DeclaredCommand, takes_declared
from srcli.cli.options import with_settings
from srcli.cli.streams import STREAM, ReportLines, open_streams, shortening
from srcli.errors import ExitCode, UsageError
from srcli.late_imports import leave_out_shape_rules
from srcli.machine import run_in_background
from srcli.pipelines.upscale.asked import OPTIONS, Asked  # noqa: TID253 - light
from srcli.quantities import format_duration
from srcli.report.table import plural
from srcli.supervision import is_watched, limit_reading

if TYPE_CHECKING:
    from srcli.pipelines.upscale.options import Settled
    from srcli.pipelines.upscale.reporter import FileReport, Reporter

_WINDOW_OPTIONS = frozenset({"--bounds", "-te", "--srcwin", "-srcwin", "-projwin"})
_ADVICE = {
    "-outsize": "-s 2 says how many times larger, --size and --long-edge (photographs) how large",
    "-ts": "-s 2 says how many times larger",
    "-tr": "-s 2 halves the pixels' size; gdalwarp -tr makes another of the result",
    "-crop_to_cutline": "--cutline FILE crops as well",
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
"""What to use instead of an option of GDAL's commands that srx does not have; click would
read ``-mask`` as ``-m ask``."""

_KERNELS = frozenset(
    {"average", "bilinear", "cubic", "gauss", "lanczos", "mean", "nearest"}
)
"""Kernels that ``--back-project`` lacks; as its value may be left out, they would be taken
for the output folder."""
_RESAMPLINGS = _KERNELS | {
    "average_magphase", "bicubic", "cubicspline", "max", "med", "min", "mode", "near", "q1", "q3",
    "rms", "sum",
}  # fmt: skip
"""Ways of resampling behind GDAL's ``-r``, which is ``--recursive`` here: they would be taken
for the output folder, and an output in front of it for an input."""


class GdalCommand(DeclaredCommand):
    """A command that takes options of GDAL: one dash and several letters, as in ``-srcwin``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split windows given in quotes; refuse GDAL's options that srx does not have."""
        for word in args:
            if word == "--":
                break
            if word in _ADVICE:
                ctx.fail(f"{word}: {_ADVICE[word]}")
            # -overwrite and -ofCOG would be read as -o with a value
            if word.startswith("-o") and word not in ("-o", "-of", "-ot"):
                ctx.fail(
                    f"{word}: write '-o {word[2:]}', or another option as it stands in --help"
                )
        args = list(_split_windows(args))
        for index, word in enumerate(args):
            follows = "".join(args[index + 1 : index + 2])
            if (
                word == "-r"
                and follows.lower() in _RESAMPLINGS
                and not Path(follows).exists()
            ):
                ctx.fail(
                    f"-r {follows}: {_ADVICE['-rb']}; here -r searches subfolders, and a "
                    f"folder of this name is {follows}/"
                )
            # its kernel may be left out, but click would take any word for one
            if word == "--back-project":
                if follows in _KERNELS and not Path(follows).exists():
                    ctx.fail(f"{word} {follows}: give bicubic or area")
                if follows not in ("bicubic", "area"):
                    args[index] = "--back-project=bicubic"
        return super().parse_args(ctx, args)


def _split_windows(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command line with windows split: ``--bounds "1 2 3 4"``."""
    after_window = False
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name in _WINDOW_OPTIONS:
            yield name
            yield from _split_numbers(value)
        elif after_window:
            yield from _split_numbers(word)
        else:
            yield word
        after_window = word in _WINDOW_OPTIONS


def _split_numbers(text: str) -> list[str]:
    """Split a text of four numbers; return any other text as it is."""
    numbers = re.split(r"[,\s]+", text.strip(" []()"))
    if len(numbers) == 4:
        return numbers
    return [text]


COMMON = (
    "--model", "--scale", "--size", "--fit", "--strength",
    "--output", "--recursive", "--format", "--quality", "--suffix", "--overwrite",
    "--strip-metadata", "--bidx", "--nodata", "--classes", "--srcwin", "--mosaic", "--co",
    "--cog", "--tile", "--device", "--background", "--dry-run", "--report", "--verbose",
    "--quiet",
)  # fmt: skip
"""Options that ``--help`` shows: two screens of them."""
EXAMPLES = """
\b
Examples:
  srx upscale photo.jpg larger.png              one picture, 4 times larger
  srx upscale photos/ larger/ -s 2 -r           a folder and its subfolders
  srx upscale photos/ out/ --size 3840x         exactly this wide
  srx upscale photos/ out/ --dry-run            sizes, disk and problems
  srx upscale clip.mp4 larger.mp4 -s 2          a video, with its sound
  srx upscale ortho.tif out/ -s 2 --cog         a GeoTIFF of any size
  srx upscale ortho.tif part.tif -srcwin 0 0 900 700
  srx upscale tiles/ out/ -s 2 --mosaic         map tiles z/x/y, or sheets

Running again does what is missing; a raster resumes where it stopped. --help-all shows all options.
"""
FURTHER = """
\b
More examples:
  srx upscale a.jpg b.png out/ --suffix _x4     several pictures
  srx upscale photos/ out/ --fit 3840x2160      no larger than a screen
  srx upscale - - < small.png > large.png       standard input and output
  srx upscale clip.mp4 frames/ -f png           numbered frames, with their times
  srx upscale frames/ film.mp4 --rate 24        and a film of them
  srx upscale book.cbz larger.cbz               a comic book, or a zip
  srx upscale photos/ out/ --device all         on every GPU of the machine
  srx upscale ortho.tif out/ --bounds 8.10 47.20 8.15 47.25 --rgb 1,2,3
  srx upscale ortho.tif part.tif -srcwin 0 0 900 700 -of COG -co COMPRESS=ZSTD
  srx upscale 'NETCDF:"a.nc":band' /vsizip/a.zip/b.tif out/
  srx upscale https://HOST/cog.tif out/ --allow-remote -srcwin 0 0 512 512
  srx upscale ortho.tif s3://BUCKET/larger.tif --allow-remote

An output that srx has made with another model, scale or options, or from an input that has changed
since, is made again (not for a newer version, or newer weights, of the same model). A file that is
not known to be srx's own is never replaced without --overwrite.
"""


SHARED_OPTIONS = {
    "network_settings": options.network_settings,
    "value_range": options.value_range,
    "device": options.devices,
    "executor": options.executor,
    "precision": options.precision,
    "background": options.background,
    "verbose": options.verbose,
    "quiet": options.quiet,
}
"""Options of ``Asked`` that other commands have, too."""


@click.command(
    "upscale",
    cls=GdalCommand,
    epilog=EXAMPLES,
    common=COMMON,
    further_epilog=FURTHER,
)
@takes_declared(Asked, OPTIONS, SHARED_OPTIONS)
@click.argument("paths", nargs=-1, required=True, metavar="IN... OUT")
def command(paths: tuple[str, ...], asked: Asked) -> int:
    """Upscale pictures, videos and rasters with a trained network.

    IN are pictures, videos, rasters (GeoTIFF, VRT, JP2 and all that GDAL reads), folders;
    OUT, the last argument, is a folder, or a file name when there is one picture. For
    one picture, - is standard input or output.
    """
    from srcli.imaging.files.formats import ARCHIVE_SUFFIXES
    from srcli.imaging.rasters.dataset_names import as_input, is_remote
    from srcli.imaging.rasters.gdal_access import network_access
    from srcli.models import MODELS
    from srcli.pipelines.executors import choose_executor
    from srcli.pipelines.upscale.options import settle

    if asked.background:
        run_in_background()
    limit_reading(asked.read_timeout)
    # as_input: a Path would lose slashes of GDAL's names
    inputs, target = split_paths(
        [as_input(word) for word in paths], asked.output, asked.overwrite
    )
    if not is_remote(str(target)):
        target = Path(target)  # outputs on disk are paths, never a DatasetName
    to_stdout = target == STREAM
    is_special = asked.watch or asked.mosaic
    makes_archive = False
    if inputs[0].suffix.lower() in ARCHIVE_SUFFIXES and not is_special:
        from srcli.pipelines.upscale.archives import is_archive

        makes_archive = is_archive(inputs, target)
    # what the command line as a whole says of options
    told: dict[str, Any] = {
        "into_folder": (asked.output or paths[-1]).endswith(("/", os.sep))
    }
    runner, told["device"] = choose_executor(asked.device, asked.executor)
    if is_remote(str(target)) and (is_special or makes_archive):
        raise UsageError(
            f"{target}: results of --watch, --mosaic and archives are written to disk; "
            "name a folder there"
        )
    open_files: Callable[..., Any] = open_streams
    if makes_archive:
        from srcli.pipelines.upscale.archives import check_archive_name, open_archive

        if not told["into_folder"]:
            check_archive_name(Path(target))
        open_files = partial(open_archive, dry_run=asked.dry_run)
        told |= {"recursive": True, "into_folder": True}
    if to_stdout or makes_archive:
        told["suffix"] = ""
    (told["model"],) = with_settings((asked.model,), asked.network_settings)
    settings = settle(replace(asked, **told))
    entry = MODELS.get(settings.model)
    if is_watched() and (settings.auto or (entry and entry.target)):
        leave_out_shape_rules()  # neither our networks nor this process need them
    with (
        network_access(allowed=asked.allow_remote),
        open_files(inputs, target, settings) as (sources, target, shorten),
        shortening(shorten),
        closing(ReportLines(None if asked.dry_run else asked.report)) as lines,
        Console(
            quiet=asked.quiet and not asked.dry_run,
            verbose=asked.verbose,
            shorten=shorten,
            to_stdout=asked.dry_run and not to_stdout,
        ) as console,
    ):

        def show(file: FileReport) -> None:
            lines.write(file, shorten)
            print_file(console, file, is_dry_run=asked.dry_run)

        reporter = _way_to_upscale(settings)(
            sources,
            target,
            settings,
            progress=console,
            on_file=show,
            executor=runner,
            dry_run=asked.dry_run,
        )
    if asked.dry_run or not asked.quiet:
        text = describe_run(
            reporter,
            is_dry_run=asked.dry_run,
            auto=settings.auto,
            of_archive=makes_archive,
        )
        echo(text, err=to_stdout)
    if lines.failed:
        return reporter.exit_code or ExitCode.PARTIAL
    return reporter.exit_code


def _way_to_upscale(settings: Settled) -> Callable[..., Reporter]:
    """Return the function that does all; what it needs is not imported for others."""
    if settings.watch:
        from srcli.pipelines.upscale.run import watch_folders

        return watch_folders
    if settings.mosaic:
        from srcli.pipelines.upscale.mosaic import upscale_mosaic

        return upscale_mosaic
    from srcli.pipelines.upscale.run import upscale_files

    return upscale_files


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


def print_file(console: Console, file: FileReport, *, is_dry_run: bool) -> None:
    """Print what became of a file, or in a dry run what would."""
    from srcli.imaging.files.formats import FRAME_TABLE_SUFFIX

    say = console.message if is_dry_run else console.detail
    if file.state == "left out":
        say(f"{file.source}: {file.error}")
    elif file.state == "failed":
        if is_dry_run:
            say(f"would fail: {file.error}")
        else:
            console.error(file.error)
        say = console.detail
    elif file.state == "copied":
        say(f"{file.source} -> {file.target} (copied as it is: {file.error})")
    elif is_dry_run:
        result = "skip, exists"
        if file.size:
            height, width = file.size
            result = f"{width}x{height} {file.target.suffix.lstrip('.')}".strip()
            if file.target.suffix == FRAME_TABLE_SUFFIX:
                result = f"{plural(file.frames, 'frame')} of {width}x{height}"
        if file.model:
            result += f", {_name_model(file)}"
        say(f"{file.source} -> {file.target} ({result})")
    elif file.state == "done":
        say(
            f"{file.source} -> {file.target} ({_name_model(file)}, {file.seconds:.1f} s)"
        )
    elif file.state == "made by another":
        say(f"{file.target}: made by another srx meanwhile")
    else:
        say(f"{file.target}: exists, skipped")
    say(*(f"  {line}" for line in file.details))


def _name_model(file: FileReport) -> str:
    """Return what made a file: ``g-idrn-photo at strength 1 as blocks``."""
    name = file.model
    if file.strength is not None:
        name += f" at strength {file.strength:g}"
    if file.condition:
        name += f" as {file.condition}"
    return name


def describe_run(
    reporter: Reporter, *, is_dry_run: bool, auto: bool, of_archive: bool = False
) -> str:
    """Return the last line of a run: what was done, or in a dry run what would be."""
    from srcli.imaging.files.provenance import SHRUNK

    counts = reporter.counts
    files = reporter.files
    if is_dry_run:
        disk = reporter.disk_bytes
        likely = reporter.likely_disk_bytes
        text = (
            f"{reporter.megapixels:.1f} megapixels to write, "
            f"{plural(counts['failed'], 'problem')}; "
            f"at most {disk / 1e6:.0f} MB on disk before compression"
        )
        if likely < disk:
            text += f", about {max(likely / 1e6, 1):.0f} with it"
        if reporter.expected_seconds is not None:
            duration = format_duration(reporter.expected_seconds)
            text += f"; takes about {duration}, at the speed of the last run"
        return f"{text}; nothing was done"
    text = f"{counts['done']} done"
    models = Counter(file.model for file in files if file.state == "done")
    shrunk = models.pop(SHRUNK, 0)
    shares = []
    if auto or shrunk:
        shares = [f"{count} by {model}" for model, count in models.most_common()]
    if shrunk:
        shares.append(f"{shrunk} made no larger, without a network")
    if shares:
        text += f" ({', '.join(shares)})"
    if counts["copied"]:
        text += f", {counts['copied']} copied (large enough)"
    if counts["skipped"]:
        text += (
            f", {counts['skipped']} skipped (they exist; --overwrite writes them again)"
        )
    if others := counts["made by another"]:
        text += f", {others} made by another srx"
    if counts["failed"]:
        text += f", {counts['failed']} failed"
        if of_archive and counts["failed"] < len(files):
            text += " (in the result as they were)"
    return f"{text}; {reporter.megapixels:.1f} megapixels in {reporter.seconds:.1f} s"
