"""Options and the Markdown page of the benchmarks that time the CPU."""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.report.table import markdown_table

if TYPE_CHECKING:
    from srcli.report.table import Table


def make_parser(doc: str | None, models: tuple[str, ...]) -> argparse.ArgumentParser:
    """Return the options that all of them have; ``models`` are taken without -m."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument(
        "-m", "--model", dest="models", action="append", help=", ".join(models)
    )
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument(
        "--size", type=int, default=512, help="side of the LR picture, pixels"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--markdown", type=Path)
    return parser


def write_page(
    file: Path,
    heading: str,
    machine: str,
    note: str | None,
    doc: str | None,
    table: Table,
) -> None:
    """Write the command, the machine, a note, the third paragraph of a docstring and a table."""
    text = [
        f"# {heading}",
        "",
        f"`python {shlex.join(sys.argv)}`, {datetime.now(UTC):%Y-%m-%d}. {machine}.",
        "",
        *([note, ""] if note else []),
        *(doc or "").strip().split("\n\n")[2].splitlines(),
        "",
        f"## {table.title}",
        "",
        *markdown_table(table),
    ]
    file.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
