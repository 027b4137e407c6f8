"""``srx models``: list the available models, or show the cards of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srcli.cli.options import check_targets, json_output
from srcli.cli.text_files import is_replaceable, write_json
from srcli.errors import UsageError

if TYPE_CHECKING:
    from srcli.pipelines.models.cards import ModelInfo

EXAMPLES = """
\b
Examples:
  srx models                                 all, with their costs and PSNR
  srx models g-idrn                          its training and measured figures
  srx models runs/mine/best.safetensors      metadata of a weights file
  srx models g-idrn --json -
  srx models g-idrn --picture card.png       its results on a photograph, beside bicubic
"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False, metavar="[NAME|FILE]")
@click.option(
    "--picture",
    metavar="FILE",
    help="Write a PNG of crops side by side: LR, bicubic, the model, HR; a row for each scale.",
)
@json_output
def command(name: str | None, picture: str | None, json_file: str | None) -> None:
    """List the models, or show the cards of one.

    NAME is a model of the list, FILE a weights file.
    """
    from srcli.pipelines.models.cards import list_models

    if picture and name is None:
        raise UsageError("--picture: name the model, as in 'srx models g-idrn --picture card.png'")
    if picture and not picture.lower().endswith(".png"):
        raise UsageError(f"--picture {picture}: give a name that ends in .png")
    check_targets({"--json": json_file, "--picture": picture})
    if picture and not is_replaceable(Path(picture)):
        raise UsageError(f"--picture {picture}: is a pipe or a device; give the name of a file")
    entries = list_models(name)
    if json_file:
        write_json(json_file, [entry.as_json() for entry in entries])
    if picture and name:
        _write_picture(picture, name, entries[0], to_stderr=json_file == "-")
    if json_file == "-":
        return
    from srcli.cli.model_cards import show_cards, show_list

    if name is None:
        show_list(entries)
    for entry in entries if name else []:
        show_cards(entry)


def _write_picture(target: str, name: str, entry: ModelInfo, *, to_stderr: bool) -> None:
    from srcli.imaging.photograph import Metadata, Photograph
    from srcli.imaging.writing import write_photograph
    from srcli.inference.engines import EngineOptions
    from srcli.pipelines.evaluate.card_picture import make_card_picture

    if not entry.scales:
        raise UsageError(f"--picture: there are no weights of {name} yet")
    made = make_card_picture(name, entry.scales, EngineOptions())
    photograph = Photograph(pixels=made.pixels, alpha=None, metadata=Metadata())
    write_photograph(Path(target), photograph, fmt="png")
    for row in made.rows:
        click.echo(row, err=to_stderr)
