"""``srx compare``: look at what every model makes of a photograph."""

from __future__ import annotations

import re
from pathlib import Path

import click
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import Console
from srcli.cli.options import (
    FILE,
    PATH,
    GroupedCommand,
    check_targets,
    complete_models,
    heading,
    with_settings,
)
from srcli.errors import PictureError, UsageError

Area = tuple[int, int, int, int]
EXAMPLES = """
\b
Examples:
  srx compare photo.jpg sheet.png
  srx compare photo.jpg blink.gif -m bicubic -m auto
  srx compare photo.jpg sheet.png -m g-idrn -m mine.safetensors -s 2
  srx compare photo.jpg face.png --crop 1200,340,120,120
"""


def parse_area(text: str) -> tuple[int, ...]:
    """Read X,Y,W,H: left, top, width and height in pixels."""
    if re.fullmatch(r"[0-9]+(,[0-9]+){3}", text):
        area = tuple(map(int, text.split(",")))
        if area[2] and area[3]:
            return area
    example = "such as 1200,340,120,120; width and height must be above 0"
    raise ValueError(f"{text!r} is not X,Y,W,H, {example}")


@click.command("compare", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Models")
@option(
    "-m",
    "--model",
    "models",
    shell_complete=complete_models,
    metavar="NAME|FILE",
    multiple=True,
    help="[LABEL=]name, weights file, FILE.py:CLASS@FILE or auto. [default: all]",
)
@options.network_settings
@option(
    "-s", "--scale", type=Choice([2, 3, 4]), default="4", help="How many times larger."
)
@heading("Parts")
@option(
    "--crop",
    type=parse_area,
    metavar="X,Y,W,H",
    multiple=True,
    help="Show this part, in pixels of the photograph; repeatable.",
)
@heading("Messages")
@options.quiet
@click.argument("photo", type=PATH)
@click.argument("out", type=FILE)
def command(
    photo: Path,
    out: Path,
    models: tuple[str, ...],
    network_settings: tuple[str, ...],
    scale: int,
    crop: tuple[Area, ...],
    quiet: bool,
) -> None:
    """Put all models side by side on a photograph, or let them take turns.

    Parts of PHOTO are enlarged by each. OUT.png shows them side by side; in OUT.gif,
    OUT.webp or OUT.mp4 they take turns in the same place, a second each, with their
    names. By default, parts with much, less and little detail are chosen; below each
    picture stands the time that the model takes here for a megapixel of its result, and
    the model that auto takes.
    """
    from srcli.report.pictures import check_turns, write_turns

    takes_turns = out.suffix.lower() != ".png"
    if takes_turns:
        check_turns(out, others=(".png",))
    check_targets({"OUT": out})
    if out.exists() and photo.exists() and out.samefile(photo):
        raise UsageError(f"OUT {out}: is the photograph itself; give another name")
    from PIL import Image

    from srcli.files import NEW_FILE
    from srcli.imaging.photographs.writing import new_file
    from srcli.pipelines.compare import compare, compare_sheet, compare_turns
    from srcli.pipelines.labels import split_labels

    models, labels = split_labels(models)
    models = with_settings(models, network_settings)
    with Console(quiet=quiet) as console:
        try:
            rows = compare(photo, models, scale, crop, console, labels)
        except PictureError as error:  # of the only input
            raise UsageError(str(error)) from error
    if takes_turns:
        write_turns(out, compare_turns(rows))
        return
    with new_file(out, NEW_FILE) as stream:
        Image.fromarray(compare_sheet(rows)).save(stream, "PNG")
