"""``srx models``: what can be used here, with the measured card of each."""

from __future__ import annotations

import click

from srcli.cli.options import json_output, write_json


@click.command(epilog="Example: srx models g-idrn")
@click.argument("name", required=False)
@json_output
def command(name: str | None, json_file: str | None) -> None:
    """List the models, or show the cards of one."""
    import json

    from srcli.pipelines.catalogue import catalogue

    entries = catalogue(name)
    if json_file:
        write_json(json_file, json.dumps([entry.as_json() for entry in entries], indent=2))
    if json_file == "-":
        return
    for entry in entries:
        scales = ", ".join(f"x{scale}" for scale in entry.scales) or "no weights yet"
        click.echo(f"{entry.name:12} {scales:12} {entry.summary}")
        if name is None:
            continue
        for card in entry.cards:
            click.echo(f"\n  x{card.scale}")
            for line in card.lines():
                click.echo(f"      {line}")
