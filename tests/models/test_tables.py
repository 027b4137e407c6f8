"""The tables of docs/reference/networks.md name every network, and every kind of authors' files."""

from __future__ import annotations

from pathlib import Path

from srcli.models import MODELS
from srcli.models.author_files import AUTHOR_FILES
from srcli.recipes.files import RECIPES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "networks.md"
ROWS = [
    line.strip("| ").split(" | ")
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
]


def test_every_network_and_recipe_of_one_has_a_row():
    names = {row[0] for row in ROWS}
    own = {name for name, entry in MODELS.items() if not entry.is_baseline}
    compared = {
        name for name, recipe in RECIPES.items() if MODELS[recipe.model].is_baseline
    }
    assert own | compared <= names, "python benchmarks/networks.py NAME prints a row"


def test_files_that_load_are_told_as_the_code_tells_them():
    for file in AUTHOR_FILES:
        if file.files:
            assert [file.model, file.files] in ROWS
        assert any(file.model == row[0] and row[-1] == "yes" for row in ROWS)
