"""Write the Markdown page of a benchmark on the CPU."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from srcli.report.table import markdown_table

if TYPE_CHECKING:
    from pathlib import Path

    from srcli.report.table import Table


def write_page(
    file: Path, heading: str, machine: str, busy: str | None, doc: str | None, table: Table
) -> None:
    """Write the command, the machine, the third paragraph of a docstring and a table."""
    text = [
        f"# {heading}",
        "",
        f"`python {shlex.join(sys.argv)}`, {datetime.now(UTC):%Y-%m-%d}. {machine}.",
        "",
        *([busy, ""] if busy else []),
        *(doc or "").strip().split("\n\n")[2].splitlines(),
        "",
        f"## {table.title}",
        "",
        *markdown_table(table),
    ]
    file.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
