"""Verdicts: on printed signs alone, of trained networks, corrected for the number of tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from srcli.pipelines.ablate.verdicts import Verdict, judge


def verdicts(result, dataset="Set5"):
    (judged,) = judge([result])
    return {name: own.verdict for (of, name), own in judged.comparisons.items() if of == dataset}


def printing(result, **printed):
    """The same with other printed figures on Set5; None for none."""
    variants = []
    for each in result.variants:
        value = printed.get(each.variant.name, each.variant.published.get("Set5.psnr"))
        figures = {"Set5.psnr": value} if value is not None else {}
        variants.append(replace(each, variant=replace(each.variant, published=figures)))
    own = replace(result.ablation, variants=tuple(each.variant for each in variants))
    return replace(result, ablation=own, variants=tuple(variants))


def above(result, gain):
    """The same with a bicubic so many decibels below the base on Set5."""
    level = result.base.measured("Set5")[0].mean("psnr") - gain

    def lower(each):
        scores = {name: replace(own, bicubic=level) for name, own in each.scores.items()}
        return replace(each, scores=scores)

    variants = tuple(replace(v, seeds=tuple(map(lower, v.seeds))) for v in result.variants)
    return replace(result, variants=variants)


def test_signs_are_compared_with_the_printed_ones(written):
    assert verdicts(written) == {
        "small": Verdict.SAME,
        "middle": Verdict.BASE,
        "large": Verdict.OPPOSITE,
        "other": Verdict.UNDECIDED,
    }
    (judged,) = judge([written])
    assert judged.tests == 3
    plain = [each.found.p for each in judged.comparisons.values() if each.found and each.p]
    adjusted = [each.p for each in judged.comparisons.values() if each.p]
    assert min(adjusted) == pytest.approx(3 * min(plain))


@pytest.mark.parametrize("printed", [None, 30.62])
def test_nothing_is_said_where_no_sign_was_printed(written, printed):
    own = printing(written, small=printed)
    assert verdicts(own)["small"] == Verdict.UNPRINTED
    assert judge([own])[0].tests == 2


@pytest.mark.parametrize(("gain", "judged"), [(3.0, True), (0.9, False), (-4.0, False)])
def test_networks_near_bicubic_are_not_judged(written, gain, judged):
    own = above(written, gain)
    assert (verdicts(own)["small"] == Verdict.SAME) == judged
    assert (verdicts(own)["large"] == Verdict.UNTRAINED) != judged


def test_half_of_the_printed_gain_is_needed(written):
    own = printing(above(written, 3.0), middle=40.0)  # 13 dB above bicubic, of which 3 are there
    assert verdicts(own)["small"] == Verdict.UNTRAINED


def test_more_tests_make_it_harder(written):
    (alone,), (more, _) = judge([written]), judge([written, written])
    assert (alone.tests, more.tests) == (3, 6)
    before, after = (each.comparisons["Set5", "small"].p for each in (alone, more))
    assert (after or 0) == pytest.approx(2 * (before or 1))
