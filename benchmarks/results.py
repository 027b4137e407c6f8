"""Write result tables into Markdown files: our figures beside the papers', by the same protocol.

A table stands between ``<!-- table: begin NAME -->`` and ``<!-- table: end -->``. NAME
is ``results``, for all shipped weights, ``printed``, for those that the papers print
figures of, ``flat-colours``, for those that shift flat colours (flat_colours.py),
``faithful``, for what all weights draw by themselves (measure_cards.py), or a
model: every result table of its paper with our figures below. Figures of weights are
those of their cards; bicubic is measured.

Usage: python benchmarks/results.py README.md README.zh.md docs/reference/models.md docs/papers/*.md
"""

from __future__ import annotations

import argparse
import re
from functools import cache, partial
from itertools import product
from pathlib import Path

from srcli.metrics.efficiency import count_parameters
from srcli.models import MODELS, build_network
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.faithful import MEASURES
from srcli.pipelines.models import ModelFacts, list_models
from srcli.recipes.ablations import ABLATIONS, variant_recipe
from srcli.recipes.published import PublishedRow, load_published, name_key
from srcli.report.table import NOTHING, decimals, make_table, markdown_table, number

SETS = ("Set5", "Set14")
BLOCK = re.compile(
    r"(<!-- table: begin ([\w-]+) -->\n).*?(<!-- table: end -->)", re.DOTALL
)
CARD_NAMES = {"y": "", "luma-float": ", Y alone", "rgb": ", RGB"}
"""What cards add to the name of a set, by protocol."""
OPTIONS = {"y": {}, "luma-float": {"chain": "luma-float"}, "rgb": {"protocol": "rgb"}}
DIGITS = {"psnr": 2, "ssim": 4, "ifc": 2}
PAIR = ("psnr", "ssim")
Values = dict[str, float]


@cache
def bicubic(scale: int, preset: str) -> dict[str, Values]:
    """Measure bicubic interpolation by a protocol; values by set."""
    options = EvalOptions(metrics=tuple(DIGITS), costs=False, **OPTIONS[preset])
    found = evaluate(["bicubic"], SETS, scales=[scale], options=options)
    return {mean["dataset"]: mean["values"] for mean in found.means()}


def of_card(measured: dict[str, Values], preset: str) -> dict[str, Values]:
    """Return the values of a card by set, of one protocol."""
    names = {name: name + CARD_NAMES[preset] for name in SETS}
    return {name: measured[key] for name, key in names.items() if key in measured}


def photographs(card: ModelFacts) -> dict[str, Values]:
    """Return the metrics by set of the last weights trained on photographs alone, if any.

    Where the shipped weights had a teacher, only those can stand for a re-run of the
    paper.
    """
    return dict(card.get("photographs", {}).get("sets", {}))


def trainings(card: ModelFacts) -> list[tuple[str, dict[str, Values]]]:
    """List how weights were trained, with their figures: those of photographs alone come last."""
    training = card["training"]
    teacher = training.get("teacher", "").partition(",")[0]
    own = (
        f"{training['recipe']}, distilled from {teacher}"
        if teacher
        else training["recipe"]
    )
    found = [(own, card["sets"])]
    if before := photographs(card):
        recipe = card["photographs"]["recipe"]
        found.append((f"{recipe}, photographs alone", before))
    return found


@cache
def of_picture(model: str, scale: int, preset: str, name: str) -> Values | None:
    """Measure a model on one picture, given as SET/PICTURE; None if the set is not at hand."""
    dataset, _, picture = name.partition("/")
    if dataset not in SETS or not picture:
        return None
    return pictures(model, scale, preset, dataset)[picture]


@cache
def pictures(model: str, scale: int, preset: str, dataset: str) -> dict[str, Values]:
    """Measure a model on a set; values by picture."""
    options = EvalOptions(metrics=("psnr",), costs=False, **OPTIONS[preset])
    found = evaluate([model], [dataset], scales=[scale], options=options)
    return {score.picture: score.values for score in found.scores}


def text(values: Values | None, metrics: tuple[str, ...] = PAIR) -> str:
    """Write values as papers do: 33.66 / 0.9299."""
    if not values:
        return NOTHING
    return " / ".join(
        number(values[each], DIGITS[each]) for each in metrics if each in values
    )


def printed_text(
    rows: list[PublishedRow], row: PublishedRow | None, metrics: tuple[str, ...] = PAIR
) -> str:
    """Write a printed row in the digits of its table."""
    if row is None:
        return NOTHING
    digits = {
        name: decimals(
            [r.values[name] for r in rows if name in r.values], min(least, 2)
        )
        for name, least in DIGITS.items()
    }
    return " / ".join(
        number(row.values[m], digits[m]) for m in metrics if m in row.values
    )


def results(*, printed: bool = False) -> list[str]:
    """Tabulate shipped weights, a line for each protocol that they are measured by.

    Args:
        printed: Only those with figures of their paper by the same protocol, and
            bicubic by Y.
    """
    lines: list[list[str]] = []
    for scale in (2, 3, 4):
        for preset in ("y", "luma-float", "rgb"):
            own = bicubic(scale, preset)
            lines.append(
                [
                    "bicubic",
                    f"x{scale}",
                    preset,
                    *(text(own[s]) for s in SETS),
                    *["–"] * 3,
                ]
            )
    for name in (each for each, entry in MODELS.items() if entry.needs_weights):
        for card in (each for each in list_models(name)[0]["cards"] if each["file"]):
            lines += model_lines(name, card)
    headings = ("protocol", *SETS, *(f"printed {name}" for name in SETS), "trained by")
    if printed:
        lines = [
            line
            for line in lines
            if line[0::2][:2] == ["bicubic", "y"]
            or ("/" in line[5] + line[6] and "not comparable" not in line[5] + line[6])
        ]
    lines.sort(key=lambda line: line[1])
    return list(markdown_table(make_table(lines, ("model", "scale", *headings))))


def flat_colours() -> list[str]:
    """Tabulate the weights that shift flat colours by more than one level, as their cards say."""
    lines = [
        (name, f"x{card['scale']}", str(card["measured"]["flat_colours"]))
        for name in MODELS
        for card in list_models(name)[0]["cards"]
        if "flat_colours" in card.get("measured", {})
    ]
    return list(
        markdown_table(make_table(lines, ("model", "scale"), ("largest shift",)))
    )


def faithful() -> list[str]:
    """Tabulate what shipped weights draw that pictures have not, as their cards say."""
    lines = []
    for name in MODELS:
        for card in list_models(name)[0]["cards"]:
            figures = dict(card.get("faithful", {}))
            by_strength = figures.pop("strengths", {})
            labelled = {name: figures}
            for strength, mixed in by_strength.items():
                labelled[f"{name}, strength {strength}"] = mixed
            for label, row in labelled.items():
                if row:
                    lines.append((label, f"x{card['scale']}", *faithful_cells(row)))
    return list(markdown_table(make_table(lines, ("model", "scale"), MEASURES)))


def faithful_cells(figures: Values) -> list[str]:
    """Write figures, those beyond the limit of their measure in bold."""
    cells = []
    for name, measure in MEASURES.items():
        cell = number(figures[name], 2)
        if measure.limit is not None and figures[name] > measure.limit:
            cell = f"**{cell}**"
        cells.append(cell)
    return cells


def model_lines(name: str, card: ModelFacts) -> list[list[str]]:
    """Return the lines of shipped weights, with what the paper printed by the same protocol."""
    printed = [
        r for r in load_published() if (r.model, r.scale) == (name, card["scale"])
    ]
    lines = []
    for preset, (trained, figures) in product(CARD_NAMES, trainings(card)):
        measured = of_card(figures, preset)
        own = [row for row in printed if row.preset == preset]
        unknown = [row for row in printed if not row.preset] if preset == "y" else []
        if not measured:
            continue
        beside = []
        for dataset in SETS:
            row = find(own or unknown, dataset)
            mark = " (not comparable)" if row and row in unknown else ""
            beside.append(printed_text(printed, row) + mark)
        cells = [text(measured.get(dataset)) for dataset in SETS]
        lines.append([name, f"x{card['scale']}", preset, *cells, *beside, trained])
    return lines


def find(rows: list[PublishedRow], dataset: str) -> PublishedRow | None:
    """Return the first row of a set under any of its names."""
    return next((r for r in rows if name_key(r.dataset) == name_key(dataset)), None)


def paper(name: str) -> list[str]:
    """Tabulate the result tables of a paper with our figures below each, by its protocol."""
    lines: list[str] = []
    (model,) = list_models(name)
    tables: dict[tuple[str, int], list[PublishedRow]] = {}
    for row in load_published():
        if row.source.startswith(f"{name} paper"):
            tables.setdefault((row.source, row.scale), []).append(row)
    for (source, scale), rows in tables.items():
        lines += [f"**{source.removeprefix(f'{name} paper, ')}, x{scale}**", ""]
        lines += paper_table(
            name, rows, [c for c in model["cards"] if c["scale"] == scale and c["file"]]
        )
    return lines + count_table(name) + ablation_lines(name)


def count_table(name: str) -> list[str]:
    """Tabulate the parameters that the paper prints for its variants beside those of ours."""
    lines = []
    for ablation in ABLATIONS.values():
        if not ablation.name.startswith(f"{name}/"):
            continue
        for variant in ablation.variants:
            printed = variant.published.get("parameters")
            if printed is None:
                continue
            recipe = variant_recipe(ablation, variant)
            network = build_network(
                recipe.model, scale=ablation.scale, options=recipe.network
            )
            counted = f"{count_parameters(network.deploy()):,}"
            lines.append(
                (ablation.name, variant.name, f"{printed:g}", counted, variant.note)
            )
    if not lines:
        return []
    table = make_table(
        lines, ("ablation", "variant"), ("printed K", "counted", "remark")
    )
    return ["**Parameters**", "", *markdown_table(table)]


def ablation_lines(name: str) -> list[str]:
    """List the ablations of a paper with the command that runs each."""
    own = [each for each in ABLATIONS.values() if each.name.startswith(f"{name}/")]
    lines = [
        f"- `srx ablate run {each.name}`: {each.question} ({each.source or 'our own'})"
        for each in own
    ]
    return [
        "**Ablations**, printed beside ours in `benchmarks/ablations.md`",
        "",
        *lines,
        "",
    ]


def paper_table(
    model: str, rows: list[PublishedRow], cards: list[ModelFacts]
) -> list[str]:
    sets = list(dict.fromkeys(row.dataset for row in rows))
    metrics = tuple(name for name in DIGITS if any(name in row.values for row in rows))
    times = [row.milliseconds for row in rows if row.milliseconds is not None]
    lines: list[list[str]] = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        size, time = own[0].parameters, own[0].milliseconds
        cells = [printed_text(rows, find(own, name), metrics) for name in sets]
        cells += [number(time, decimals(times))] * bool(times)
        lines.append([method, "–" if size is None else f"{size:g}", *cells])
    presets = list(dict.fromkeys(row.preset for row in rows if row.model != "bicubic"))
    preset = presets[0] or "y"
    note = "" if presets[0] else ", not comparable: the paper's protocol is not known"
    ours: list[list[str]] = []
    for card, (trained, figures) in ((c, each) for c in cards for each in trainings(c)):
        own = (
            {}
            if figures == photographs(card)
            else {name: of_picture(model, card["scale"], preset, name) for name in sets}
        )
        cells = [
            text(of_card(figures, preset).get(name) or own.get(name), metrics)
            for name in sets
        ]
        size = f"{card['efficiency']['parameters'] / 1000:.0f}"
        label = f"ours, {trained}, by" if photographs(card) else "ours, by"
        ours.append([f"{label} {preset}{note}", size, *cells])
    by = next((row.preset for row in rows if row.model == "bicubic"), preset) or "y"
    scale = rows[0].scale
    own = {name: of_picture("bicubic", scale, by, name) for name in sets}
    cells = [text(bicubic(scale, by).get(name) or own[name], metrics) for name in sets]
    ours.append([f"bicubic here, by {by}{note}", "–", *cells])
    # A row without any figure says nothing: sets that are not at hand, former weights.
    lines += [[*row, *["–"] * bool(times)] for row in ours if set(row[2:]) != {NOTHING}]
    headings = [f"{name} {'/'.join(m.upper() for m in metrics)}" for name in sets]
    headings += ["ms, the paper's device"] * bool(times)
    return list(markdown_table(make_table(lines, ("method",), ("K", *headings))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    for file in parser.parse_args().files:
        content = file.read_text(encoding="utf-8")

        def fill(found: re.Match[str]) -> str:
            name = found[2]
            tables = {"results": results, "printed": partial(results, printed=True)}
            tables["flat-colours"] = flat_colours
            tables["faithful"] = faithful
            lines = tables.get(name, partial(paper, name))()
            return found[1] + "\n" + "\n".join(lines) + found[3]

        file.write_text(BLOCK.sub(fill, content), encoding="utf-8")
        print(f"{file}: {len(BLOCK.findall(content))} tables")


if __name__ == "__main__":
    main()
