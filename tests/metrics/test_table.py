"""The table of metrics: what it promises of sizes, and that asking it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from srcli.metrics.registry import METRICS


@pytest.mark.parametrize(
    "name", [name for name in METRICS if METRICS[name].minimum > 1]
)
def test_a_metric_takes_pictures_from_its_minimum_on(name):
    metric = METRICS[name]
    picture = np.random.default_rng(0).uniform(0, 255, (metric.minimum, metric.minimum))
    assert metric.measure(picture, picture[::-1]) >= -1
    with pytest.raises(ValueError, match=f"{metric.minimum}x{metric.minimum}"):
        metric.measure(picture[1:], picture[1:])


def test_the_table_imports_nothing_that_computes():
    code = "import sys, srcli.metrics.registry; print({'numpy', 'torch'} & sys.modules.keys())"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert shown == "set()\n"


def test_a_legend_says_which_way_is_better_where_that_is_down():
    assert METRICS["lpips"].legend.endswith("VGG-16; lower is better")
    assert METRICS["psnr"].legend == METRICS["psnr"].meaning
