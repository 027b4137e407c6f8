"""Training recipes and other choices, as data."""

from __future__ import annotations

from importlib import resources


def shipped_text(name: str, package: str = "srcli.recipes") -> str:
    """Return the text of a file of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
