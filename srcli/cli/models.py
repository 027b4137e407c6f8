"""``srx models``: what can be used here, with the measured card of each."""

from __future__ import annotations

import click

from srcli.cli.options import check_targets, json_output, write_json

EXAMPLES = """
\b
Examples:
  srx models                                 all, with their costs and PSNR
  srx models g-idrn                          how it was trained and measured
  srx models runs/mine/best.safetensors      what a weights file says
  srx models g-idrn --json -
"""


@click.command(epilog=EXAMPLES)
@click.argument("name", required=False, metavar="[NAME|FILE]")
@json_output
def command(name: str | None, json_file: str | None) -> None:
    """List the models, or show the cards of one.

    NAME is a model of the list, FILE a weights file.
    """
    import json

    from srcli.pipelines.catalogue import catalogue

    check_targets({"--json": json_file})
    entries = catalogue(name)
    if json_file:
        write_json(json_file, json.dumps([entry.as_json() for entry in entries], indent=2))
    if json_file == "-":
        return
    from srcli.cli.model_cards import show_cards, show_list

    if name is None:
        show_list(entries)
    for entry in entries if name else []:
        show_cards(entry)
