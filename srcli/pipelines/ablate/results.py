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
"""Fewest digits of printed decibels, where those at hand happen to end on zeros."""


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
            result.seed: result.scores[dataset]
            for result in self.seeds
            if dataset in result.scores
        }

    def means(self, dataset: str, metric: str = "psnr") -> list[float]:
        """Return the mean over the pictures of a set for each training that has it."""
        means = []
        for scores in self.measured(dataset).values():
            pictures = scores["pictures"].values()
            means.append(fmean(values[metric] for values in pictures))
        return means


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
        return next(result for result in self.variants if result.variant.name == name)

    def comparison(self, dataset: str, name: str) -> Mapping[str, Any]:
        """Return what ``judge`` found of a variant on a set."""
        return next(
            comparison
            for comparison in self.comparisons
            if (comparison["set"], comparison["variant"]) == (dataset, name)
        )

    def bicubic(self, dataset: str) -> float | None:
        """Return the mean PSNR of bicubic on a set; None where none was measured."""
        for result in self.variants:
            for scores in result.measured(dataset).values():
                bicubic: float = scores["bicubic"]
                return bicubic
        return None

    @property
    def missing(self) -> int:
        """Number of trainings that are not finished and measured on all sets."""
        sets = set(self.conditions["sets"])
        missing = 0
        for result in self.variants:
            missing += sum(not sets <= seed.scores.keys() for seed in result.seeds)
        return missing

    @property
    def failures(self) -> list[str]:
        """Lines that tell the failures."""
        lines = []
        for result in self.variants:
            name = result.variant.name
            if result.cost_failure:
                lines.append(f"{name}, costs: {result.cost_failure}")
            lines += [
                f"{name}, seed {seed.seed}: {seed.failure}"
                for seed in result.seeds
                if seed.failure
            ]
        return lines


def read_result(out: Path, name: str) -> AblationResult | None:
    """Return the result of an ablation in the folder of all; None if it was not run."""
    file = out / name / RESULT
    try:
        result: AblationResult = convert(
            parse_text(file.read_text("utf-8")), AblationResult, "it"
        )
        list(report(judge([result])))  # it has all that is shown of it
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
    return result


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
    of_base = result.base.measured(dataset)
    of_variant = result.of(name).measured(dataset)
    seeds = [seed for seed in of_base if seed in of_variant]
    if not seeds:
        return None
    pictures = list(of_base[seeds[0]]["pictures"])
    for scores in (of_base, of_variant):
        for seed in seeds:
            pictures = _with_finite_psnr(pictures, scores[seed]["pictures"])
    if not pictures:
        return None
    values = np.empty((len(seeds), len(pictures)))
    for row, seed in zip(values, seeds, strict=True):
        base = of_base[seed]["pictures"]
        variant = of_variant[seed]["pictures"]
        row[:] = [variant[name]["psnr"] - base[name]["psnr"] for name in pictures]
    low, high, p = crossed_interval(values)
    return {
        "mean": float(values.mean()),
        "low": low,
        "high": high,
        "p": p,
        "seeds": len(seeds),
        "pictures": len(pictures),
    }


def _with_finite_psnr(
    pictures: Sequence[str], scores: Mapping[str, Mapping[str, float]]
) -> list[str]:
    return [
        name
        for name in pictures
        if name in scores and math.isfinite(scores[name]["psnr"])
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the order given (Holm 1979).

    One below 0.05 is significant while the chance of any false one among all stays
    below 5 %.
    """
    values = np.array(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return [float(p) for p in adjusted]


def judge(results: Sequence[AblationResult]) -> list[AblationResult]:
    """Compare all variants with their bases, and adjust the p-values for all tests together.

    A test is a printed difference with a sign, of variants with two seeds or more that
    both are trained well above bicubic. ``results`` are everything that one report
    shows.
    """
    comparisons = []
    tests = []
    for result in results:
        of_result = []
        for dataset in sets_of(result):
            of_result += [
                _compare(result, variant, dataset) for variant in result.variants
            ]
        comparisons.append(of_result)
        tests += [test for test in of_result if test["p"] is not None]
    for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p"] = p
        if p < LEVEL:
            same = (test["found"]["mean"] > 0) == (test["printed"] > 0)
            test["verdict"] = "same sign" if same else "opposite sign"
    return [
        replace(result, comparisons=tuple(of_result), tests=len(tests))
        for result, of_result in zip(results, comparisons, strict=True)
    ]


def _compare(
    result: AblationResult, variant: VariantResult, dataset: str
) -> dict[str, Any]:
    """Compare a variant with the base; "undecided" is a test, with its plain p."""
    name = variant.variant.name
    measured = difference(result, name, dataset)
    printed = result.ablation.printed_difference(name, dataset)
    failures = [seed.failure for seed in variant.seeds if seed.failure]
    p = None
    if name == result.ablation.base:
        verdict = "base"
        if failures and len(failures) == len(variant.seeds):
            verdict = "failed"
    elif measured is None:
        verdict = NOTHING
        if failures and not variant.measured(dataset):
            verdict = "failed"
    elif not printed:
        verdict = "none: no sign printed"
    elif measured["seeds"] == 1:  # its interval is over pictures alone
        verdict = "none: one seed"
    elif not (
        _is_trained(result, result.base, dataset)
        and _is_trained(result, variant, dataset)
    ):
        verdict = "none: too near bicubic"
    else:
        verdict = "undecided"
        p = measured["p"]
    return {
        "set": dataset,
        "variant": name,
        "found": measured,
        "printed": printed,
        "verdict": verdict,
        "p": p,
    }


def _is_trained(result: AblationResult, variant: VariantResult, dataset: str) -> bool:
    """Return whether a variant is far enough above our bicubic on a set for a verdict.

    That is ``LEAST_GAIN``, and ``PRINTED_SHARE`` of the gain over it that is printed.
    """
    bicubic = result.bicubic(dataset)
    assert bicubic is not None  # a difference was found
    gain = fmean(variant.means(dataset)) - bicubic
    printed = result.ablation.printed(variant.variant.name, dataset) or bicubic
    return gain >= max(LEAST_GAIN, PRINTED_SHARE * (printed - bicubic))


def sets_of(result: AblationResult) -> list[str]:
    """Return the sets that were measured, then those that only the paper has."""
    sets = list(result.conditions["sets"])
    measured = {name_key(name) for name in sets}
    costs = ("parameters", "gflops", "memory", "training")
    for result_of_variant in result.variants:
        for key in result_of_variant.variant.published:
            name = key.partition(".")[0]
            if (
                name not in costs
                and name not in sets
                and name_key(name) not in measured
            ):
                sets.append(name)
    return sets


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
        "Sets": f"{', '.join(ablation.sets) or NOTHING} (protocol {ablation.protocol})",
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
    if result.conditions["trained"]:
        for dataset in sets_of(result):
            quality += _quality_rows(result, dataset)
            differences += _difference_rows(result, dataset)
    name = result.ablation.name
    return [
        make_table(
            quality,
            ("variant",),
            ("seeds", "PSNR dB", "SSIM", "printed dB"),
            title=f"{name}: quality",
            group="set",
        ),
        make_table(
            differences,
            ("variant",),
            ("to base dB", "printed to base"),
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
    seeds = result.conditions["seeds"]
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
        if name not in complete:
            count += f" of {seeds}"
        cells = (
            name,
            count if dataset in result.conditions["sets"] else None,
            _mean_text(means[name], digits),
            _mean_text(variant.means(dataset, "ssim"), METRICS["ssim"].digits),
            number(result.ablation.printed(name, dataset), printed_digits),
        )
        bold = frozenset({"PSNR dB"} if name in best else ())
        yield Row(cells, dataset, bold)
    bicubic = result.bicubic(dataset)
    if bicubic is not None:
        yield Row(("bicubic", None, number(bicubic, digits), None, None), dataset)


def _difference_rows(result: AblationResult, dataset: str) -> Iterator[Row]:
    """Yield a row for each variant: its difference to the base, measured and printed."""
    digits = METRICS["psnr"].digits
    printed_digits = _printed_digits(result, dataset)
    for variant in result.ablation.variants:
        comparison = result.comparison(dataset, variant.name)
        measured = comparison["found"]
        to_base = None
        if measured:
            ends = ends_text(measured["low"], measured["high"], digits)
            mean = number(measured["mean"], digits, sign=True)
            to_base = f"{mean} {ends}".strip()
        printed = number(comparison["printed"], printed_digits, sign=True)
        yield Row((variant.name, to_base, printed, comparison["verdict"]), dataset)


def _mean_text(means: Sequence[float], digits: int) -> str | None:
    """Return a mean over seeds with the standard deviation."""
    if not means:
        return None
    text = number(fmean(means), digits)
    if len(means) > 1:
        deviation = number(stdev(means), digits)
        if deviation != NOTHING:
            text += f" ± {deviation}"
    return text


def cost_table(result: AblationResult) -> Table:
    """Tabulate parameters, work and peak memory of every variant, beside printed values."""
    variants = result.variants
    columns: dict[str, list[Cell]] = {}

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
        parameters.append(f"{cost['parameters']:,}" if cost else None)
        macs.append(short(cost["macs"]) if cost else None)
        if cost:
            sizes |= dict.fromkeys(cost["memory"])
    add("parameters", parameters, "printed K", "parameters")
    add("MACs", macs, "printed GFLOPs", "gflops")
    for size in sizes:
        peaks: list[Cell] = [_memory(variant, size) for variant in variants]
        add(f"MiB at {size}", peaks, f"printed MB at {size}", f"memory.{size}")
    if result.conditions["trained"]:
        columns["iterations"] = [_iterations(variant) for variant in variants]
    names = [variant.variant.name for variant in variants]
    lines = zip(names, *columns.values(), strict=True)
    title = f"{result.ablation.name}: cost"
    return make_table(lines, ("variant",), columns, title=title)


def _memory(variant: VariantResult, size: str) -> str | None:
    """Return the peak memory in MiB, in three digits or more."""
    peak = variant.cost and variant.cost["memory"][size]
    if peak:
        digits = 0 if peak >= 100 * MIB else 1
        return number(peak / MIB, digits)
    return "failed" if variant.cost_failure else None


def _iterations(variant: VariantResult) -> str | None:
    """Return the iterations of all seeds, or the fewest and the most of them."""
    counts = [seed.iterations for seed in variant.seeds if seed.iterations is not None]
    if not counts:
        return None
    if min(counts) == max(counts):
        return str(counts[0])
    return f"{min(counts)}–{max(counts)}"


def conditions(result: AblationResult) -> list[str]:
    """Return how an ablation was run, in lines that begin with a word and a colon."""
    run = result.conditions
    machine = f"Machine: {run['machine']}"
    if run["processes"] > 1:
        machine += f"; {run['processes']} processes at once"
    lines = []
    if run["overrides"]:
        lines.append(f"All variants with: {', '.join(run['overrides'])}")
    if run["trained"]:
        budget = run["budget"] or "the recipe's"
        if budget.isdigit():
            budget = plural(int(budget), "iteration")
        # no folders: they tell nobody
        names = ", ".join(Path(path).name for path in run["data"])
        missing = ""
        if run["missing"]:
            missing = f"; not at hand: {', '.join(run['missing'])}"
        protocol = PROTOCOLS[result.ablation.protocol]
        lines += [
            f"Budget: {budget} for each variant and seed",
            f"Seeds: {run['seeds']}: each variant has the same batches in the same order",
            f"Trained on: {names}: {run['pictures']} pictures, {run['held_out'] or 'none'} held "
            "out; the last weights are measured",
            f"Measured on: {', '.join(run['sets'])}{missing}; protocol {protocol.name}: "
            f"{protocol.description}",
        ]
        machine += f"; trained in {run['precision']} precision, measured in fp32"
    return [*lines, machine]


def notes(result: AblationResult) -> Iterator[str]:
    """Yield remarks that the tables must be read with, a sentence or two each."""
    recorded = "with" if result.ablation.memory_gradients else "without"
    yield (
        "Parameters and MACs are of the deployed form; MACs are the multiply-accumulates of the "
        "convolutions for an LR picture of 256x256."
    )
    yield (
        "Memory: the most that PyTorch held on a GPU for one forward pass in fp32 beside weights "
        f"and input, at LR height x width, {recorded} gradients recorded; none is told without a "
        "GPU, or where it had too little."
    )
    if result.conditions["trained"]:
        yield from _notes_on_trainings(result)


def _notes_on_trainings(result: AblationResult) -> Iterator[str]:
    """Yield remarks on scores and verdicts."""
    ablation = result.ablation
    seeds = result.conditions["seeds"]
    budget = result.conditions["budget"]
    yield (
        f"To base: mean paired difference in PSNR to {ablation.base}, with its 95 % "
        "interval over seeds and pictures (two-way random effects, Student's t), which is not "
        "corrected for the number of tests."
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
    if any(variant.published for variant in ablation.variants):
        yield (
            "Printed figures are of the paper's full training: verdicts compare the signs of "
            "differences, not the figures. They are on printed differences alone, significant at "
            f"the 5 % level after Holm's correction over the {plural(result.tests, 'test')} of "
            f"this report. There is none where base or variant is within {LEAST_GAIN:g} dB of "
            f"bicubic or below {PRINTED_SHARE:.0%} of the printed gain over it."
        )
    if budget is not None and parse_budget(budget).timed:
        yield (
            "The budget is a time, so that faster variants were trained for more iterations."
        )
    if result.missing:
        yield f"Trainings not yet run, or failed: {result.missing}."
