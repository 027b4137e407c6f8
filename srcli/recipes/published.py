"""The papers of the networks, and results printed in papers, to show beside measured ones."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from srcli.files import shipped_text
from srcli.recipes.fields import convert, field_types

SET_ALIASES = {
    "b100": "bsd100",
    "bsds100": "bsd100",
    "b200": "bsd200",
    "bsds200": "bsd200",
}
"""Other names of evaluation sets in lower case, each with the name used here."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One method on one set at one scale, as a paper printed it."""

    scale: int
    dataset: str
    """Name in the paper, or the name it was asked for by."""
    method: str
    """Name in the paper; ours where it has none."""
    model: str | None = None
    """Name among our models, if it is one of them."""
    values: dict[str, float]
    """By metric: ``psnr`` always, ``ssim`` and ``ifc`` where they are printed."""
    parameters: float | None = None
    """Thousands of parameters, as printed."""
    gflops: float | None = None
    """10^9 FLOPs of a 256x256 LR picture as efficient-SR challenges count them, as
    printed."""
    milliseconds: float | None = None
    """Time of a picture, as printed."""
    timed_on: str = ""
    """Device and pictures of that time, as far as the paper tells; empty without a
    time."""
    source: str
    """Paper and table."""
    protocol: str = ""
    """Protocol of the measurement as far as the paper tells; do not compare across
    protocols."""
    preset: str = ""
    """Name of our protocol that measures alike, as far as is known; empty where none
    is."""
    note: str = ""
    """Reason to doubt a figure; empty for most."""


@cache
def load_published() -> tuple[PublishedRow, ...]:
    """Return every printed row, in the order of the papers and their tables."""
    rows: list[PublishedRow] = []
    for table in tomllib.loads(shipped_text("published.toml"))["table"]:
        rows += _rows(table)
    return tuple(rows)


def _rows(table: Mapping[str, Any]) -> Iterator[PublishedRow]:
    """Yield a row for each method and set of a table."""
    names = field_types(PublishedRow)
    for line in table["rows"]:
        plain = {
            name: value for name, value in {**table, **line}.items() if name in names
        }
        if "milliseconds" not in line:
            plain.pop("timed_on", None)
        for dataset, values in zip(table["sets"], line["values"], strict=True):
            if not values:
                continue
            remarks = []
            for note in table.get("notes", ()):
                sets = note.get("sets", (dataset,))
                if note["method"] == line["method"] and dataset in sets:
                    remarks.append(note["text"])
            plain["dataset"] = dataset
            plain["note"] = "; ".join(remarks)
            plain["values"] = dict(zip(table["metrics"], values, strict=False))
            row: PublishedRow = convert(plain, PublishedRow, "published.toml")
            yield row


def published_rows(
    scale: int, dataset: str, models: Collection[str] | None = None
) -> list[PublishedRow]:
    """Return the printed rows of a set, of some of our models or all, lowest PSNR first.

    The set's name may be in any case; ``B100``, ``BSD100`` and ``BSDS100`` are the
    same. The rows have the name that was given, so that they join with measured ones; a
    method may occur several times, from several sources. Those of some models are
    without repeated rows, and without rows of bicubic from papers of other models.
    """
    rows = []
    for row in sorted(load_published(), key=lambda row: row.values["psnr"]):
        is_of_set = name_key(row.dataset) == name_key(dataset)
        is_of_models = models is None or is_row_of(row, models)
        if row.scale == scale and is_of_set and is_of_models:
            rows.append(replace(row, dataset=dataset))
    if models is None:
        return rows
    with_model = {
        row.source for row in load_published() if row.model not in (None, "bicubic")
    }
    ours = {row.source for row in rows if row.model != "bicubic"}
    unique: dict[tuple[object, ...], PublishedRow] = {}
    for row in rows:
        if row.model != "bicubic" or row.source in ours or row.source not in with_model:
            method = row.model or name_key(row.method)
            unique.setdefault((method, *sorted(row.values.items())), row)
    return list(unique.values())


def published_costs(scale: int, models: Collection[str] | None) -> list[PublishedRow]:
    """Return a row for every source and method with printed parameters, work or time.

    They are of some of our models alone, or of all methods (None).
    """
    unique: dict[tuple[str, str], PublishedRow] = {}
    for row in load_published():
        printed = (row.parameters, row.gflops, row.milliseconds) != (None,) * 3
        if (
            row.scale == scale
            and printed
            and (models is None or is_row_of(row, models))
        ):
            unique.setdefault((row.source, row.method), row)
    return list(unique.values())


def is_row_of(row: PublishedRow, models: Collection[str]) -> bool:
    """Return True if a row is of one of our models, by its name here or in the paper."""
    return row.model in models or name_key(row.method) in set(map(name_key, models))


def name_key(name: str) -> str:
    """Return a key that all spellings of a set's or a method's name have in common."""
    small = "".join(filter(str.isalnum, name.casefold()))
    return SET_ALIASES.get(small, small)


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One publication; what is not known of it is empty."""

    title: str
    authors: tuple[str, ...] = ()
    """Family name first, as printed."""
    where: str = ""
    """Journal, volume, pages, year, or the article's number: what is known."""
    doi: str = ""

    def __str__(self) -> str:
        """Return the reference in one line."""
        names = ", ".join(self.authors) or "Authors not known"
        doi = f"doi:{self.doi}" if self.doi else "no DOI known"
        where = self.where
        if where:
            where += ", "
        return f"{names}: {self.title}. {where}{doi}"


PAPERS: dict[str, Paper] = {
    name: convert(plain, Paper, name)
    for name, plain in tomllib.loads(shipped_text("papers.toml")).items()
}
"""By the name of our network."""
