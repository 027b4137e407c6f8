"""Reports of ablations: tables and paragraphs, for terminals and Markdown alike."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.metrics.fidelity import PROTOCOLS
from srcli.pipelines.ablate.results import LEAST_GAIN, PRINTED_SHARE, sets_of
from srcli.recipes.ablations import changes_text
from srcli.report.table import (
    NOTHING,
    Column,
    Row,
    Table,
    best_of,
    columns_of,
    decimals,
    ends_text,
    number,
    plural,
    short,
)
from srcli.training.budget import parse_budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from srcli.pipelines.ablate.results import AblationResult, VariantResult
    from srcli.recipes.ablations import Ablation
    from srcli.report.table import Cell

MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""
VARIANT = Column("variant", kind="text", wrap=False)


def definition(ablation: Ablation) -> Iterator[Table | str]:
    """Yield the question of an ablation, its variants as changes of a recipe, and its origin."""
    rows = []
    for each in ablation.variants:
        name = each.name + " (base)" * (each.name == ablation.base)
        rows.append(Row(cells=(name, each.sentence, ", ".join(changes_text(each.changes)))))
    columns = (VARIANT, *columns_of(("what it is", "changes")))
    yield Table(title=f"{ablation.name}: {ablation.question}", columns=columns, rows=tuple(rows))
    gradients = "with gradients recorded, as the paper measured"
    sizes = ", ".join(f"{height}x{width}" for height, width in ablation.memory_sizes)
    about = {
        "Source": ablation.source or "our own",
        "Recipe": f"{ablation.recipe}, x{ablation.scale}",
        "All variants change": ", ".join(changes_text(ablation.changes)),
        "Sets": f"{', '.join(ablation.sets) or NOTHING} (protocol {ablation.protocol})",
        "Memory": sizes
        and f"of LR inputs of {sizes}, "
        f"{gradients if ablation.memory_gradients else 'without gradients'}",
        "Note": ablation.note,
    }
    yield from (f"{word}: {text}" for word, text in about.items() if text)
    yield from (f"{each.name}: {each.note}." for each in ablation.variants if each.note)


def published_table(ablation: Ablation) -> Table:
    """Return the printed figures by variant; variants go along the side that has more lines."""
    lines = [["printed", *(each.name for each in ablation.variants)]]
    for key in dict.fromkeys(key for each in ablation.variants for key in each.published):
        values = [each.published.get(key) for each in ablation.variants]
        digits = decimals(value for value in values if value is not None)  # of the longest one
        sign = key.endswith(".difference")
        lines.append([key, *(number(value, digits, sign=sign) for value in values)])
    (label, *others), *rows = zip(*lines, strict=True) if len(lines[0]) > len(lines) else lines
    return Table(
        title=f"{ablation.name}: published",
        columns=(Column(label, kind="text", wrap=False), *columns_of((), others)),
        rows=tuple(Row(cells=tuple(row)) for row in rows) if len(lines) > 1 else (),
    )


def report(judged: Sequence[AblationResult]) -> Iterator[Table | str]:
    """Yield what was asked and found: tables, conditions and what they must be read with."""
    for each in judged:
        yield from definition(each.ablation)
        yield from score_tables(each)
        yield cost_table(each)
        yield from (f"Failed: {line}" for line in each.failures)
        yield from conditions(each)
        yield from notes(each)


def score_tables(result: AblationResult) -> list[Table]:
    """Tabulate means over seeds on every set; then differences to the base, printed ones, verdicts.

    Bicubic stands below each set. Sets of the paper that were not measured have what was printed
    alone; without any training there are no rows.
    """
    digits, wanted = METRICS["psnr"].digits, result.conditions["seeds"]
    ablation, quality, differences = result.ablation, list[Row](), list[Row]()
    for dataset in sets_of(result) if result.conditions["trained"] else ():
        means = {each.variant.name: each.means(dataset) for each in result.variants}
        complete = {name: fmean(own) for name, own in means.items() if len(own) == wanted}
        best = best_of(complete, digits)
        # Printed figures have the digits of the longest one of their set.
        kinds = ("psnr", "psnr.difference")
        printed = [ablation.printed(name, dataset, kind) for name in means for kind in kinds]
        longest = decimals((value for value in printed if value is not None), LEAST_DIGITS)
        for each in result.variants:
            name, done = each.variant.name, len(means[each.variant.name])
            count = str(done) if done == wanted else f"{done} of {wanted}"
            cells: tuple[Cell, ...] = (
                name,
                count if dataset in result.conditions["sets"] else None,
                _mean_text(means[name], digits),
                _mean_text(each.means(dataset, "ssim"), METRICS["ssim"].digits),
                number(ablation.printed(name, dataset), longest),
            )
            bold = frozenset({"PSNR dB"} if name in best else ())
            quality.append(Row(cells=cells, group=dataset, best=bold))
            own = result.comparison(dataset, name)
            to_base = None
            if found := own["found"]:
                ends = ends_text(found["low"], found["high"], digits)
                to_base = f"{number(found['mean'], digits, sign=True)} {ends}".strip()
            cells = (name, to_base, number(own["printed"], longest, sign=True), own["verdict"])
            differences.append(Row(cells=cells, group=dataset))
        if (level := result.bicubic(dataset)) is not None:
            cells = ("bicubic", None, number(level, digits), None, None)
            quality.append(Row(cells=cells, group=dataset))
    return [
        Table(
            title=f"{ablation.name}: {title}",
            group_heading="set",
            columns=(VARIANT, *(Column(heading, wrap=True) for heading in headings), *verdict),
            rows=tuple(rows),
        )
        for title, headings, verdict, rows in (
            ("quality", ("seeds", "PSNR dB", "SSIM", "printed dB"), (), quality),
            (
                f"difference to {ablation.base}",
                ("to base dB", "printed to base"),
                columns_of(("verdict",)),
                differences,
            ),
        )
    ]


def _mean_text(means: Sequence[float], digits: int) -> str | None:
    """Return a mean over seeds with the standard deviation."""
    if not means:
        return None
    deviation = number(stdev(means), digits) if len(means) > 1 else NOTHING
    return number(fmean(means), digits) + ("" if deviation == NOTHING else f" ± {deviation}")


def cost_table(result: AblationResult) -> Table:
    """Tabulate parameters, work and peak memory of every variant, beside printed values."""
    variants = result.variants
    costs = [each.cost or {} for each in variants]
    columns: dict[str, list[Cell]] = {}

    def add(heading: str, cells: list[Cell], printed_heading: str, key: str) -> None:
        """Add what was measured and, if the paper prints any, its values."""
        columns[heading] = cells
        values = [each.variant.published.get(key) for each in variants]
        if any(value is not None for value in values):
            columns[printed_heading] = [None if v is None else f"{v:g}" for v in values]

    counts = [f"{own['parameters']:,}" if own else None for own in costs]
    add("parameters", [*counts], "printed K", "parameters")
    add("MACs", [short(own["macs"]) if own else None for own in costs], "printed GFLOPs", "gflops")
    for size in dict.fromkeys(size for own in costs for size in own.get("memory", ())):
        peaks: list[Cell] = [_memory(each, size) for each in variants]
        add(f"MiB at {size}", peaks, f"printed MB at {size}", f"memory.{size}")
    if result.conditions["trained"]:
        columns["iterations"] = [_iterations(each) for each in variants]
    lines = zip((each.variant.name for each in variants), *columns.values(), strict=True)
    return Table(
        title=f"{result.ablation.name}: cost",
        columns=(VARIANT, *(Column(heading, wrap=True) for heading in columns)),
        rows=tuple(Row(cells=line) for line in lines),
    )


def _memory(each: VariantResult, size: str) -> str | None:
    if each.cost is None:
        return "failed" if each.cost_failure else None
    peak = each.cost["memory"][size]
    return "unknown" if peak is None else f"{peak / MIB:.{0 if peak >= 100 * MIB else 1}f}"


def _iterations(each: VariantResult) -> str | None:
    counts = {seed.iterations for seed in each.seeds if seed.iterations is not None}
    return "–".join(map(str, sorted({min(counts), max(counts)}))) if counts else None


def conditions(result: AblationResult) -> list[str]:
    """Return how an ablation was run, in lines that begin with a word and a colon."""
    own, protocol = result.conditions, PROTOCOLS[result.ablation.protocol]
    machine = f"Machine: {own['machine']}"
    if own["processes"] > 1:
        machine += f"; {own['processes']} processes at once"
    lines = [f"All variants with: {', '.join(own['overrides'])}"] if own["overrides"] else []
    if own["trained"]:
        budget = own["budget"] or "the recipe's"
        budget = plural(int(budget), "iteration") if budget.isdigit() else budget
        names = ", ".join(Path(each).name for each in own["data"])  # no folders: they tell nobody
        missing = f"; not at hand: {', '.join(own['missing'])}" if own["missing"] else ""
        lines += [
            f"Budget: {budget} for each variant and seed",
            f"Seeds: {own['seeds']}: each variant has the same batches in the same order",
            f"Trained on: {names}: {own['pictures']} pictures, {own['held_out'] or 'none'} held "
            "out; the last weights are measured",
            f"Measured on: {', '.join(own['sets'])}{missing}; protocol {protocol.name}: "
            f"{protocol.description}",
        ]
        machine += f"; trained in {own['precision']} precision, measured in fp32"
    return [*lines, machine]


def notes(result: AblationResult) -> list[str]:
    """Return remarks that the tables must be read with, a sentence or two each."""
    own, ablation = result.conditions, result.ablation
    memory = "host" if own["device"] == "cpu" else "device"
    recorded = "with" if ablation.memory_gradients else "without"
    timed = own["budget"] is not None and parse_budget(own["budget"]).seconds is not None
    of_costs = [
        "Parameters and MACs are of the deployed form; MACs are the multiply-accumulates of the "
        "convolutions for an LR picture of 256x256.",
        f"Memory: the {memory} memory that PyTorch held at most for one forward pass in fp32 "
        f"beside weights and input, at LR height x width, {recorded} gradients recorded; "
        "unknown where there was too little.",
    ]
    of_trainings = {
        f"To base: mean paired difference in PSNR to {ablation.base}, with its 95 % "
        "interval over seeds and pictures (two-way random effects, Student's t), which is not "
        "corrected for the number of tests.": True,
        "With one seed the interval is over pictures alone and decides nothing: another training "
        "may differ more. Verdicts take two seeds or more.": own["seeds"] == 1,
        "±: standard deviation over seeds.": own["seeds"] > 1,
        "Two seeds tell little of how seeds differ: where they differ as much as pictures do, such "
        "an interval misses the truth in about 10 % of cases instead of 5 %. Three or more are "
        "better.": own["seeds"] == 2,
        "Printed figures are of the paper's full training: verdicts compare the signs of "
        "differences, not the figures. They are on printed differences alone, significant at the "
        f"5 % level after Holm's correction over the {plural(result.tests, 'test')} of this "
        f"report. There is none where base or variant is within {LEAST_GAIN:g} dB of bicubic or "
        f"below {PRINTED_SHARE:.0%} of the printed gain over it.": any(
            each.published for each in ablation.variants
        ),
        "The budget is a time, so that faster variants were trained for more iterations.": timed,
        f"Trainings not yet run, or failed: {result.missing}.": result.missing,
    }
    return of_costs + [text for text, told in of_trainings.items() if told and own["trained"]]
