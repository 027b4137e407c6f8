"""Ablations as tables: measured figures beside those that papers printed, and what follows."""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.pipelines.ablate.statistics import Verdict, difference, verdict
from srcli.recipes.published import name_key
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
    from collections.abc import Sequence

    from srcli.pipelines.ablate.results import AblationResult, VariantResult
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


def summary_table(results: Sequence[AblationResult]) -> Table:
    """Count for each ablation the verdicts on its variants, on the first of its sets."""
    words = (Verdict.CONFIRMED, Verdict.REFUTED, Verdict.UNDECIDED)
    rows = []
    for result, title in zip(results, titles(results), strict=True):
        dataset = next(iter(result.conditions.sets), None)
        found = Counter(
            verdict_of(result, each, dataset) for each in result.variants if dataset is not None
        )
        printed = any(_printed_keys(result, each, "psnr") for each in sets_of(result))
        found[Verdict.UNDECIDED] += found[Verdict.ONE_SEED]
        counts = [found[word] if printed and dataset else None for word in words]
        own = found[Verdict.BETTER] + found[Verdict.WORSE]
        rows.append(Row(cells=(title, len(result.variants), budget_of(result), *counts, own)))
    headings = ("variants", "budget", "confirmed", "refuted", "undecided", "better or worse")
    columns = (Column("ablation", kind="text"), *_columns(headings))
    return Table(title="Summary", columns=columns, rows=tuple(rows))


def score_table(result: AblationResult) -> Table:
    """Tabulate means over seeds on every set, differences to the base, printed values, verdicts.

    Sets of the paper that were not measured have what was printed alone; without any training
    there are no rows.
    """
    timed = any(key.endswith(".seconds") for key in _keys(result) if not key.startswith("training"))
    headings = ["seeds", "PSNR dB", "SSIM", *["s/picture", "printed s"] * timed]
    headings += ["to base dB", "printed dB", "printed to base"]
    rows: list[Row] = []
    for dataset in sets_of(result) if result.conditions.trained else ():
        best = _best(result, dataset)
        for each in result.variants:
            mark = verdict_of(result, each, dataset)
            name = each.variant.name
            rows.append(
                Row(
                    cells=(name, *_score_cells(result, each, dataset, timed=timed), str(mark)),
                    group=dataset,
                    best=frozenset({"PSNR dB"} if name in best else ()),
                    status=mark.name.lower(),
                )
            )
    columns = (VARIANT, *_columns(headings), Column("verdict", kind="status", wrap=True))
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
    ]
    for size in dict.fromkeys(m.size for v in variants if v.cost for m in v.cost.memory):
        at = f"{size[0]}x{size[1]}"
        columns.append((f"MiB at {at}", [_memory(each, size) for each in variants]))
        columns += printed(f"printed MB at {at}", f"memory.{at}")
    if result.conditions.trained:
        seconds = [[s.seconds for s in each.seeds if s.seconds is not None] for each in variants]
        times: list[Cell] = [number(median(own), 3) if own else None for own in seconds]
        columns += [("iterations", [_iterations(v) for v in variants]), ("s/iteration", times)]
    hundred = [each.variant.published.get("training.seconds") for each in variants]
    if any(value is not None for value in hundred):
        each_time = [None if value is None else value / 100 for value in hundred]
        columns.append(("printed s/iteration", [number(value, 3) for value in each_time]))
    names = [each.variant.name for each in variants]
    lines = zip(names, *(cells for _, cells in columns), strict=True)
    headings = _columns([heading for heading, _ in columns])
    return Table(columns=(VARIANT, *headings), rows=tuple(Row(cells=line) for line in lines))


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    measured = list(result.conditions.sets)
    known = {name_key(name) for name in measured}
    printed = dict.fromkeys(
        key.partition(".")[0]
        for key in _keys(result)
        if not key.startswith(("parameters", "memory.", "training."))
    )
    return measured + [name for name in printed if name_key(name) not in known]


def verdict_of(result: AblationResult, each: VariantResult, dataset: str) -> Verdict:
    """Return the verdict on a variant on a set."""
    if each.variant.name == result.ablation.base:
        failed = each.seeds and all(seed.failure for seed in each.seeds)
        return Verdict.FAILED if failed else Verdict.BASE
    if not each.measured(dataset) and any(seed.failure for seed in each.seeds):
        return Verdict.FAILED
    found = difference(result, each.variant.name, dataset)
    return verdict(found, printed_difference(result, each.variant.name, dataset))


def printed_difference(result: AblationResult, name: str, dataset: str) -> float | None:
    """Return the PSNR difference to the base that was printed for a set, in dB, if one was."""
    for key in _printed_keys(result, dataset, "psnr"):
        stem = key.removesuffix(".difference")
        found = result.ablation.published_difference(name, stem)
        if found is not None:
            return found
    return None


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


def _keys(result: AblationResult) -> list[str]:
    return list(dict.fromkeys(k for v in result.variants for k in v.variant.published))


def _printed_keys(result: AblationResult, dataset: str, metric: str) -> list[str]:
    """Return the keys of printed figures of a set, whatever the paper calls it."""
    own = name_key(dataset)
    return [
        key
        for key in _keys(result)
        if name_key(key.partition(".")[0]) == own and key.partition(".")[2].startswith(metric)
    ]


def _score_cells(
    result: AblationResult, each: VariantResult, dataset: str, *, timed: bool
) -> list[Cell]:
    scores = each.measured(dataset)
    name = each.variant.name
    done, wanted = len(scores), result.conditions.seeds
    count = str(done) if done == wanted else f"{done} of {wanted}"
    cells: list[Cell] = [count if dataset in result.conditions.sets else None]
    cells += [_spread(each, dataset, "psnr"), _spread(each, dataset, "ssim")]
    if timed:
        seconds = [s.seconds for s in scores.values() if s.seconds is not None]
        cells.append(number(median(seconds), 3) if seconds else None)
        cells.append(_published(result, each, dataset, "seconds", least=0))
    found = difference(result, name, dataset)
    cells.append(interval_text(found, METRICS["psnr"].digits) if found else None)
    cells.append(_published(result, each, dataset, "psnr", least=LEAST_DIGITS))
    keys = _printed_keys(result, dataset, "psnr")
    digits = decimals(_printed_values(result, keys), LEAST_DIGITS)
    cells.append(number(printed_difference(result, name, dataset), digits, sign=True))
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
    keys = [k for k in _printed_keys(result, dataset, metric) if not k.endswith(".difference")]
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
