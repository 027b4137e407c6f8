"""Results printed in papers, with their source, to show beside measured ones."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from srcli.errors import RecipeError
from srcli.recipes.fields import convert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

METRICS = ("psnr", "ssim", "ifc")
SCALES = (2, 3, 4)
SAME_SET = {"b100": "bsd100", "bsds100": "bsd100", "b200": "bsd200", "bsds200": "bsd200"}
"""Aliases of sets in lower case, and the name that is used for all of them here."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One method on one set at one scale, as a paper printed it."""

    scale: int
    dataset: str
    """Name in the paper, or the name it was asked for by."""
    method: str
    """Name in the paper; ours where it has none."""
    model: str | None
    """Name among our models, if it is one of them."""
    values: dict[str, float]
    """By metric: ``psnr`` always, ``ssim`` and ``ifc`` where they are printed."""
    parameters: float | None
    """Thousands of parameters, as printed."""
    source: str
    """Paper and table."""
    protocol: str = ""
    """Protocol of the measurement as far as the paper tells; do not compare across protocols."""
    note: str = ""
    """Reason to doubt a figure; empty for most."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A method of a table in the file."""

    method: str
    values: tuple[tuple[float, ...], ...]
    parameters: int | float | None = None
    model: str | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class _Note:
    """A remark on a method, for some sets or its whole row."""

    method: str
    text: str
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Table:
    """A table in the file; a line may name another source than the table's."""

    protocol: str
    scale: int
    sets: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[_Line, ...]
    source: str = ""
    notes: tuple[_Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _File:
    """The whole file."""

    table: tuple[_Table, ...]


@cache
def load_published() -> tuple[PublishedRow, ...]:
    """Return every printed row, in the order of the papers and their tables.

    Raises:
        ValueError: If the package's own file is damaged.
    """
    text = files("srcli.recipes").joinpath("published.toml").read_text(encoding="utf-8")
    return parse_published(text)


def published_rows(
    scale: int, dataset: str, *, models: Collection[str] | None = None
) -> list[PublishedRow]:
    """Return the printed rows of a set, the lowest PSNR first.

    Args:
        scale: The factor.
        dataset: A name such as ``Set5`` or ``B100``, in any case; ``BSD100`` and ``BSDS100`` are
            the same set.
        models: Names of our models, for their own rows only; None for all methods.

    Returns:
        The rows, with ``dataset`` as their set's name so that they join with measured ones; none
        for a set that no paper here used. A method may occur several times, from several sources.
    """
    wanted = set_key(dataset)
    found = [
        replace(row, dataset=dataset, values=dict(row.values))
        for row in load_published()
        if row.scale == scale
        and set_key(row.dataset) == wanted
        and (models is None or row.model in models)
    ]
    return sorted(found, key=lambda row: row.values["psnr"])


def rows_beside(scale: int, dataset: str, models: Collection[str] | None) -> list[PublishedRow]:
    """Return the printed rows to show beside measured ones.

    Args:
        scale: The factor.
        dataset: As :func:`published_rows` takes it.
        models: Names of our models that were measured, for rows of these alone, without repeated
            rows and without rows of bicubic from papers of other models; None for all methods.
    """
    rows = published_rows(scale, dataset, models=models)
    if models is None:
        return rows
    with_model = {row.source for row in load_published() if row.model not in (None, "bicubic")}
    ours = {row.source for row in rows if row.model != "bicubic"}
    kept: dict[tuple[object, ...], PublishedRow] = {}
    for row in rows:
        if row.model != "bicubic" or row.source in ours or row.source not in with_model:
            kept.setdefault((row.model, *sorted(row.values.items())), row)
    return list(kept.values())


def parse_published(text: str) -> tuple[PublishedRow, ...]:
    """Parse tables in the format described at the top of ``published.toml``.

    Args:
        text: TOML.

    Raises:
        ValueError: If it is not TOML, has unknown keys or values of another type, if lengths do
            not agree, or if a source has one method twice on the same set and scale.
    """
    try:
        content: _File = convert(tomllib.loads(text), _File, "the file")
    except RecipeError as error:
        raise ValueError(str(error)) from error
    rows: dict[tuple[str, int, str, str], PublishedRow] = {}
    for table in content.table:
        _check(table)
        for row in _rows(table):
            key = (row.source, row.scale, row.dataset, row.method)
            if key in rows:
                where = _where(row.source, row.scale, row.method)
                raise ValueError(f"{where}: twice on {row.dataset}")
            rows[key] = row
    return tuple(rows.values())


def _rows(table: _Table) -> Iterator[PublishedRow]:
    for line in table.rows:
        for dataset, values in zip(table.sets, line.values, strict=True):
            if not values:
                continue
            remarks = [
                note.text
                for note in table.notes
                if note.method == line.method and (not note.sets or dataset in note.sets)
            ]
            yield PublishedRow(
                scale=table.scale,
                dataset=dataset,
                method=line.method,
                model=line.model,
                values=dict(zip(table.metrics, values, strict=False)),
                parameters=None if line.parameters is None else float(line.parameters),
                source=line.source or table.source,
                protocol=table.protocol,
                note="; ".join(remarks),
            )


def _check(table: _Table) -> None:
    where = _where(table.source, table.scale)
    if table.scale not in SCALES:
        raise ValueError(f"{where}: the scale must be 2, 3 or 4")
    if not table.metrics or table.metrics != METRICS[: len(table.metrics)]:
        raise ValueError(f"{where}: metrics must be the first of {', '.join(METRICS)}")
    for line in table.rows:
        where = _where(line.source or table.source, table.scale, line.method)
        if not (line.source or table.source):
            raise ValueError(f"{where}: no source")
        if len(line.values) != len(table.sets):
            raise ValueError(f"{where}: {len(line.values)} values for {len(table.sets)} sets")
        if any(len(values) > len(table.metrics) for values in line.values):
            raise ValueError(f"{where}: more values than metrics")
    printed = {
        (line.method, dataset)
        for line in table.rows
        for dataset, values in zip(table.sets, line.values, strict=True)
        if values
    }
    methods = {method for method, _ in printed}
    for note in table.notes:
        if note.method not in methods or any((note.method, s) not in printed for s in note.sets):
            where = _where(table.source, table.scale, note.method)
            raise ValueError(f"{where}: a note on what is not there")


def _where(source: str, scale: int, method: str = "") -> str:
    return f"{source or 'a table'}, x{scale} {method}".rstrip()


def set_key(name: str) -> str:
    """Return a key that all spellings of a set's name have in common."""
    small = "".join(filter(str.isalnum, name.casefold()))
    return SAME_SET.get(small, small)
