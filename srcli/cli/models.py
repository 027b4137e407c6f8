"""``srx models``: list the available models, or show the cards of one."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import (
    make_console,
    print_pairs,
    print_table,
    write_json,
)
from srcli.cli.options import GroupedCommand, ModelType, check_targets
from srcli.report.table import NOTHING, Row, Table, columns_of, make_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from srcli.pipelines.models import ModelCard, ModelInfo

EXAMPLES = """
\b
Examples:
  srx models                                 all with weights: costs and PSNR
  srx models --all                           also those without weights
  srx models g-idrn                          its training and measured figures
  srx models runs/mine/best.safetensors      what a weights file holds
  srx models g-idrn --json -
"""
LISTED_SET = "Set5"
LEGEND = (
    "Parameters and convolution MACs of the form that runs. PSNR is that of the shipped weights' "
    "cards; 'srx models NAME' shows how it was measured."
)


OPTIONS = """
Model:
  value_range
Results:
  --all -> every                Also list networks that have no weights here.
  json_file
"""


@click.command(cls=GroupedCommand, options=OPTIONS, epilog=EXAMPLES)
@click.argument("name", required=False, metavar="[NAME|FILE]", type=ModelType())
def command(name: str | None, every: bool, value_range: int | None, json_file: str | None) -> None:
    """List the available models, or show how one was trained and what was measured.

    NAME is a model of the list, FILE a weights file (.safetensors, .pth).
    """
    from srcli.pipelines.models import list_models, without_weights

    check_targets({"--json": json_file})
    entries = list_models(name, every=every, value_range=value_range)
    if json_file:
        write_json(json_file, [entry.as_json() for entry in entries])
    if json_file == "-":
        return
    if name is None:
        _show_list(entries, [] if every else without_weights())
    for entry in entries if name else []:
        _show_cards(entry)


def _show_list(entries: Sequence[ModelInfo], others: Sequence[str]) -> None:
    """Print a line for every model and scale, and commands that train missing weights."""
    out = make_console()
    rows = []
    for entry in entries:
        channel = entry.cards[0].network.colour.upper()
        labels = [(entry.name, channel), (entry.entry.source, "")]
        figures = []
        for card in entry.cards:
            psnr = card.measured.get(LISTED_SET, {}).get("psnr")
            shown = NOTHING if psnr is None else f"{psnr:.2f}"
            shown = "untrained" if card.scale in entry.untrained else shown
            macs = f"{card.efficiency.conv_macs / 1e9:.1f}"
            figures.append((f"x{card.scale}", f"{card.efficiency.parameters:,}", macs, shown))
        for label, cells in zip_longest(labels, figures):
            cells = (*(label or ("", "")), *(cells or ("",) * 4))
            rows.append(Row(cells=cells, group=entry.name))
    columns = columns_of(
        ("model and source", "channel"), ("scale", "parameters", "GMACs", "PSNR dB")
    )
    title = f"Costs at an LR picture of 256x256, PSNR on {LISTED_SET}"
    print_table(out, Table(title=title, columns=columns, rows=tuple(rows)))
    out.print(LEGEND)
    if others:
        out.print(
            f"Networks to compare with, without weights here: {', '.join(others)}. 'srx models "
            "--all' shows their costs; -m FILE and the folder SRX_WEIGHTS take published files."
        )
    missing = [entry for entry in entries if entry.untrained and not entry.entry.compared]
    if missing:
        out.print("To train missing weights, for example:")
        _print_training(out, missing[0], "SCALE")


def _show_cards(entry: ModelInfo) -> None:
    """Print one model: its network, figures by scale, and weights."""
    from srcli.recipes.published import PAPERS

    out = make_console()
    weights = f"weights of {entry.name} x{entry.cards[0].scale}"
    out.print(f"{entry.file}: {weights}" if entry.file else f"{entry.name}: {entry.entry.summary}")
    facts, tiling = entry.as_json(), entry.tiling
    tiles = f"{tiling.tile}x{tiling.tile} input pixels, neighbours share {tiling.overlap}"
    if tiling.whole:
        tiles += f"; pictures of up to {tiling.whole:,} pixels are not cut"
    if tiling.edge:
        tiles += f"; {tiling.edge} pixels mirrored around the picture"
    about = {
        "source": entry.entry.source,
        "paper": str(PAPERS.get(entry.entry.paper, "")),
        "printed in": "; ".join(facts["printed_in"]),
        "channel": facts["channel"],
        "network": f"{facts['network']['class']}({_arguments(facts['network']['options'])})",
        "tiles": tiles,
        "recipes": ", ".join(entry.recipes) or "needs no training",
    }
    print_pairs(out, [(label, value) for label, value in about.items() if value])
    for note in entry.cards[0].network.notes:
        out.print(note, soft_wrap=True)
    out.print()
    print_table(out, _figures(entry))
    for card in entry.cards:
        if card.file is not None:
            out.print(f"x{card.scale}")
            print_pairs(out, _weights(card))
            out.print()
    if entry.untrained:
        scales = ", ".join(f"x{scale}" for scale in entry.untrained)
        out.print(f"{scales}: no weights yet; to train some:")
        _print_training(out, entry, str(entry.untrained[0]))


def _print_training(out: Console, entry: ModelInfo, scale: str) -> None:
    # Fine-tuned weights have no recipe of their own name: their network's.
    recipe = entry.name if entry.name in entry.recipes else entry.recipes[0]
    out.print(f"  srx train {recipe} -s {scale} --data PHOTOS --out RUN", soft_wrap=True)
    out.print(f"  srx upscale PHOTO OUT -m RUN/best.safetensors -s {scale}", soft_wrap=True)


def _figures(entry: ModelInfo) -> Table:
    from srcli.evaluation.scores import METRICS

    cards = entry.cards
    costs = [card.efficiency for card in cards]
    rows = {
        "parameters": [f"{cost.parameters:,}" for cost in costs],
        "conv GMACs, 256x256 LR": [f"{cost.conv_macs / 1e9:.3f}" for cost in costs],
        "challenge GFLOPs, 256x256 LR": [f"{cost.challenge_flops / 1e9:.3f}" for cost in costs],
        "conv GMACs, 1280x720 SR": [f"{cost.hd_conv_macs / 1e9:.3f}" for cost in costs],
    }
    keys = [(name, key) for card in cards for name, row in card.measured.items() for key in row]
    for name, key in (each for each in dict.fromkeys(keys) if each[1] in METRICS):
        metric = METRICS[key]
        values = [card.measured.get(name, {}).get(key) for card in cards]
        cells = [NOTHING if v is None else f"{v:.{metric.digits}f}" for v in values]
        rows[f"{name} {metric.heading}"] = cells
    if entry.untrained:
        rows["weights"] = ["untrained" if c.scale in entry.untrained else "yes" for c in cards]
    lines = ((label, *own) for label, own in rows.items())
    scales = [f"x{card.scale}" for card in cards]
    return make_table(lines, ("",), scales, title="Figures of the form that runs")


def _weights(card: ModelCard) -> list[tuple[str, str]]:
    assert card.file is not None
    content, megabytes = card.content, card.file.stat().st_size / 1e6
    pairs = [("file", f"{card.file} ({megabytes:.2f} MB)"), ("sha256", str(card.sha256))]
    if card.options:
        pairs.append(("options", _arguments(card.options)))
    if card.notes and not content:
        pairs.append(("notes", _arguments(dict(sorted(card.notes.items())))))
    if card.stale:
        return [*pairs, ("card", "describes other weights, with another sha256")]
    pairs += [(key, str(content[key])) for key in ("dtype", "licence") if key in content]
    pairs += [(key, str(value)) for key, value in content.get("training", {}).items()]
    measured = content.get("measured", {})
    named = {"command": "measured by", "chain": "chain", "as_printed": "as the paper"}
    pairs += [(label, measured[key]) for key, label in named.items() if key in measured]
    if shift := measured.get("flat_colours"):
        pairs.append(("flat colours", f"come out up to {shift} of 255 levels wrong"))
    return pairs


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
