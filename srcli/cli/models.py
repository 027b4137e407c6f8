"""``srx models``: list the available models, or show the cards of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srcli.cli.console import show_results
from srcli.cli.options import GroupedCommand, pick, result_targets
from srcli.report.table import NOTHING, Row, Table, make_table, number

if TYPE_CHECKING:
    from srcli.pipelines.models import Facts

EXAMPLES = """
\b
Examples:
  srx models                                 all with weights: costs and PSNR
  srx models --all                           also those without weights
  srx models g-idrn                          its training and measured figures
  srx models runs/mine/best.safetensors      what a weights file holds
  srx models -v IMDN_x4.pth                  how it enlarges a test picture
  srx models g-idrn --json -
"""
LISTED_SET = "Set5"
LEGEND = (
    "Parameters and convolution MACs of the form that runs. PSNR is that of the shipped weights' "
    "cards; 'srx models NAME' shows how it was measured."
)
WORK = {
    "conv GMACs, 256x256 LR": "conv_macs",
    "challenge GFLOPs, 256x256 LR": "challenge_flops",
    "conv GMACs, 1280x720 SR": "hd_conv_macs",
}
OPTIONS = """
Model:
  value_range
  -s, --scale [2|3|4|8]         Show this scale alone. [default: all]
Results:
  -v, --verbose                 Try weights on a test picture, too.
  --all -> every                Also list networks that have no weights here.
  json_file
"""


@click.command("models", cls=GroupedCommand, options=OPTIONS, epilog=EXAMPLES)
@click.argument("name", required=False, metavar="[NAME|FILE]")
def command(name: str | None, **given: Any) -> None:
    """List the models, or show how one was trained and measured.

    NAME is a model of the list, FILE a weights file (.safetensors, .pth).
    """
    from srcli.pipelines.models import list_models, without_weights

    targets, every = result_targets(given), given["every"]
    options = pick(given, "every", "scale", "value_range")
    models = list_models(name, tried=given["verbose"], **options)
    blocks = (
        _cards(models[0], name)
        if name
        else _list(models, [] if every else without_weights())
    )
    show_results(blocks, models, targets, quiet=given["json_file"] == "-")


def _list(models: Sequence[Facts], others: Sequence[str]) -> list[Table | str]:
    """Return a line for every model and scale, and names of further networks."""
    from srcli.models import MODELS

    rows = []
    for model in models:
        labels = [(model["name"], model["channel"]), (model["source"], "")]
        figures = []
        for card in model["cards"]:
            shown = number(card["sets"].get(LISTED_SET, {}).get("psnr"), 2)
            shown = "untrained" if card["scale"] in model["untrained"] else shown
            cost = card["efficiency"]
            macs = f"{cost['conv_macs'] / 1e9:.1f}"
            figures.append(
                (f"x{card['scale']}", f"{cost['parameters']:,}", macs, shown)
            )
        for label, cells in zip_longest(labels, figures):
            cells = (*(label or ("", "")), *(cells or ("",) * 4))
            rows.append(Row(cells=cells, group=model["name"]))
    headings = ("scale", "parameters", "GMACs", "PSNR dB")
    title = f"Costs at an LR picture of 256x256, PSNR on {LISTED_SET}"
    table = make_table(rows, ("model and source", "channel"), headings, title=title)
    blocks: list[Table | str] = [table, LEGEND]
    if others:
        blocks.append(
            f"Networks to compare with, without weights here: {', '.join(others)}. 'srx models "
            "--all' shows their costs; -m FILE takes published files."
        )
    if packaged := [
        f"{n} ({own.source})" for n, own in MODELS.items() if not own.target
    ]:
        blocks.append(f"Networks of installed packages: {', '.join(packaged)}.")
    return blocks


def _cards(model: Facts, given: str) -> list[Table | str | Iterable[tuple[str, str]]]:
    """Return one model: its network, figures by scale, and weights."""
    from srcli.inference.building import WHOLE_TILE
    from srcli.recipes.code import split_code
    from srcli.recipes.published import Paper

    name, cards, network = model["name"], model["cards"], model["network"]
    weights = f"weights of {name} x{cards[0]['scale']}"
    tiles = "none: pictures are enlarged whole"
    if (side := model["tile"]) != WHOLE_TILE:
        tiles = f"{side}x{side} input pixels, neighbours share {model['overlap']}"
    about = {
        "source": model["source"],
        "paper": model["paper"] and str(Paper(**model["paper"])),
        "printed in": "; ".join(model["printed_in"]),
        "channel": model["channel"],
        "network": f"{network['class']}({_arguments(network['options'])})",
        "tiles": tiles,
        "recipes": ", ".join(model["recipes"]) or "none",
    }
    blocks = [
        f"{name}: {model['summary']}" if given == name else f"{given}: {weights}",
        [(label, value) for label, value in about.items() if value],
        *model["remarks"],
        "",
        _figures(model),
    ]
    for card in cards:
        if card["file"]:
            blocks += [f"x{card['scale']}", _weights(card), ""]
    if model["untrained"]:
        scale, scales = (
            model["untrained"][0],
            ", ".join(f"x{s}" for s in model["untrained"]),
        )
        # Fine-tuned weights have no recipe of their own name: their network's.
        recipe = name if name in model["recipes"] else model["recipes"][0]
        own = f"{name}@" if split_code(name)[0] else ""
        blocks += [
            f"{scales}: no weights yet; to train some:",
            f"  srx train {recipe} -s {scale} --data PHOTOS --out RUN",
            f"  srx upscale PHOTO OUT -m {own}RUN/best.safetensors -s {scale}",
        ]
    return blocks


def _figures(model: Facts) -> Table:
    from srcli.evaluation.scores import METRICS

    cards = model["cards"]
    # None where it cannot be counted
    parameters = [card["efficiency"]["parameters"] for card in cards]
    rows = {
        "parameters": [NOTHING if each is None else f"{each:,}" for each in parameters]
    }
    for label, work in WORK.items():
        counted = [card["efficiency"][work] for card in cards]
        rows[label] = [number(value and value / 1e9, 3) for value in counted]
    keys = [
        (name, key)
        for card in cards
        for name, row in card["sets"].items()
        for key in row
    ]
    for name, key in (each for each in dict.fromkeys(keys) if each[1] in METRICS):
        metric = METRICS[key]
        values = [card["sets"].get(name, {}).get(key) for card in cards]
        rows[f"{name} {metric.heading}"] = [
            number(value, metric.digits) for value in values
        ]
    if untrained := model["untrained"]:
        rows["weights"] = [
            "untrained" if c["scale"] in untrained else "yes" for c in cards
        ]
    lines = ((label, *own) for label, own in rows.items())
    scales = [f"x{card['scale']}" for card in cards]
    return make_table(lines, ("",), scales, title="Figures of the form that runs")


def _weights(card: Facts) -> list[tuple[str, str]]:
    megabytes = Path(card["file"]).stat().st_size / 1e6
    pairs = {"file": f"{card['file']} ({megabytes:.2f} MB)", "sha256": card["sha256"]}
    training, measured = card.get("training", {}), card.get("measured", {})
    pairs["options"] = _arguments(card["options"])
    if card["test_picture"] or not training:
        pairs |= dict(sorted(card["notes"].items()))
    if tried := card["test_picture"]:
        pairs["values"] = f"0 to {card['white']:g} in the network"
        figures = ", ".join(
            f"{psnr:.1f} dB with values to {top}" for top, psnr in tried.items()
        )
        pairs["test picture"] = f"{figures} (enlarged, made small again; 20 are needed)"
    if card["stale"]:
        pairs["card"] = "describes other weights, with another sha256"
    else:
        pairs |= {key: card.get(key, "") for key in ("dtype", "licence")} | training
        named = {
            "command": "measured by",
            "chain": "chain",
            "as_printed": "as the paper",
        }
        pairs |= {label: measured.get(key, "") for key, label in named.items()}
        if shift := measured.get("flat_colours"):
            pairs["flat colours"] = f"come out up to {shift} of 255 levels wrong"
    return [(label, str(value)) for label, value in pairs.items() if value != ""]


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
