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
    base = result.base.measured("Set5")[0]
    pictures = {
        name: {"psnr": values["psnr"] - gain, "ssim": 0.8} for name, values in base.pictures.items()
    }
    return replace(result, bicubic={"Set5": replace(base, pictures=pictures)})


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


@pytest.mark.parametrize(
    ("gain", "judged"), [(3.0, True), (0.9, False), (-4.0, False), (None, False)]
)
def test_networks_near_bicubic_are_not_judged(written, gain, judged):
    own = replace(written, bicubic={}) if gain is None else above(written, gain)
    assert (verdicts(own)["small"] == Verdict.SAME) == judged
    assert (verdicts(own)["large"] == Verdict.UNTRAINED) != judged


def test_half_of_the_printed_gain_is_needed(written):
    own = printing(above(written, 3.0), middle=40.0)  # 13 dB above bicubic, of which 3 are there
    assert verdicts(own)["small"] == Verdict.UNTRAINED


def test_trainings_that_two_ablations_share_are_one_test(written):
    other = replace(written, ablation=replace(written.ablation, name="net/again"))
    first, again = judge([written, other])
    assert first.tests == again.tests == 3
    key = "Set5", "small"
    assert not first.comparisons[key].repeated
    assert again.comparisons[key].repeated
    assert first.comparisons[key].verdict == again.comparisons[key].verdict == Verdict.SAME


def test_more_tests_make_it_harder(written):
    (alone,) = judge([written])
    shift = [
        replace(
            each,
            seeds=tuple(
                replace(s, scores={k: replace(v, seconds=9.0) for k, v in s.scores.items()})
                for s in each.seeds
            ),
        )
        for each in written.variants
    ]
    more, _ = judge([written, replace(written, variants=tuple(shift))])
    assert more.tests == 6
    before, after = (each.comparisons["Set5", "small"].p for each in (alone, more))
    assert 1 < (after or 0) / (before or 1) <= 2
