"""``srx models``: list the available models, or show the cards of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import Choice, option

from srcli.cli import options
from srcli.cli.console import Block, show_results
from srcli.cli.options import (
    GroupedCommand,
    complete_models,
    flag,
    heading,
    result_targets,
    with_settings,
)
from srcli.report.table import NOTHING, Row, Table, make_table, number

if TYPE_CHECKING:
    from srcli.pipelines.models import ModelFacts

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
LIST_NOTE = (
    "Parameters and convolution MACs of the form that runs. PSNR is that of the shipped weights' "
    "cards; 'srx models NAME' shows how it was measured."
)
WORK_LABELS = {
    "conv GMACs, 256x256 LR": "conv_macs",
    "challenge GFLOPs, 256x256 LR": "challenge_flops",
    "conv GMACs, 1280x720 SR": "hd_conv_macs",
    "matrix GMACs, 256x256 LR": "matrix_macs",
}


@click.command("models", cls=GroupedCommand, epilog=EXAMPLES)
@heading("Model")
@options.network_settings
@options.value_range
@option(
    "-s",
    "--scale",
    type=Choice([2, 3, 4, 8]),
    help="Show this scale alone. [default: all]",
)
@heading("Results")
@flag("-v", "--verbose", help="Try weights on a test picture, too.")
@flag("--all", "with_untrained", help="Also list networks that have no weights here.")
@options.json_file
@click.argument(
    "name", shell_complete=complete_models, required=False, metavar="[NAME|FILE]"
)
def command(
    name: str | None,
    network_settings: tuple[str, ...],
    scale: int | None,
    value_range: int | None,
    with_untrained: bool,
    verbose: bool,
    json_file: str | None,
) -> None:
    """List the models, or show how one was trained and measured.

    NAME is a model of the list, FILE a weights file (.safetensors, .pth).
    """
    from srcli.pipelines.models import list_models

    targets = result_targets(json=json_file)
    (name,) = with_settings((name or "",), network_settings)
    models = list_models(
        name or None,
        on_test_picture=verbose,
        with_untrained=with_untrained,
        scale=scale,
        value_range=value_range,
    )
    if name:
        blocks = _model_blocks(models[0], name)
    else:
        blocks = _list_blocks(models, with_untrained=with_untrained)
    show_results(blocks, models, targets, quiet=json_file == "-")


def _list_blocks(models: Sequence[ModelFacts], *, with_untrained: bool) -> list[Block]:
    """Return what ``srx models`` prints: a table of all models, and names of further networks."""
    from srcli.models import MODELS
    from srcli.pipelines.models import baselines_without_weights

    rows = []
    for model in models:
        labels = [(model["name"], model["channel"]), (model["source"], "")]
        figures = [_list_cells(card, model["untrained"]) for card in model["cards"]]
        for label, cells in zip_longest(labels, figures):
            cells = (*(label or ("", "")), *(cells or ("",) * 4))
            rows.append(Row(cells=cells, group=model["name"]))
    headings = ("scale", "parameters", "GMACs", "PSNR dB")
    title = f"Costs at an LR picture of 256x256, PSNR on {LISTED_SET}"
    table = make_table(rows, ("model and source", "channel"), headings, title=title)
    blocks: list[Block] = [table, LIST_NOTE]
    unavailable = [] if with_untrained else baselines_without_weights()
    if unavailable:
        blocks.append(
            "Networks to compare with, without weights here: "
            f"{', '.join(unavailable)}. 'srx models --all' shows their costs; "
            "-m FILE takes published files."
        )
    packaged = [
        f"{name} ({entry.source})" for name, entry in MODELS.items() if not entry.target
    ]
    if packaged:
        blocks.append(f"Networks of installed packages: {', '.join(packaged)}.")
    return blocks


def _list_cells(card: ModelFacts, untrained: Sequence[int]) -> list[str]:
    """Return a model's cells in the list: scale, parameters, GMACs and PSNR."""
    costs = card["efficiency"]
    psnr = number(card["sets"].get(LISTED_SET, {}).get("psnr"), 2)
    if card["scale"] in untrained:
        psnr = "untrained"
    macs = f"{costs['conv_macs'] / 1e9:.1f}"
    return [f"x{card['scale']}", f"{costs['parameters']:,}", macs, psnr]


def _model_blocks(model: ModelFacts, asked: str) -> list[Block]:
    """Return what ``srx models NAME`` prints: the network, figures by scale, and weights."""
    from srcli.inference.tiling import WHOLE_TILE
    from srcli.recipes.plugins import split_code
    from srcli.recipes.published import Paper

    name = model["name"]
    cards = model["cards"]
    network = model["network"]
    untrained = model["untrained"]
    title = f"{asked}: weights of {name} x{cards[0]['scale']}"
    if asked == name or not cards[0]["file"]:
        title = f"{asked}: {model['summary']}"
    tiles = "none: pictures are enlarged whole"
    side = model["tile"]
    if side != WHOLE_TILE:
        tiles = f"{side}x{side} input pixels, neighbours share {model['overlap']}"
    sides = ""
    if max(model["minimum"], model["multiple_of"]) > 1:
        sides = (
            f"{model['minimum']} pixels or more, divisible by {model['multiple_of']}"
        )
    about = {
        "source": model["source"],
        "paper": model["paper"] and str(Paper(**model["paper"])),
        "printed in": "; ".join(model["printed_in"]),
        "channel": model["channel"],
        "sides": sides,
        "network": f"{network['class']}({_format_options(network['options'])})",
        "tiles": tiles,
        "recipes": ", ".join(model["recipes"]) or "none",
    }
    facts = [(label, text) for label, text in about.items() if text]
    blocks = [title, facts, *model["remarks"], "", _figures_table(model)]
    for card in cards:
        if card["file"]:
            blocks += [f"x{card['scale']}", _weights_facts(card), ""]
    if untrained:
        # Fine-tuned weights have no recipe of their own name: their network's.
        recipe = name if name in model["recipes"] else model["recipes"][0]
        code = f"{name}@" if split_code(name)[0] else ""
        scale = untrained[0]
        blocks += [
            f"{', '.join(map('x{}'.format, untrained))}: no weights yet; to train some:",
            f"  srx train {recipe} -s {scale} --data PHOTOS --out RUN",
            f"  srx upscale PHOTO OUT -m {code}RUN/best.safetensors -s {scale}",
        ]
    return blocks


def _figures_table(model: ModelFacts) -> Table:
    """Return a table of a model's figures, with a column for each scale."""
    columns = [_figures_by_label(card) for card in model["cards"]]
    untrained = model["untrained"]
    rows = []
    for label in dict.fromkeys(chain.from_iterable(columns)):
        cells = [column.get(label, NOTHING) for column in columns]
        rows.append([label, *cells])
    scales = [card["scale"] for card in model["cards"]]
    if untrained:
        states = ("untrained" if scale in untrained else "yes" for scale in scales)
        rows.append(["weights", *states])
    headings = map("x{}".format, scales)
    return make_table(rows, ("",), headings, title="Figures of the form that runs")


def _figures_by_label(card: ModelFacts) -> dict[str, str]:
    """Return costs and scores at one scale by the labels of their rows."""
    from srcli.metrics.registry import METRICS

    costs = card["efficiency"]
    figures = {"parameters": NOTHING}
    if costs["parameters"] is not None:  # None where it cannot be counted
        figures["parameters"] = f"{costs['parameters']:,}"
    for label, name in WORK_LABELS.items():
        figures[label] = number(costs[name] and costs[name] / 1e9, 3)
    if costs["uncounted"]:
        figures["not counted"] = ", ".join(costs["uncounted"])
    for dataset, scores in card["sets"].items():
        for key in filter(METRICS.get, scores):
            metric = METRICS[key]
            figures[f"{dataset} {metric.heading}"] = number(scores[key], metric.digits)
    return figures


def _weights_facts(card: ModelFacts) -> list[tuple[str, str]]:
    """Return what a weights file and its card tell, as labels with texts."""
    megabytes = Path(card["file"]).stat().st_size / 1e6
    training = card.get("training", {})
    measured = card.get("measured", {})
    test_picture = card["test_picture"]
    pairs = {
        "file": f"{card['file']} ({megabytes:.2f} MB)",
        "sha256": card["sha256"],
        "options": _format_options(card["options"]),
    }
    if test_picture or not training:
        pairs |= dict(sorted(card["notes"].items()))
    if test_picture:
        pairs["values"] = f"0 to {card['white']:g} in the network"
        figures = ", ".join(
            f"{psnr:.1f} dB with values to {top}" for top, psnr in test_picture.items()
        )
        pairs["test picture"] = f"{figures} (enlarged, made small again; 20 are needed)"
    if card["stale"]:
        pairs["card"] = "describes other weights, with another sha256"
    else:
        pairs |= {"dtype": card.get("dtype", ""), "licence": card.get("licence", "")}
        pairs |= training
        pairs["measured by"] = measured.get("command", "")
        pairs["chain"] = measured.get("chain", "")
        pairs["as the paper"] = measured.get("as_printed", "")
        shift = measured.get("flat_colours")
        if shift:
            pairs["flat colours"] = f"come out up to {shift} of 255 levels wrong"
    return [(label, str(text)) for label, text in pairs.items() if text != ""]


def _format_options(network_options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in network_options.items())
