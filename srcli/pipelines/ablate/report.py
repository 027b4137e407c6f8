"""Tables and paragraphs on ablations: what they change, what was printed, what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

from srcli.metrics.fidelity import PROTOCOLS
from srcli.metrics.registry import METRICS
from srcli.pipelines.ablate.results import (
    LEAST_GAIN,
    PRINTED_SHARE,
    AblationResult,
    VariantResult,
    is_printed,
    sets_of,
)
from srcli.recipes.ablations import PRINTED_METRICS, Ablation, changes_text
from srcli.report.costs import MACS_NOTE, work_text
from srcli.report.latex import Method, latex_table
from srcli.report.table import (
    Cell,
    Row,
    Table,
    best_of,
    decimals,
    difference_text,
    make_table,
    mean_text,
    number,
    plural,
    short,
)
from srcli.training.budget import parse_budget

MIB = 2**20
LEAST_DIGITS = 2
"""Fewest digits of printed decibels, where those at hand happen to end on zeros."""


def definition(ablation: Ablation) -> Iterator[Table | str]:
    """Yield the question of an ablation, its variants as changes of a recipe, and its origin."""
    rows = []
    for variant in ablation.variants:
        name = variant.name
        if name == ablation.base:
            name += " (base)"
        rows.append((name, variant.sentence, ", ".join(changes_text(variant.changes))))
    labels = ("variant", "what it is", "changes")
    yield make_table(rows, labels, title=f"{ablation.name}: {ablation.question}")
    sizes = ", ".join(f"{height}x{width}" for height, width in ablation.memory_sizes)
    gradients = "with" if ablation.memory_gradients else "without"
    about = {
        "Source": ablation.source or "our own",
        "Recipe": f"{ablation.recipe}, x{ablation.scale}",
        "All variants change": ", ".join(changes_text(ablation.changes)),
        "Sets": f"{', '.join(ablation.sets) or 'those of --sets'} (protocol {ablation.protocol})",
        "Memory": sizes and f"of LR inputs of {sizes}, {gradients} gradients recorded",
        "Note": ablation.note,
    }
    for word, text in about.items():
        if text:
            yield f"{word}: {text}"
    for variant in ablation.variants:
        if variant.note:
            yield f"{variant.name}: {variant.note}."


def published_table(ablation: Ablation) -> Table:
    """Return the printed figures by variant; variants go along the side with more lines."""
    lines = [["printed", *(variant.name for variant in ablation.variants)]]
    keys: dict[str, None] = {}
    for variant in ablation.variants:
        keys |= dict.fromkeys(variant.published)
    for key in keys:
        values = [variant.published.get(key) for variant in ablation.variants]
        digits = decimals(value for value in values if value is not None)
        sign = key.endswith(".difference")
        lines.append([key, *(number(value, digits, sign=sign) for value in values)])
    if not keys:
        lines = [["printed"]]
    elif len(lines[0]) > len(lines):
        lines = [list(line) for line in zip(*lines, strict=True)]
    label, *headings = lines[0]
    title = f"{ablation.name}: published"
    return make_table(lines[1:], (label,), headings, title=title)


def report(judged: Sequence[AblationResult]) -> Iterator[Table | str]:
    """Yield what was asked and found: tables, conditions and what they must be read with."""
    for result in judged:
        yield from definition(result.ablation)
        yield from score_tables(result)
        yield cost_table(result)
        for line in result.failures:
            yield f"Failed: {line}"
        yield from conditions(result)
        yield from notes(result)


def score_tables(result: AblationResult) -> list[Table]:
    """Tabulate mean scores over seeds on every set, then differences to the base.

    Bicubic stands below each set. Sets of the paper that were not measured have what
    was printed alone; without any training there are no rows.
    """
    quality: list[Row] = []
    differences: list[Row] = []
    if result.conditions.trained:
        for dataset in sets_of(result):
            quality += _quality_rows(result, dataset)
            differences += _difference_rows(result, dataset)
    name = result.ablation.name
    return [
        make_table(
            quality,
            ("variant",),
            ("seeds", "PSNR dB", "best dB", "SSIM", "printed dB"),
            title=f"{name}: quality",
            group="set",
        ),
        make_table(
            differences,
            ("variant",),
            ("to base dB", "freedom", "SSIM to base", "printed to base"),
            ("verdict",),
            title=f"{name}: difference to {result.ablation.base}",
            group="set",
        ),
    ]


def _printed_digits(result: AblationResult, dataset: str) -> int:
    """Return the digits of printed figures: those of the longest one of their set."""
    printed = []
    for variant in result.ablation.variants:
        for figure in ("psnr", "psnr.difference"):
            value = result.ablation.printed(variant.name, dataset, figure)
            if value is not None:
                printed.append(value)
    return decimals(printed, LEAST_DIGITS)


def _quality_rows(result: AblationResult, dataset: str) -> Iterator[Row]:
    """Yield a row of scores for each variant, and one of bicubic."""
    seeds = result.conditions.seeds
    digits = METRICS["psnr"].digits
    printed_digits = _printed_digits(result, dataset)
    means = {
        variant.variant.name: variant.means(dataset) for variant in result.variants
    }
    complete = {
        name: fmean(psnrs) for name, psnrs in means.items() if len(psnrs) == seeds
    }
    best = best_of(complete, digits)
    for variant in result.variants:
        name = variant.variant.name
        count = str(len(means[name]))
        best_weights = []
        for scores in variant.measured(dataset).values():
            if scores.best is not None:
                best_weights.append(scores.best)
        if name not in complete:
            count += f" of {seeds}"
        cells = (
            name,
            count if dataset in result.conditions.sets else None,
            mean_text(means[name], digits),
            mean_text(best_weights, digits),
            mean_text(variant.means(dataset, "ssim"), METRICS["ssim"].digits),
            number(result.ablation.printed(name, dataset), printed_digits),
        )
        bold = frozenset({"PSNR dB"} if name in best else ())
        yield Row(cells, dataset, bold)
    bicubic = result.bicubic(dataset)
    if bicubic is not None:
        yield Row(("bicubic", None, number(bicubic, digits), None, None, None), dataset)


def _difference_rows(result: AblationResult, dataset: str) -> Iterator[Row]:
    """Yield a row for each variant: its difference to the base, measured and printed."""
    printed_digits = _printed_digits(result, dataset)
    for comparison in result.comparisons:
        if comparison.set != dataset:
            continue
        measured = comparison.found
        freedom = None
        if measured:
            freedom = number(measured.freedom, 1)
        cells = (
            comparison.variant,
            difference_text(measured, METRICS["psnr"].digits),
            freedom,
            difference_text(comparison.ssim, METRICS["ssim"].digits),
            number(comparison.printed, printed_digits, sign=True),
            comparison.verdict,
        )
        yield Row(cells, dataset)


def cost_table(result: AblationResult) -> Table:
    """Tabulate parameters, work and peak memory of every variant, beside printed values."""
    variants = result.variants
    columns = {}

    def add(heading: str, cells: list[Cell], printed_heading: str, key: str) -> None:
        """Add what was measured and, if the paper prints any, its values."""
        columns[heading] = cells
        values = [variant.variant.published.get(key) for variant in variants]
        if any(value is not None for value in values):
            columns[printed_heading] = [None if v is None else f"{v:g}" for v in values]

    parameters: list[Cell] = []
    macs: list[Cell] = []
    sizes: dict[str, None] = {}
    for variant in variants:
        cost = variant.cost
        if cost:
            parameters.append(f"{cost.parameters:,}")
            macs.append(work_text(cost.macs, cost.products))
            sizes |= dict.fromkeys(cost.memory)
        else:
            parameters.append(None)
            macs.append(None)
    add("parameters", parameters, "printed K", "parameters")
    add("MACs", macs, "printed GFLOPs", "gflops")
    for size in sizes:
        peaks: list[Cell] = [_memory(variant, size) for variant in variants]
        add(f"MiB at {size}", peaks, f"printed MB at {size}", f"memory.{size}")
    if result.conditions.trained:
        columns["iterations"] = [_iterations(variant) for variant in variants]
    names = [variant.variant.name for variant in variants]
    lines = zip(names, *columns.values(), strict=True)
    title = f"{result.ablation.name}: cost"
    return make_table(lines, ("variant",), columns, title=title)


def _memory(variant: VariantResult, size: str) -> str | None:
    """Return the peak memory in MiB, in three digits or more."""
    peak = variant.cost and variant.cost.memory.get(size)
    if peak:
        digits = 0 if peak >= 100 * MIB else 1
        return number(peak / MIB, digits)
    if variant.cost_failure:
        return "failed"
    return None


def _iterations(variant: VariantResult) -> str | None:
    """Return the iterations of all seeds, or the fewest and the most of them."""
    counts = [seed.iterations for seed in variant.seeds if seed.iterations is not None]
    if not counts:
        return None
    if min(counts) == max(counts):
        return str(counts[0])
    return f"{min(counts)}–{max(counts)}"


def paper_tables(results: Sequence[AblationResult]) -> str:
    """Return a table for a paper of each ablation, as LaTeX."""
    tables = []
    metrics = {name: METRICS[name] for name in PRINTED_METRICS}
    for result in results:
        sets = result.conditions.sets
        methods = []
        for variant in result.variants:
            means: dict[tuple[str, str], list[float]] = {}
            for dataset in sets:
                means[dataset, "psnr"] = variant.means(dataset)
                means[dataset, "ssim"] = variant.means(dataset, "ssim")
            costs: tuple[str | None, str | None] = (None, None)
            if cost := variant.cost:
                costs = short(cost.parameters), work_text(cost.macs, cost.products)
            methods.append(Method(variant.variant.name, *costs, means))
        caption = result.ablation.question
        for line in conditions(result):
            if line.startswith(("Budget", "Measured")):
                caption += f" {line}."
        tables.append(latex_table(methods, sets, metrics, caption))
    return "\n".join(tables)


def conditions(result: AblationResult) -> list[str]:
    """Return how an ablation was run, in lines that begin with a word and a colon."""
    run = result.conditions
    machine = f"Machine: {run.machine}"
    if run.processes > 1:
        machine += f"; {run.processes} processes at once"
    lines = []
    if run.overrides:
        lines.append(f"All variants with: {', '.join(run.overrides)}")
    if run.trained:
        budget = run.budget or "the recipe's"
        if budget.isdigit():
            budget = plural(int(budget), "iteration")
        # no folders: they tell nobody
        names = ", ".join(Path(path).name for path in run.data)
        missing = ""
        if run.missing:
            missing = f"; not at hand: {', '.join(run.missing)}"
        protocol = PROTOCOLS[result.ablation.protocol]
        lines += [
            f"Budget: {budget} for each variant and seed",
            f"Seeds: {run.seeds}: each variant has the same batches in the same order",
            f"Trained on: {names}: {run.pictures} pictures, {run.held_out or 'none'} held "
            "out; the last weights are measured, and beside them the best by validation (best dB)",
            f"Measured on: {', '.join(run.sets)}{missing}; protocol {protocol.name}: "
            f"{protocol.description}",
        ]
        machine += f"; trained in {run.precision} precision, measured in fp32"
    return [*lines, machine]


def notes(result: AblationResult) -> Iterator[str]:
    """Yield remarks that the tables must be read with, a sentence or two each."""
    recorded = "with" if result.ablation.memory_gradients else "without"
    yield (
        "Parameters and MACs are of the deployed form, for an LR picture of 256x256. "
        f"{MACS_NOTE}"
    )
    yield (
        "Memory: the most that PyTorch held on a GPU for one forward pass in fp32 beside weights "
        f"and input, at LR height x width, {recorded} gradients recorded; none is told without a "
        "GPU, or where it had too little."
    )
    if result.conditions.trained:
        yield from _notes_on_trainings(result)


def _notes_on_trainings(result: AblationResult) -> Iterator[str]:
    """Yield remarks on scores and verdicts."""
    ablation = result.ablation
    seeds = result.conditions.seeds
    budget = result.conditions.budget
    yield (
        f"To base: mean paired difference in PSNR to {ablation.base}, with its 95 % "
        "interval over seeds and pictures (two-way random effects, Student's t), which is not "
        "corrected for the number of tests; freedom: its degrees of freedom (Satterthwaite)."
    )
    for variant, dataset in product(result.variants, result.conditions.sets):
        means = variant.means(dataset)
        bicubic = result.bicubic(dataset)
        if means and bicubic is not None and fmean(means) < bicubic:
            yield (
                f"Warning: {variant.variant.name} is below bicubic on {dataset}: trained too "
                "little, or for other LR pictures; it says nothing of the question."
            )
    if seeds == 1:
        yield (
            "With one seed the interval is over pictures alone and decides nothing: another "
            "training may differ more. Verdicts take two seeds or more."
        )
    else:
        yield "±: standard deviation over seeds."
    if seeds == 2:
        yield (
            "Two seeds tell little of how seeds differ: where they differ as much as pictures do, "
            "such an interval misses the truth in about 10 % of cases instead of 5 %. Three or "
            "more are better."
        )
    if is_printed(result) and seeds == 1:
        yield "Printed figures are of the paper's full training."
    elif is_printed(result):
        yield (
            "Printed figures are of the paper's full training: verdicts compare the signs of "
            "differences, not the figures. They are on printed differences alone, significant at "
            f"the 5 % level after Holm's correction over the {plural(result.tests, 'test')} of "
            f"this report. There is none where base or variant is within {LEAST_GAIN:g} dB of "
            f"bicubic or below {PRINTED_SHARE:.0%} of the printed gain over it."
        )
    elif seeds > 1:
        yield (
            "Verdicts: higher or lower than base in PSNR, significant at the 5 % level after "
            f"Holm's correction over the {plural(result.tests, 'test')} of this report; none "
            "where base or variant is below bicubic."
        )
    if budget is not None and parse_budget(budget).timed:
        yield (
            "The budget is a time, so that faster variants were trained for more iterations."
        )
    if result.missing:
        yield f"Trainings not yet run, or failed: {result.missing}."
