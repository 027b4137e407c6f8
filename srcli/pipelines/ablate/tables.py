"""What every written form of an ablation shows: the same tables and notes, in the same digits."""

from __future__ import annotations

import math
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

from srcli.evaluation.scores import METRICS
from srcli.pipelines.ablate.statistics import Verdict, difference, spread, verdict
from srcli.pipelines.evaluate.tables import NOTHING, Row, Table, number, short
from srcli.recipes.published import SAME_SET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from srcli.pipelines.ablate.results import AblationResult, Memory, VariantResult
    from srcli.pipelines.ablate.statistics import PairedDifference

MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""


def titles(results: Sequence[AblationResult]) -> list[str]:
    """Name results: ablations, with what was set where one of them has several results."""
    names = [result.ablation.name for result in results]
    return [
        f"{name} ({', '.join(result.conditions.overrides) or 'nothing set'})"
        if names.count(name) > 1
        else name
        for name, result in zip(names, results, strict=True)
    ]


def many(count: int, word: str) -> str:
    """Return a number of things in words."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def summary_table(results: Sequence[AblationResult]) -> Table:
    """Count for each ablation the verdicts on its variants, on the first of its sets."""
    words = (Verdict.CONFIRMED, Verdict.REFUTED, Verdict.UNDECIDED)
    rows = []
    for result, title in zip(results, titles(results), strict=True):
        dataset = next(iter(result.conditions.sets), None)
        found = Counter(
            verdict_of(result, each, dataset) for each in result.variants if dataset is not None
        )
        printed = any(_printed(result, each, "psnr") for each in sets_of(result))
        found[Verdict.UNDECIDED] += found[Verdict.ONE_SEED]
        counts = [str(found[word]) if printed and dataset else NOTHING for word in words]
        own = found[Verdict.BETTER] + found[Verdict.WORSE]
        cells = (str(len(result.variants)), budget_of(result), *counts, str(own))
        rows.append(Row(group="", label=title, cells=cells))
    headings = ("variants", "budget", "confirmed", "refuted", "undecided", "better or worse")
    return Table(headings=headings, rows=tuple(rows))


def score_table(result: AblationResult) -> Table:
    """Means over seeds on every set, differences to the base, what was printed, and the verdict.

    Sets of the paper that were not measured have what was printed alone; without any training
    there are no rows.
    """
    timed = any(key.endswith(".seconds") for key in _keys(result) if not key.startswith("training"))
    times = ("s/picture", "printed s") if timed else ()
    headings = (
        "seeds",
        "PSNR dB",
        "SSIM",
        *times,
        "to base dB",
        "printed dB",
        "printed to base",
        "verdict",
    )
    rows: list[Row] = []
    for dataset in sets_of(result) if result.conditions.trained else ():
        best = _best(result, dataset)
        for each in result.variants:
            values = _score_cells(result, each, dataset, timed=timed)
            marked = frozenset({1}) if each.variant.name in best else frozenset()
            rows.append(Row(group=dataset, label=each.variant.name, cells=values, best=marked))
    return Table(headings=headings, rows=tuple(rows))


def cost_table(result: AblationResult) -> Table:
    """Parameters, work, peak memory and time of every variant, beside what was printed."""
    variants = result.variants
    printed = any("parameters" in each.variant.published for each in variants)
    timed = any("training.seconds" in each.variant.published for each in variants)
    sizes = list(dict.fromkeys(m.size for v in variants if v.cost for m in v.cost.memory))
    headings = ["parameters", *["printed K"] * printed, "MACs"]
    remembered = {}
    for size in sizes:
        at = f"{size[0]}x{size[1]}"
        remembered[size] = any(f"memory.{at}" in each.variant.published for each in variants)
        headings += [f"MiB at {at}", *[f"printed MB at {at}"] * remembered[size]]
    trained = result.conditions.trained
    headings += ["iterations", "s/iteration"] * trained + ["printed s/iteration"] * timed
    rows = []
    for each in variants:
        own = each.variant.published
        cells = [NOTHING if each.cost is None else f"{each.cost.parameters:,}"]
        cells += [_plain(own.get("parameters"))] * printed
        cells += [NOTHING if each.cost is None else short(each.cost.macs)]
        for size in sizes:
            cells.append(_memory(each, size))
            cells += [_plain(own.get(f"memory.{size[0]}x{size[1]}"))] * remembered[size]
        cells += _training_cells(each) if trained else []
        hundred = own.get("training.seconds")
        cells += [number(None if hundred is None else hundred / 100, 3)] * timed
        rows.append(Row(group="", label=each.variant.name, cells=tuple(cells)))
    return Table(headings=tuple(headings), rows=tuple(rows))


def sets_of(result: AblationResult) -> list[str]:
    """Sets that were measured, then those that only the paper has."""
    measured = list(result.conditions.sets)
    known = {set_key(name) for name in measured}
    printed = dict.fromkeys(
        key.partition(".")[0]
        for key in _keys(result)
        if not key.startswith(("parameters", "memory.", "training."))
    )
    return measured + [name for name in printed if set_key(name) not in known]


def verdict_of(result: AblationResult, each: VariantResult, dataset: str) -> Verdict:
    """Say what became of a variant on a set."""
    if each.variant.name == result.ablation.base:
        failed = each.seeds and all(seed.failure for seed in each.seeds)
        return Verdict.FAILED if failed else Verdict.BASE
    if not each.measured(dataset) and any(seed.failure for seed in each.seeds):
        return Verdict.FAILED
    found = difference(result, each.variant.name, dataset)
    return verdict(found, printed_difference(result, each.variant.name, dataset))


def printed_difference(result: AblationResult, name: str, dataset: str) -> float | None:
    """Return the PSNR difference to the base that was printed for a set, in dB, if one was."""
    for key in _printed(result, dataset, "psnr"):
        stem = key.removesuffix(".difference")
        found = result.ablation.published_difference(name, stem)
        if found is not None:
            return found
    return None


def interval_text(found: PairedDifference | None) -> str:
    """Return a difference with its interval behind it, in dB."""
    if found is None:
        return NOTHING
    digits = METRICS["psnr"].digits
    mean = number(found.mean, digits, sign=True)
    if math.isnan(found.low):
        return mean
    low, high = (number(end, digits, sign=True) for end in (found.low, found.high))
    return f"{mean} [{low}, {high}]"


def budget_of(result: AblationResult) -> str:
    """Return the budget in words."""
    conditions = result.conditions
    if not conditions.trained:
        return "not trained"
    if conditions.budget is None:
        return "the recipe's"
    whole = conditions.budget.isdigit()
    return many(int(conditions.budget), "iteration") if whole else conditions.budget


def set_key(name: str) -> str:
    """Return what all spellings of a set's name have in common."""
    small = "".join(filter(str.isalnum, name.casefold()))
    return SAME_SET.get(small, small)


def _keys(result: AblationResult) -> list[str]:
    return list(dict.fromkeys(k for v in result.variants for k in v.variant.published))


def _printed(result: AblationResult, dataset: str, what: str) -> list[str]:
    """Keys of printed figures of a set, whatever the paper calls it."""
    own = set_key(dataset)
    return [
        key
        for key in _keys(result)
        if set_key(key.partition(".")[0]) == own and key.partition(".")[2].startswith(what)
    ]


def _score_cells(
    result: AblationResult, each: VariantResult, dataset: str, *, timed: bool
) -> tuple[str, ...]:
    scores = each.measured(dataset)
    found = difference(result, each.variant.name, dataset)
    is_base = each.variant.name == result.ablation.base
    done, wanted = len(scores), result.conditions.seeds
    seeds = str(done) if done == wanted else f"{done} of {wanted}"
    values = [_spread(each, dataset, "psnr"), _spread(each, dataset, "ssim")]
    if timed:
        seconds = [s.seconds for s in scores.values() if s.seconds is not None]
        values.append(number(median(seconds) if seconds else None, 3))
        values.append(_published(result, each, dataset, "seconds", least=0))
    printed = printed_difference(result, each.variant.name, dataset)
    digits = _digits(result, dataset)
    return (
        seeds if dataset in result.conditions.sets else NOTHING,
        *values,
        NOTHING if is_base else interval_text(found),
        _published(result, each, dataset, "psnr", least=LEAST_DIGITS),
        number(printed, digits, sign=True),
        str(verdict_of(result, each, dataset)),
    )


def _spread(each: VariantResult, dataset: str, metric: str) -> str:
    found = spread(each.measured(dataset), metric)
    if found is None:
        return NOTHING
    digits = METRICS[metric].digits
    mean = number(found.mean, digits)
    return mean if math.isnan(found.deviation) else f"{mean} ± {number(found.deviation, digits)}"


def _published(
    result: AblationResult, each: VariantResult, dataset: str, what: str, *, least: int
) -> str:
    keys = [key for key in _printed(result, dataset, what) if not key.endswith(".difference")]
    values = [
        v.variant.published[k] for v in result.variants for k in keys if k in v.variant.published
    ]
    digits = max([least, *map(_decimals, values)])
    value = next((each.variant.published[k] for k in keys if k in each.variant.published), None)
    return number(value, digits)


def _digits(result: AblationResult, dataset: str) -> int:
    """Digits that the paper prints decibels of a set with."""
    keys = _printed(result, dataset, "psnr")
    values = [
        v.variant.published[k] for v in result.variants for k in keys if k in v.variant.published
    ]
    return max([LEAST_DIGITS, *map(_decimals, values)])


def _decimals(value: float) -> int:
    text = repr(float(value))
    return 0 if text.endswith(".0") else len(text.partition(".")[2])


def _plain(value: float | None) -> str:
    return NOTHING if value is None else f"{value:g}"


def _memory(each: VariantResult, size: tuple[int, int]) -> str:
    found: Iterable[Memory] = each.cost.memory if each.cost else ()
    memory = next((m for m in found if m.size == size), None)
    if memory is None:
        return "failed" if each.cost_failure else NOTHING
    if memory.peak is None:
        return memory.reason
    return f"{memory.peak / MIB:.{0 if memory.peak >= 100 * MIB else 1}f}"


def _training_cells(each: VariantResult) -> list[str]:
    iterations = sorted({seed.iterations for seed in each.seeds if seed.iterations is not None})
    seconds = [seed.seconds for seed in each.seeds if seed.seconds is not None]
    span = "–".join(str(count) for count in dict.fromkeys((*iterations[:1], *iterations[-1:])))
    return [span or NOTHING, number(median(seconds) if seconds else None, 3)]


def _best(result: AblationResult, dataset: str) -> set[str]:
    """Variants whose mean PSNR prints as the best; none among fewer than two."""
    means = {}
    for each in result.variants:
        found = spread(each.measured(dataset), "psnr")
        if found is not None and found.seeds == result.conditions.seeds:
            means[each.variant.name] = round(found.mean, METRICS["psnr"].digits)
    if len(means) < 2:
        return set()
    top = max(means.values())
    return {name for name, value in means.items() if value == top}
