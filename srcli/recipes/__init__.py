"""Training recipes and other choices, as data."""

from __future__ import annotations

from importlib import resources


def shipped_text(name: str) -> str:
    """Return the text of a file of this package."""
    return resources.files("srcli.recipes").joinpath(name).read_text(encoding="utf-8")
