"""Results of ablations, the files that keep them, verdicts on what was printed, and tables.

Variants are compared with their base in pairs, by seed and picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from srcli.errors import DataError, RecipeError
from srcli.evaluation.scores import METRICS, crossed_interval
from srcli.files import parse_text
from srcli.metrics.fidelity import PROTOCOLS
from srcli.recipes.ablations import Ablation, Variant, changes_text
from srcli.recipes.fields import convert
from srcli.recipes.published import name_key
from srcli.report.table import (
    NOTHING,
    Cell,
    Row,
    Table,
    best_of,
    decimals,
    ends_text,
    make_table,
    number,
    plural,
    short,
)
from srcli.training.budget import parse_budget

RESULT = "ablation.json"
"""File of a result in the folder of its ablation."""
LEVEL = 0.05
"""Chance of any false verdict among all tests of a report."""
LEAST_GAIN = 1.0
"""Decibels above bicubic below which a network is too little trained to judge."""
PRINTED_SHARE = 0.5
"""Share of the printed gain over bicubic below which a network is too little trained to
judge."""

MIB = 2**20
LEAST_DIGITS = 2
"""Of printed decibels, where those at hand happen to end on zeros."""


@dataclass(kw_only=True)
class SeedResult:
    """One training of a variant with its scores; filled in while it is run."""

    seed: int
    iterations: int | None = None
    """None where it has not been trained to the end."""
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By set: ``pictures``, each with its ``psnr`` and ``ssim``; mean PSNR of their
    ``bicubic`` interpolation in dB; ``key``, a digest of the protocol and of their
    places and times."""
    failure: str = ""
    """Reason why the training or the evaluation failed, if it did."""


@dataclass(kw_only=True)
class VariantResult:
    """Cost and trainings of one variant; filled in while it is run."""

    variant: Variant
    cost: Mapping[str, Any] | None = None
    """``parameters`` and ``macs`` of the deployed form, multiply-accumulates of the
    convolutions for an LR picture of 256x256; ``memory``: the peak of one forward pass
    in bytes, by LR ``HEIGHTxWIDTH``, None where there is too little or the device keeps
    no account."""
    cost_failure: str = ""
    seeds: tuple[SeedResult, ...] = ()

    def measured(self, dataset: str) -> dict[int, Mapping[str, Any]]:
        """Return the scores on a set by seed, of the trainings that have them."""
        return {
            each.seed: each.scores[dataset]
            for each in self.seeds
            if dataset in each.scores
        }

    def means(self, dataset: str, metric: str = "psnr") -> list[float]:
        """Return the mean over the pictures of a set for each training that has it."""
        scores = self.measured(dataset).values()
        return [
            fmean(own[metric] for own in each["pictures"].values()) for each in scores
        ]


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """One ablation under one set of conditions; compared by ``judge``."""

    ablation: Ablation
    conditions: Mapping[str, Any]
    """What all variants share. Whether they were ``trained``; ``budget`` (None: the
    recipes'), ``seeds``, ``overrides``, ``precision`` of the trainings; ``data`` as
    given, the numbers of ``pictures`` and of those ``held_out``, ``data_digest`` of
    names and sizes; ``sets`` to measure on and those ``missing``; ``device``,
    ``machine`` in words, ``processes`` at once."""
    variants: tuple[VariantResult, ...]
    """In the order of the ablation."""
    comparisons: tuple[Mapping[str, Any], ...] = ()
    """By ``set`` and ``variant``: what was ``found`` (``difference``), the ``printed``
    difference in dB, None if there is none, the ``verdict``, and ``p`` adjusted for all
    tests of the report, None where there is no test."""
    tests: int = 0
    """Tests of the whole report, which p-values are adjusted for."""

    @property
    def base(self) -> VariantResult:
        """The variant that the others are compared with."""
        return self.of(self.ablation.base)

    def of(self, name: str) -> VariantResult:
        """Return the result of a variant by its name."""
        return next(each for each in self.variants if each.variant.name == name)

    def comparison(self, dataset: str, name: str) -> Mapping[str, Any]:
        """Return what ``judge`` found of a variant on a set."""
        wanted = dataset, name
        return next(
            own for own in self.comparisons if (own["set"], own["variant"]) == wanted
        )

    def bicubic(self, dataset: str) -> float | None:
        """Return the mean PSNR of bicubic interpolation on a set; None where none was measured."""
        scores = (
            own for each in self.variants for own in each.measured(dataset).values()
        )
        return next((own["bicubic"] for own in scores), None)

    @property
    def missing(self) -> int:
        """Number of trainings that are not finished and measured on all sets, or have failed."""
        sets = set(self.conditions["sets"])
        return sum(
            not sets <= own.scores.keys()
            for each in self.variants
            for own in each.seeds
        )

    @property
    def failures(self) -> list[str]:
        """A line for each failure."""
        return [
            f"{each.variant.name}, {what}: {why}"
            for each in self.variants
            for what, why in [
                ("costs", each.cost_failure),
                *((f"seed {own.seed}", own.failure) for own in each.seeds),
            ]
            if why
        ]


def read_result(out: Path, name: str) -> AblationResult | None:
    """Return the result of an ablation in the folder of all; None if it was not run."""
    file = out / name / RESULT
    try:
        found: AblationResult = convert(
            parse_text(file.read_text("utf-8")), AblationResult, "it"
        )
        list(report(judge([found])))  # it has all that is shown of it
    except FileNotFoundError:
        return None
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecipeError,
    ) as error:
        raise DataError(
            f"{file}: not a result of this version of srx ({error}); "
            "remove it: what is trained stays, and is measured again"
        ) from error
    return found


def stored_names(out: Path) -> list[str]:
    """Return the names of all ablations with a result in the folder."""
    files = (*out.glob(f"*/{RESULT}"), *out.glob(f"*/*/{RESULT}"))
    return sorted(file.parent.relative_to(out).as_posix() for file in files)


def difference(
    result: AblationResult, name: str, dataset: str
) -> dict[str, Any] | None:
    """Return the paired difference in PSNR, in dB, of a variant to the base on a set.

    It is ``mean``, ``low`` and ``high`` end of its 95 % interval and the two-sided
    ``p`` of no difference, NaN where there are none, and the numbers of ``seeds`` and
    ``pictures`` that both have. None for the base, and where both share no training and
    picture.
    """
    if name == result.ablation.base:
        return None
    base, other = result.base.measured(dataset), result.of(name).measured(dataset)
    pairs = [
        (base[seed]["pictures"], other[seed]["pictures"])
        for seed in base
        if seed in other
    ]
    pictures = [
        picture
        for picture in (pairs[0][0] if pairs else ())
        if all(
            picture in t and math.isfinite(t[picture]["psnr"])
            for pair in pairs
            for t in pair
        )
    ]
    if not pictures:
        return None
    values = np.array(
        [[b[p]["psnr"] - a[p]["psnr"] for p in pictures] for a, b in pairs]
    )
    low, high, p = crossed_interval(values)
    ends = {"mean": float(values.mean()), "low": low, "high": high, "p": p}
    return {**ends, "seeds": len(pairs), "pictures": len(pictures)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm 1979).

    One below 0.05 is significant while the chance of any false one among all stays
    below 5 %.
    """
    values = np.array(p_values, dtype=np.float64)
    order, adjusted = np.argsort(values, kind="stable"), np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(p) for p in adjusted]


def judge(results: Sequence[AblationResult]) -> list[AblationResult]:
    """Compare all variants with their bases, and adjust the p-values for all tests together.

    A test is a printed difference with a sign, of variants with two seeds or more that
    both are trained well above bicubic. ``results`` are everything that one report
    shows.
    """
    compared = [
        [
            _compare(result, each, dataset)
            for dataset in sets_of(result)
            for each in result.variants
        ]
        for result in results
    ]
    tests = [each for own in compared for each in own if each["p"] is not None]
    for each, p in zip(tests, holm([each["p"] for each in tests]), strict=True):
        each["p"] = p
        if p < LEVEL:
            same = (each["found"]["mean"] > 0) == (each["printed"] > 0)
            each["verdict"] = "same sign" if same else "opposite sign"
    pairs = zip(results, compared, strict=True)
    return [
        replace(result, comparisons=tuple(own), tests=len(tests))
        for result, own in pairs
    ]


def _compare(
    result: AblationResult, each: VariantResult, dataset: str
) -> dict[str, Any]:
    """Compare a variant with the base; "undecided" is a test, with its plain p."""
    name = each.variant.name
    found = difference(result, name, dataset)
    printed = result.ablation.printed_difference(name, dataset)
    failed = [seed.failure for seed in each.seeds if seed.failure]
    p = None
    if name == result.ablation.base:
        verdict = "failed" if failed and len(failed) == len(each.seeds) else "base"
    elif found is None:
        verdict = "failed" if failed and not each.measured(dataset) else NOTHING
    elif not printed:
        verdict = "none: no sign printed"
    elif found["seeds"] == 1:  # its interval is over pictures alone
        verdict = "none: one seed"
    elif not all(_is_trained(result, own, dataset) for own in (result.base, each)):
        verdict = "none: too near bicubic"
    else:
        verdict, p = "undecided", found["p"]
    own = {"found": found, "printed": printed, "verdict": verdict, "p": p}
    return {"set": dataset, "variant": name, **own}


def _is_trained(result: AblationResult, each: VariantResult, dataset: str) -> bool:
    """Return whether a variant is far enough above our bicubic on a set for a verdict.

    That is ``LEAST_GAIN``, and ``PRINTED_SHARE`` of the gain over it that is printed.
    """
    level = result.bicubic(dataset)
    assert level is not None  # a difference was found
    printed = result.ablation.printed(each.variant.name, dataset) or level
    return fmean(each.means(dataset)) - level >= max(
        LEAST_GAIN, PRINTED_SHARE * (printed - level)
    )


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    measured = list(result.conditions["sets"])
    known = {name_key(name) for name in measured}
    keys = [
        key.split(".") for each in result.variants for key in each.variant.published
    ]
    costs = ("parameters", "gflops", "memory", "training")
    printed = dict.fromkeys(name for name, *_ in keys if name not in costs)
    return measured + [name for name in printed if name_key(name) not in known]


def definition(ablation: Ablation) -> Iterator[Table | str]:
    """Yield the question of an ablation, its variants as changes of a recipe, and its origin."""
    rows = []
    for each in ablation.variants:
        name = each.name + " (base)" * (each.name == ablation.base)
        rows.append((name, each.sentence, ", ".join(changes_text(each.changes))))
    labels = ("variant", "what it is", "changes")
    yield make_table(rows, labels, title=f"{ablation.name}: {ablation.question}")
    sizes = ", ".join(f"{height}x{width}" for height, width in ablation.memory_sizes)
    gradients = "with" if ablation.memory_gradients else "without"
    about = {
        "Source": ablation.source or "our own",
        "Recipe": f"{ablation.recipe}, x{ablation.scale}",
        "All variants change": ", ".join(changes_text(ablation.changes)),
        "Sets": f"{', '.join(ablation.sets) or NOTHING} (protocol {ablation.protocol})",
        "Memory": sizes and f"of LR inputs of {sizes}, {gradients} gradients recorded",
        "Note": ablation.note,
    }
    yield from (f"{word}: {text}" for word, text in about.items() if text)
    yield from (f"{each.name}: {each.note}." for each in ablation.variants if each.note)


def published_table(ablation: Ablation) -> Table:
    """Return the printed figures by variant; variants go along the side that has more lines."""
    lines = [["printed", *(each.name for each in ablation.variants)]]
    for key in dict.fromkeys(
        key for each in ablation.variants for key in each.published
    ):
        values = [each.published.get(key) for each in ablation.variants]
        digits = decimals(
            value for value in values if value is not None
        )  # of the longest one
        sign = key.endswith(".difference")
        lines.append([key, *(number(value, digits, sign=sign) for value in values)])
    (label, *others), *rows = (
        zip(*lines, strict=True) if len(lines[0]) > len(lines) else lines
    )
    rows = rows if len(lines) > 1 else []
    return make_table(rows, (label,), others, title=f"{ablation.name}: published")


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

    Bicubic stands below each set. Sets of the paper that were not measured have what
    was printed alone; without any training there are no rows.
    """
    digits, wanted = METRICS["psnr"].digits, result.conditions["seeds"]
    ablation, quality, differences = result.ablation, list[Row](), list[Row]()
    for dataset in sets_of(result) if result.conditions["trained"] else ():
        means = {each.variant.name: each.means(dataset) for each in result.variants}
        complete = {
            name: fmean(own) for name, own in means.items() if len(own) == wanted
        }
        best = best_of(complete, digits)
        # Printed figures have the digits of the longest one of their set.
        kinds = ("psnr", "psnr.difference")
        printed = [
            ablation.printed(name, dataset, kind) for name in means for kind in kinds
        ]
        longest = decimals(
            (value for value in printed if value is not None), LEAST_DIGITS
        )
        for each in result.variants:
            name, done = each.variant.name, len(means[each.variant.name])
            count = str(done) if done == wanted else f"{done} of {wanted}"
            scores = (
                count if dataset in result.conditions["sets"] else None,
                _mean_text(means[name], digits),
                _mean_text(each.means(dataset, "ssim"), METRICS["ssim"].digits),
                number(ablation.printed(name, dataset), longest),
            )
            bold = frozenset({"PSNR dB"} if name in best else ())
            quality.append(Row((name, *scores), dataset, bold))
            own, to_base = result.comparison(dataset, name), None
            if found := own["found"]:
                ends = ends_text(found["low"], found["high"], digits)
                to_base = f"{number(found['mean'], digits, sign=True)} {ends}".strip()
            printed_to_base = number(own["printed"], longest, sign=True)
            differences.append(
                Row((name, to_base, printed_to_base, own["verdict"]), dataset)
            )
        if (level := result.bicubic(dataset)) is not None:
            quality.append(
                Row(("bicubic", None, number(level, digits), None, None), dataset)
            )
    measured, compared = (
        ("seeds", "PSNR dB", "SSIM", "printed dB"),
        ("to base dB", "printed to base"),
    )
    about = f"{ablation.name}: difference to {ablation.base}"
    return [
        make_table(
            quality,
            ("variant",),
            measured,
            title=f"{ablation.name}: quality",
            group="set",
        ),
        make_table(
            differences, ("variant",), compared, ("verdict",), title=about, group="set"
        ),
    ]


def _mean_text(means: Sequence[float], digits: int) -> str | None:
    """Return a mean over seeds with the standard deviation."""
    if not means:
        return None
    deviation = number(stdev(means), digits) if len(means) > 1 else NOTHING
    return number(fmean(means), digits) + (
        "" if deviation == NOTHING else f" ± {deviation}"
    )


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
    add(
        "MACs",
        [short(own["macs"]) if own else None for own in costs],
        "printed GFLOPs",
        "gflops",
    )
    for size in dict.fromkeys(size for own in costs for size in own.get("memory", ())):
        peaks: list[Cell] = [_memory(each, size) for each in variants]
        add(f"MiB at {size}", peaks, f"printed MB at {size}", f"memory.{size}")
    if result.conditions["trained"]:
        columns["iterations"] = [_iterations(each) for each in variants]
    lines = zip(
        (each.variant.name for each in variants), *columns.values(), strict=True
    )
    return make_table(
        lines, ("variant",), columns, title=f"{result.ablation.name}: cost"
    )


def _memory(each: VariantResult, size: str) -> str | None:
    if peak := each.cost and each.cost["memory"][size]:
        return f"{peak / MIB:.{0 if peak >= 100 * MIB else 1}f}"
    return "failed" if each.cost_failure else None


def _iterations(each: VariantResult) -> str | None:
    counts = {seed.iterations for seed in each.seeds if seed.iterations is not None}
    return "–".join(map(str, sorted({min(counts), max(counts)}))) if counts else None


def conditions(result: AblationResult) -> list[str]:
    """Return how an ablation was run, in lines that begin with a word and a colon."""
    own, protocol = result.conditions, PROTOCOLS[result.ablation.protocol]
    machine = f"Machine: {own['machine']}"
    if own["processes"] > 1:
        machine += f"; {own['processes']} processes at once"
    lines = (
        [f"All variants with: {', '.join(own['overrides'])}"]
        if own["overrides"]
        else []
    )
    if own["trained"]:
        budget = own["budget"] or "the recipe's"
        budget = plural(int(budget), "iteration") if budget.isdigit() else budget
        names = ", ".join(
            Path(each).name for each in own["data"]
        )  # no folders: they tell nobody
        missing = (
            f"; not at hand: {', '.join(own['missing'])}" if own["missing"] else ""
        )
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
    recorded = "with" if ablation.memory_gradients else "without"
    timed = own["budget"] is not None and parse_budget(own["budget"]).timed
    of_costs = [
        "Parameters and MACs are of the deployed form; MACs are the multiply-accumulates of the "
        "convolutions for an LR picture of 256x256.",
        "Memory: the most that PyTorch held on a GPU for one forward pass in fp32 beside weights "
        f"and input, at LR height x width, {recorded} gradients recorded; none is told without a "
        "GPU, or where it had too little.",
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
    return of_costs + [
        text for text, told in of_trainings.items() if told and own["trained"]
    ]
