"""``srx doctor``: show versions, devices, libraries, memory and data, for reports of faults."""

from __future__ import annotations

import click

from srcli.cli.help import GroupedCommand
from srcli.cli.options import check_targets, json_output
from srcli.cli.tables import make_console, print_pairs
from srcli.cli.text_files import write_json

EXAMPLES = """
\b
Examples:
  srx doctor                    paste this into a bug report
  srx doctor --json doctor.json
"""


@click.command(cls=GroupedCommand, epilog=EXAMPLES)
@json_output
def command(json_file: str | None) -> None:
    """Show what a bug report needs: versions, devices, engines, memory, weights and data."""
    from srcli.pipelines.doctor import describe_installation

    check_targets({"--json": json_file})
    found = describe_installation()
    if json_file:
        write_json(json_file, found)
    if json_file != "-":
        print_pairs(make_console(), found.items())
