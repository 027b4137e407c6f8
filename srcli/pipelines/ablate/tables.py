"""Ablations as tables: measured figures beside those that papers printed, and what follows."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.pipelines.ablate.verdicts import (
    JudgedDifference,
    Judgement,
    Verdict,
    judge,
    printed_keys,
    sets_of,
)
from srcli.report.table import (
    NOTHING,
    Column,
    Row,
    Table,
    best_of,
    columns_of,
    decimals,
    interval_text,
    number,
    plural,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from srcli.pipelines.ablate.results import AblationResult, VariantResult
    from srcli.report.table import Cell

MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""
VARIANT = Column("variant", kind="text")


def summary_table(
    results: Sequence[AblationResult], judgements: Sequence[Judgement] | None = None
) -> Table:
    """Count for each ablation the verdicts on its variants, on all of its sets."""
    judged = judgements or judge(results)
    words = (Verdict.SAME, Verdict.OPPOSITE, Verdict.UNDECIDED)
    rows = []
    for result, own in zip(results, judged, strict=True):
        found = [e for e in own.comparisons.values() if e.printed is not None and e.found]
        counts: list[Cell] = [sum(each.verdict is word for each in found) for word in words]
        counts.append(sum(each.p is None for each in found))
        counts = counts if result.conditions.trained else [None] * len(counts)
        about = (result.ablation.name, len(result.variants), budget_of(result))
        rows.append(Row(cells=(*about, *counts)))
    columns = columns_of(("ablation",), ("variants",)) + columns_of(("budget",))
    columns += tuple(_columns([*words, "not judged"]))
    tests = plural(next((each.tests for each in judged), 0), "test")
    note = (
        "Counted are printed differences on all sets. Verdicts hold together at the 5 % level: "
        f"Holm's correction over {tests}. Not judged: one seed, no printed sign, or base "
        "or variant too near bicubic."
    )
    return Table(title="Summary", columns=columns, rows=tuple(rows), notes=(note,))


def score_table(result: AblationResult, judgement: Judgement | None = None) -> Table:
    """Tabulate means over seeds on every set, differences to the base, printed values, verdicts.

    Bicubic stands below each set. Sets of the paper that were not measured have what was printed
    alone; without any training there are no rows.

    Args:
        result: One ablation.
        judgement: Its verdicts in the report that it is part of; None to judge it alone.
    """
    judged = judgement or judge([result])[0]
    headings = ["seeds", "PSNR dB", "SSIM", "to base dB", "printed dB", "printed to base"]
    columns = (VARIANT, *_columns(headings), Column("verdict", kind="status", wrap=True))
    rows: list[Row] = []
    for dataset in sets_of(result) if result.conditions.trained else ():
        best = _best(result, dataset)
        for each in result.variants:
            name = each.variant.name
            own = judged.comparisons[dataset, name]
            cells = _score_cells(result, each, dataset, own)
            rows.append(
                Row(
                    cells=(name, *cells, str(own.verdict)),
                    group=dataset,
                    best=frozenset({"PSNR dB"} if name in best else ()),
                    status=own.verdict.name.lower(),
                )
            )
        if (bicubic := result.bicubic(dataset)) is not None:
            rest = [None] * (len(columns) - 3)
            text = number(bicubic, METRICS["psnr"].digits)
            rows.append(Row(cells=("bicubic", None, text, *rest), group=dataset))
    return Table(group_heading="set", columns=columns, rows=tuple(rows))


def cost_table(result: AblationResult) -> Table:
    """Tabulate parameters, work and peak memory of every variant, beside printed values."""
    variants = result.variants

    def printed(heading: str, key: str) -> list[tuple[str, list[Cell]]]:
        values = [each.variant.published.get(key) for each in variants]
        cells: list[Cell] = [None if value is None else f"{value:g}" for value in values]
        return [(heading, cells)] if any(cells) else []

    columns: list[tuple[str, list[Cell]]] = [
        ("parameters", [f"{each.cost.parameters:,}" if each.cost else None for each in variants]),
        *printed("printed K", "parameters"),
        ("MACs", [short(each.cost.macs) if each.cost else None for each in variants]),
        *printed("printed GFLOPs", "gflops"),
    ]
    for size in dict.fromkeys(size for v in variants if v.cost for size in v.cost.memory):
        columns.append((f"MiB at {size}", [_memory(each, size) for each in variants]))
        columns += printed(f"printed MB at {size}", f"memory.{size}")
    if result.conditions.trained:
        columns.append(("iterations", [_iterations(v) for v in variants]))
    names = [each.variant.name for each in variants]
    lines = zip(names, *(cells for _, cells in columns), strict=True)
    headings = _columns([heading for heading, _ in columns])
    return Table(columns=(VARIANT, *headings), rows=tuple(Row(cells=line) for line in lines))


def budget_of(result: AblationResult) -> str:
    """Return the budget in words."""
    conditions = result.conditions
    if not conditions.trained:
        return "not trained"
    if conditions.budget is None:
        return "the recipe's"
    whole = conditions.budget.isdigit()
    return plural(int(conditions.budget), "iteration") if whole else conditions.budget


def _columns(headings: Sequence[str]) -> list[Column]:
    return [Column(heading, wrap=True) for heading in headings]


def _score_cells(
    result: AblationResult, each: VariantResult, dataset: str, own: JudgedDifference
) -> list[Cell]:
    scores = each.measured(dataset)
    done, wanted = len(scores), result.conditions.seeds
    count = str(done) if done == wanted else f"{done} of {wanted}"
    cells: list[Cell] = [count if dataset in result.conditions.sets else None]
    cells += [_spread(each, dataset, "psnr"), _spread(each, dataset, "ssim")]
    cells.append(interval_text(own.found, METRICS["psnr"].digits) if own.found else None)
    cells.append(_published(result, each, dataset, "psnr", least=LEAST_DIGITS))
    keys = printed_keys(result, dataset, "psnr")
    digits = decimals(_printed_values(result, keys), LEAST_DIGITS)
    cells.append(number(own.printed, digits, sign=True))
    return cells


def _spread(each: VariantResult, dataset: str, metric: str) -> str | None:
    means, digits = each.means(dataset, metric), METRICS[metric].digits
    if not means:
        return None
    mean = number(fmean(means), digits)
    deviation = number(stdev(means), digits) if len(means) > 1 else NOTHING
    return mean if deviation == NOTHING else f"{mean} ± {deviation}"


def _published(
    result: AblationResult, each: VariantResult, dataset: str, metric: str, *, least: int
) -> str:
    """Return a printed figure in the digits of the longest one of its set."""
    keys = [k for k in printed_keys(result, dataset, metric) if not k.endswith(".difference")]
    own = each.variant.published
    value = next((own[key] for key in keys if key in own), None)
    return number(value, decimals(_printed_values(result, keys), least))


def _printed_values(result: AblationResult, keys: Sequence[str]) -> list[float]:
    published = [each.variant.published for each in result.variants]
    return [own[key] for own in published for key in keys if key in own]


def _memory(each: VariantResult, size: str) -> str | None:
    if each.cost is None:
        return "failed" if each.cost_failure else None
    peak = each.cost.memory[size]
    return "unknown" if peak is None else f"{peak / MIB:.{0 if peak >= 100 * MIB else 1}f}"


def _iterations(each: VariantResult) -> str | None:
    counts = sorted({seed.iterations for seed in each.seeds if seed.iterations is not None})
    return "–".join(map(str, dict.fromkeys((*counts[:1], *counts[-1:])))) or None


def _best(result: AblationResult, dataset: str) -> set[str]:
    """Return the variants with the best mean PSNR, of those that were trained with all seeds."""
    means = {each.variant.name: each.means(dataset) for each in result.variants}
    seeds = result.conditions.seeds
    complete = {name: fmean(own) for name, own in means.items() if len(own) == seeds}
    return best_of(complete, METRICS["psnr"].digits)
