"""``srx compare``: put what every model makes of a photograph side by side."""

from __future__ import annotations

from pathlib import Path

import click
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import Console
from srcli.cli.options import GroupedCommand, check_targets, heading, with_settings
from srcli.cli.values import FILE, PATH, complete_models, parse_area
from srcli.errors import UsageError

Area = tuple[int, int, int, int]
EXAMPLES = """
\b
Examples:
  srx compare photo.jpg sheet.png
  srx compare photo.jpg sheet.png -m g-idrn -m mine.safetensors -s 2
  srx compare photo.jpg face.png --crop 1200,340,120,120
"""


@click.command("compare", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Models")
@option(
    "-m",
    "--model",
    "models",
    shell_complete=complete_models,
    metavar="NAME|FILE",
    multiple=True,
    help="Name, weights file, FILE.py:CLASS@FILE or auto; repeatable. [default: all]",
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
    """Put all models side by side on a photograph.

    Parts of PHOTO are enlarged by each and written to OUT, a PNG. By default, parts
    with much, less and little detail are chosen; below each picture stands the time
    that the model takes for a megapixel of its result.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out}: give a name that ends in .png")
    check_targets({"OUT": out})
    models = with_settings(models, network_settings)
    from srcli.imaging.photograph import Photograph
    from srcli.imaging.writing import write_photograph
    from srcli.pipelines.compare import compare, compare_sheet

    with Console(quiet=quiet) as console:
        sheet = compare_sheet(compare(photo, models, scale, crop, console))
    write_photograph(out, Photograph(pixels=sheet), fmt="png")
