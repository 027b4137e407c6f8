"""Charts of an ablation: what they draw, and that they are left out where there is nothing."""

from __future__ import annotations

from dataclasses import replace

from srcli.pipelines.ablate import charts
from srcli.pipelines.ablate.statistics import difference


def without_training(written):
    return replace(written, variants=tuple(replace(v, seeds=()) for v in written.variants))


def test_every_difference_has_a_dot_on_its_interval(written, parse):
    tree = parse(charts.differences(written))
    assert len(tree.all("circle")) == len(tree.all("line", "interval")) == 6
    hollow = [node for node in tree.all("circle") if "hollow" in node.attributes["class"]]
    assert len(hollow) == 2  # the one that nothing was changed in, on both sets
    found = difference(written, "small", "Set5")
    assert found is not None
    assert f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" in tree.text
    heads = [head.text for head in tree.all("tr", "group")]
    assert heads == [
        "Set5, 2 seeds, 5 pictures or 3 seeds, 5 pictures",
        "BSD100, 2 seeds, 9 pictures or 3 seeds, 9 pictures",
    ]
    assert charts.differences(without_training(written)) is None


def test_every_training_has_a_curve(written, parse):
    tree = parse(charts.curves(written))
    lines = tree.all("polyline")
    assert len(lines) == 11  # four variants, three seeds, one failed
    assert len([node for node in lines if "again" in node.attributes["class"]]) == 7
    assert [item.text for item in tree.all("li")] == ["small", "middle", "large", "other"]
    (chart,) = tree.all("svg", "curves")
    assert "small, seed 0: 29.500 dB at the end" in chart.attributes["aria-label"]
    assert charts.curves(without_training(written)) is None


def test_curves_take_what_was_validated_on(written, parse):
    variants = tuple(
        replace(
            v, seeds=tuple(replace(s, curves={"held-out": ((5, 30.0), (9, 31.0))}) for s in v.seeds)
        )
        for v in written.variants
    )
    tree = parse(charts.curves(replace(written, variants=variants)))
    assert tree.all("figcaption")[0].text.startswith("held-out: PSNR-Y")


def test_quality_is_drawn_against_size_on_every_set(written, parse):
    tree = parse(charts.scatters(written))
    assert [len(svg.all("circle")) for svg in tree.all("svg", "scatter")] == [4, 4]
    same = tuple(
        replace(v, cost=replace(v.cost, parameters=9) if v.cost else None) for v in written.variants
    )
    assert charts.scatters(replace(written, variants=same)) is None
    assert charts.scatters(without_training(written)) is None
