"""Ablations as tables: measured figures beside those that papers printed, and what follows."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.pipelines.ablate.verdicts import (
    JudgedDifference,
    Judgement,
    Verdict,
    all_keys,
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
    decimals,
    interval_text,
    number,
    plural,
    short,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from srcli.pipelines.ablate.results import AblationResult, Conditions, VariantResult
    from srcli.report.table import Cell

MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""
VARIANT = Column("variant", kind="text")


def titles(results: Sequence[AblationResult]) -> list[str]:
    """Name results: ablations, with what was set where one of them has several results."""
    names = [result.ablation.name for result in results]
    return [
        f"{name} ({', '.join(result.conditions.overrides) or 'nothing set'})"
        if names.count(name) > 1
        else name
        for name, result in zip(names, results, strict=True)
    ]


def summary_table(
    results: Sequence[AblationResult], judgements: Sequence[Judgement] | None = None
) -> Table:
    """Count for each ablation the verdicts on its variants, on all of its sets.

    A pair of trainings that two ablations share is counted with the first. Conditions that differ
    between the ablations have a column each.
    """
    judged = judgements or judge(results)
    words = (Verdict.SAME, Verdict.OPPOSITE, Verdict.UNDECIDED)
    rows = []
    conditions = _differing_conditions(results)
    for place, (title, own) in enumerate(zip(titles(results), judged, strict=True)):
        result = results[place]
        found = Counter(each.verdict for each in own.comparisons.values() if not each.repeated)
        repeated = sum(each.repeated for each in own.comparisons.values())
        none = sum(
            each.printed is not None and each.found is not None and each.p is None
            for each in own.comparisons.values()
        )
        trained = result.conditions.trained
        counts = [found[word] if trained else None for word in words]
        counts += [value if trained else None for value in (none, repeated)]
        told = [cells[place] for cells in conditions.values()]
        rows.append(Row(cells=(title, len(result.variants), *told, *counts)))
    headings = ("same sign", "opposite sign", "undecided", "not judged", "counted above")
    columns = (
        Column("ablation", kind="text"),
        Column("variants"),
        *(Column(heading, kind="text") for heading in conditions),
        *_columns(headings),
    )
    return Table(title="Summary", columns=columns, rows=tuple(rows), notes=(_family(judged),))


def _family(judged: Sequence[Judgement]) -> str:
    tests = plural(next((each.tests for each in judged), 0), "test")
    return (
        f"Counted are printed differences on all sets. Verdicts hold together at the 5 % level: "
        f"Holm's correction over {tests}. Not judged: one seed, no printed sign, or base "
        "or variant too near bicubic. Counted above: the same trainings as in an ablation above."
    )


_CONDITIONS: dict[str, Callable[[Conditions], str]] = {
    "seeds": lambda own: str(own.seeds),
    "set for all": lambda own: ", ".join(own.overrides) or NOTHING,
    "pictures": lambda own: f"{own.pictures} ({own.data_digest[:6]})",
    "precision": lambda own: own.precision,
    "processes": lambda own: str(own.processes),
    "machine": lambda own: own.machine,
}


def _differing_conditions(results: Sequence[AblationResult]) -> dict[str, list[str]]:
    """Return the budget, and the conditions that differ between ablations that were trained."""
    found: dict[str, list[str]] = {"budget": [budget_of(result) for result in results]}
    for heading, text in _CONDITIONS.items():
        if len({text(each.conditions) for each in results if each.conditions.trained}) > 1:
            found[heading] = [text(each.conditions) for each in results]
    return found


def score_table(result: AblationResult, judgement: Judgement | None = None) -> Table:
    """Tabulate means over seeds on every set, differences to the base, printed values, verdicts.

    Bicubic stands below each set. Sets of the paper that were not measured have what was printed
    alone; without any training there are no rows. Times stand where the paper has some and no other
    work shared the machine.

    Args:
        result: One ablation.
        judgement: Its verdicts in the report that it is part of; None to judge it alone.
    """
    judged = judgement or judge([result])[0]
    timed = any(
        key.endswith(".seconds") for key in all_keys(result) if not key.startswith("training")
    )
    headings = ["seeds", "PSNR dB", "SSIM", *["s/picture", "printed s"] * timed]
    headings += ["to base dB", "printed dB", "printed to base"]
    columns = (VARIANT, *_columns(headings), Column("verdict", kind="status", wrap=True))
    rows: list[Row] = []
    for dataset in sets_of(result) if result.conditions.trained else ():
        best = _best(result, dataset)
        for each in result.variants:
            name = each.variant.name
            own = judged.comparisons[dataset, name]
            rows.append(
                Row(
                    cells=(
                        name,
                        *_score_cells(result, each, dataset, own, timed=timed),
                        str(own.verdict),
                    ),
                    group=dataset,
                    best=frozenset({"PSNR dB"} if name in best else ()),
                    status=own.verdict.name.lower(),
                )
            )
        if dataset in result.bicubic:
            scores = result.bicubic[dataset]
            means = [number(scores.mean(each), METRICS[each].digits) for each in ("psnr", "ssim")]
            rest = [None] * (len(columns) - 4)
            rows.append(Row(cells=("bicubic", None, *means, *rest), group=dataset))
    return Table(group_heading="set", columns=columns, rows=tuple(rows))


def cost_table(result: AblationResult) -> Table:
    """Tabulate parameters, work, peak memory and time of every variant, beside printed values."""
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
    for size in dict.fromkeys(m.size for v in variants if v.cost for m in v.cost.memory):
        at = f"{size[0]}x{size[1]}"
        columns.append((f"MiB at {at}", [_memory(each, size) for each in variants]))
        columns += printed(f"printed MB at {at}", f"memory.{at}")
    if result.conditions.trained:
        times: list[Cell] = [_seconds(result, [s.seconds for s in v.seeds]) for v in variants]
        columns.append(("iterations", [_iterations(v) for v in variants]))
        columns += [("s/iteration", times)] if any(times) else []
    hundred = [each.variant.published.get("training.seconds") for each in variants]
    if any(value is not None for value in hundred):
        each_time = [None if value is None else value / 100 for value in hundred]
        columns.append(("printed s/iteration", [number(value, 3) for value in each_time]))
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
    result: AblationResult, each: VariantResult, dataset: str, own: JudgedDifference, *, timed: bool
) -> list[Cell]:
    scores = each.measured(dataset)
    done, wanted = len(scores), result.conditions.seeds
    count = str(done) if done == wanted else f"{done} of {wanted}"
    cells: list[Cell] = [count if dataset in result.conditions.sets else None]
    cells += [_spread(each, dataset, "psnr"), _spread(each, dataset, "ssim")]
    if timed:
        cells.append(_seconds(result, [s.seconds for s in scores.values()]))
        cells.append(_published(result, each, dataset, "seconds", least=0))
    cells.append(interval_text(own.found, METRICS["psnr"].digits) if own.found else None)
    cells.append(_published(result, each, dataset, "psnr", least=LEAST_DIGITS))
    keys = printed_keys(result, dataset, "psnr")
    digits = decimals(_printed_values(result, keys), LEAST_DIGITS)
    cells.append(number(own.printed, digits, sign=True))
    return cells


def _seconds(result: AblationResult, times: Sequence[float | None]) -> str | None:
    """Return the median of times as text; None where other work shared the machine."""
    known = [each for each in times if each is not None]
    return number(median(known), 3) if known and result.conditions.processes == 1 else None


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


def _memory(each: VariantResult, size: tuple[int, int]) -> str | None:
    found = next((m for m in each.cost.memory if m.size == size), None) if each.cost else None
    if found is None:
        return "failed" if each.cost_failure else None
    if found.peak is None:
        return found.reason
    return f"{found.peak / MIB:.{0 if found.peak >= 100 * MIB else 1}f}"


def _iterations(each: VariantResult) -> str | None:
    counts = sorted({seed.iterations for seed in each.seeds if seed.iterations is not None})
    return "–".join(map(str, dict.fromkeys((*counts[:1], *counts[-1:])))) or None


def _best(result: AblationResult, dataset: str) -> set[str]:
    """Return the variants with the best mean PSNR, of those that were trained with all seeds."""
    means = {each.variant.name: each.means(dataset) for each in result.variants}
    seeds = result.conditions.seeds
    complete = {name: fmean(own) for name, own in means.items() if len(own) == seeds}
    return best_of(complete, METRICS["psnr"].digits)
