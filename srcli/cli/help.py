"""Help of commands: options in groups with headings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHERS = "Options"
SHARED = {
    "Device and speed": "processes device executor precision precisions engine engines threads "
    "compile",
    "Results": "store json_file csv_file markdown_file report",
    "Messages": "verbose quiet log _click_default_help",
}
"""Headings of options that several commands have, and the names of their parameters."""


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Return the names of models that begin so, and let the shell complete weights files."""
    from click.shell_completion import CompletionItem

    from srcli.models import MODELS

    found = [CompletionItem(name) for name in MODELS if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups.

    Args:
        groups: Headings, and the names of parameters below each, in the order shown. Options that
            are neither here nor in ``SHARED`` come first.
        others: All others, as for ``click.Command``.
    """

    def __init__(
        self,
        *others: Any,  # noqa: ANN401 - those of click
        groups: Mapping[str, str] | None = None,
        **named: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*others, **named)
        self.groups = {OTHERS: "", **(groups or {})}
        for heading, names in SHARED.items():
            self.groups[heading] = f"{self.groups.get(heading, '')} {names}"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of each group below its heading."""
        shown = {
            param.name: (re.sub("INTEGER( RANGE)?", "N", record[0]), record[1])
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx))
        }
        listed = " ".join(self.groups.values()).split()
        others = [name for name in shown if name and name not in listed]
        for heading, names in self.groups.items():
            ordered = dict.fromkeys(names.split() if heading != OTHERS else others)
            if records := [record for name in ordered if (record := shown.get(name))]:
                with formatter.section(heading):
                    formatter.write_dl(records, col_max=min(30, formatter.width // 3))
