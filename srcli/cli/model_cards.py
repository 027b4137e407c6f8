"""Print the list of models, or the cards of one, on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srcli.cli.tables import make_console, print_pairs, print_table
from srcli.report.table import NOTHING, Row, Table, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from srcli.pipelines.models.cards import ModelCard, ModelInfo

LISTED_SET = "Set5"
LEGEND = (
    "Parameters and convolution MACs of the form that runs. PSNR is that of the shipped weights' "
    "cards; 'srx models NAME' shows how it was measured."
)


def show_list(entries: Sequence[ModelInfo]) -> None:
    """Print a line for every model and scale, and commands that train missing weights."""
    out = make_console()
    rows = []
    for entry in entries:
        count = len(entry.cards)
        figures = [_listed(entry, card) for card in entry.cards] + [("",) * 4] * (2 - count)
        labels = [(entry.name, entry.channel), (entry.entry.source, "")] + [("", "")] * (count - 2)
        rows += [
            Row(cells=(*label, *cells), group=entry.name)
            for label, cells in zip(labels, figures, strict=True)
        ]
    print_table(
        out,
        Table(
            title=f"Costs at an LR picture of 256x256, PSNR on {LISTED_SET}",
            columns=columns_of(
                ("model and source", "channel"), ("scale", "parameters", "GMACs", "PSNR dB")
            ),
            rows=tuple(rows),
        ),
    )
    out.print(LEGEND)
    missing = [entry for entry in entries if entry.untrained]
    if missing:
        out.print("To train missing weights, for example:")
        _print_training(out, missing[0], "SCALE")


def show_cards(entry: ModelInfo) -> None:
    """Print one model: its network, figures by scale, and weights."""
    out = make_console()
    weights = f"weights of {entry.name} x{entry.cards[0].scale}"
    out.print(f"{entry.file}: {weights}" if entry.file else f"{entry.name}: {entry.entry.summary}")
    print_pairs(out, _about(entry))
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


def _listed(entry: ModelInfo, card: ModelCard) -> tuple[str, ...]:
    psnr = card.measured.get(LISTED_SET, {}).get("psnr")
    shown = NOTHING if psnr is None else f"{psnr:.2f}"
    return (
        f"x{card.scale}",
        f"{card.parameters:,}",
        f"{card.work.conv_macs / 1e9:.1f}",
        "untrained" if card.scale in entry.untrained else shown,
    )


def _print_training(out: Console, entry: ModelInfo, scale: str) -> None:
    # Fine-tuned weights have no recipe of their own name: their network's.
    recipe = entry.name if entry.name in entry.recipes else entry.recipes[0]
    out.print(f"  srx train {recipe} -s {scale} --data PHOTOS --out RUN", soft_wrap=True)
    out.print(f"  srx upscale PHOTO OUT -m RUN/best.safetensors -s {scale}", soft_wrap=True)


def _about(entry: ModelInfo) -> list[tuple[str, str]]:
    kind, defaults = entry.constructor
    tiling = entry.tiling
    cut = f"{tiling.tile}x{tiling.tile} input pixels, neighbours share {tiling.overlap}"
    edge = f"; {tiling.edge} pixels mirrored around the picture" if tiling.edge else ""
    return [
        ("source", entry.entry.source),
        ("channel", entry.channel),
        ("network", f"{kind}({_arguments(defaults)})"),
        ("tiles", cut + edge),
        ("recipes", ", ".join(entry.recipes) or "needs no training"),
    ]


def _figures(entry: ModelInfo) -> Table:
    scales = [f"x{card.scale}" for card in entry.cards]
    rows = (*_costs(entry.cards), *_measured(entry))
    return Table(
        title="Figures of the form that runs",
        columns=columns_of(("",), scales),
        rows=tuple(Row(cells=(label, *cells)) for label, cells in rows),
    )


def _costs(cards: Sequence[ModelCard]) -> Iterable[tuple[str, list[str]]]:
    costs = [card.efficiency for card in cards]
    yield "parameters", [f"{cost.parameters:,}" for cost in costs]
    for label, counts in (
        ("conv GMACs, 256x256 LR", [cost.conv_macs for cost in costs]),
        ("challenge GFLOPs, 256x256 LR", [cost.challenge_flops for cost in costs]),
        ("conv GMACs, 1280x720 SR", [cost.hd_conv_macs for cost in costs]),
    ):
        yield label, [f"{count / 1e9:.3f}" for count in counts]


def _measured(entry: ModelInfo) -> Iterable[tuple[str, list[str]]]:
    from srcli.evaluation.scores import METRICS

    cards = entry.cards
    keys = [(name, key) for card in cards for name, row in card.measured.items() for key in row]
    for name, key in (each for each in dict.fromkeys(keys) if each[1] in METRICS):
        metric = METRICS[key]
        values = [card.measured.get(name, {}).get(key) for card in cards]
        cells = [NOTHING if v is None else f"{v:.{metric.digits}f}" for v in values]
        yield f"{name} {metric.heading}", cells
    if entry.untrained:
        yield "weights", ["untrained" if c.scale in entry.untrained else "yes" for c in cards]


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
    named = {"command": "measured by", "chain": "chain", "y_alone": "Y alone"}
    return pairs + [(label, measured[key]) for key, label in named.items() if key in measured]


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
