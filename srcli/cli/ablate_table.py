"""The terminal's view of ablations as they are defined: the list, the variants, printed figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from srcli.cli.tables import make_console, make_table
from srcli.recipes.ablation import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.table import Table

    from srcli.recipes.ablation import Ablation, Variant

NOTHING = "–"
OWN = "our own"


def show_list(ablations: Iterable[Ablation]) -> None:
    """Print a line for every ablation."""
    table = make_table("Ablations", ("ablation", "what it asks", "source"), ("scale", "variants"))
    table.columns[0].no_wrap = True
    for ablation in ablations:
        table.add_row(
            ablation.name,
            ablation.question,
            ablation.source or OWN,
            f"x{ablation.scale}",
            str(len(ablation.variants)),
        )
    out = make_console()
    out.print(table)
    out.print("'srx ablate show NAME' shows the variants and what was printed and measured.")


def show_ablation(ablation: Ablation) -> None:
    """Print one ablation: what it is, its variants as changes, the printed figures."""
    out = make_console()
    out.print(f"{ablation.name}: {ablation.question}")
    out.print(_pairs(_about(ablation)))
    out.print()
    table = make_table("Variants", ("variant", "what it is", "changes"), ())
    table.columns[0].no_wrap = True
    for variant in ablation.variants:
        mark = " (base)" if variant.name == ablation.base else ""
        table.add_row(variant.name + mark, variant.sentence, changes_text(variant.changes))
    out.print(table)
    if any(variant.published for variant in ablation.variants):
        out.print(_published(ablation))
    for variant in ablation.variants:
        if variant.note:
            out.print(f"{variant.name}: {variant.note}.")


def changes_text(changes: Mapping[str, object]) -> str:
    """Write changes as ``srx train --set`` takes them."""
    parts = [
        f"{path}={value if isinstance(value, str) else json.dumps(value)}"
        for path, value in changes.items()
    ]
    return ", ".join(parts) or "none"


def _about(ablation: Ablation) -> list[tuple[str, str]]:
    pairs = [
        ("source", ablation.source or OWN),
        ("recipe", f"{ablation.recipe}, x{ablation.scale}"),
        ("sets", f"{', '.join(ablation.sets) or NOTHING} (protocol {ablation.protocol})"),
    ]
    if ablation.changes:
        pairs.insert(2, ("all change", changes_text(ablation.changes)))
    if ablation.memory_sizes:
        sizes = ", ".join(f"{height}x{width}" for height, width in ablation.memory_sizes)
        how = "with gradients recorded" if ablation.memory_gradients else "without gradients"
        pairs.append(("memory", f"of LR inputs of {sizes}, {how}"))
    if ablation.note:
        pairs.append(("note", ablation.note))
    return pairs


def _pairs(pairs: Iterable[tuple[str, str]]) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(f"  {label}", value)
    return grid


def _published(ablation: Ablation) -> Table:
    """Return the printed figures, PSNR and SSIM of a set side by side as papers have them."""
    columns = _columns(ablation.variants)
    table = make_table("Published", ("variant",), list(columns))
    table.columns[0].no_wrap = True
    for variant in ablation.variants:
        cells = [_cell(ablation.variants, variant, keys) for keys in columns.values()]
        table.add_row(variant.name, *cells)
    return table


def _columns(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """Headings, each with the keys whose figures stand below it."""
    columns: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for variant in variants for key in variant.published):
        columns.setdefault(_heading(key), []).append(key)
    return columns


def _heading(key: str) -> str:
    fixed = {"parameters": "parameters K", "training.seconds": "100 iterations s"}
    if key in fixed:
        return fixed[key]
    first, _, last = key.partition(".")
    if first == "memory":
        return f"{last} MB"
    if last in METRICS:
        return f"{first} dB"
    return f"{first} s" if last == "seconds" else f"{first} {last.split('.')[0].upper()} difference"


def _cell(variants: Sequence[Variant], variant: Variant, keys: Sequence[str]) -> str:
    parts = []
    for key in keys:
        value = variant.published.get(key)
        sign = "+" if key.endswith(".difference") else ""
        # As many digits as the longest figure of the column has: TOML drops trailing zeros.
        digits = max(_digits(other.published.get(key)) for other in variants)
        parts.append(NOTHING if value is None else f"{value:{sign}.{digits}f}")
    return "/".join(dict.fromkeys(parts)) if set(parts) == {NOTHING} else "/".join(parts)


def _digits(value: float | None) -> int:
    if value is None or value == int(value):
        return 0
    return len(repr(value).partition(".")[2])
