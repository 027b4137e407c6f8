"""The table of signs in ``docs/rasters.md`` is that of the code."""

from __future__ import annotations

from pathlib import Path

from srcli.imaging.rasters.signs import SIGNS

DOCS = Path(__file__).parents[3] / "docs"


def rows_of_table():
    """The rows of the table whose head is "sign", without head and line."""
    lines = (DOCS / "rasters.md").read_text(encoding="utf-8").splitlines()
    start = lines.index("| sign | then |") + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows


def test_the_documents_name_every_sign_in_the_order_in_which_they_count():
    expected = [f"| {sign.row} | {sign.then} |" for sign in SIGNS]
    assert rows_of_table() == expected
