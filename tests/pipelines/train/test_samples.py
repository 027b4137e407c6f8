"""Samples of a training: the same crops each time, few files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from srcli.data.pairs import make_pairs
from srcli.pipelines.train.samples import CROP, GAP, MOST, Samples


@pytest.fixture
def samples(tmp_path, astronaut):
    pairs = make_pairs([astronaut, astronaut[:40, :50], astronaut[::-1], astronaut[:, ::-1]], 2)
    samples = Samples(tmp_path / "samples", pairs, 2)
    assert [*samples.windows] == [0, 2]  # spread over the set
    samples.latest = {0: pairs.hr[0][samples.windows[0]], 2: pairs.hr[2][samples.windows[2]]}
    return samples


def test_a_strip_holds_the_crops_side_by_side(samples):
    samples.save(7)
    assert sorted(file.name for file in samples.folder.iterdir()) == [
        "00000007.png",
        "bicubic.png",
        "hr.png",
    ]
    made, hr, bicubic = (
        np.asarray(Image.open(samples.folder / f"{name}.png"))
        for name in ("00000007", "hr", "bicubic")
    )
    assert made.shape == (CROP, 2 * CROP + GAP, 4)
    assert np.array_equal(made, hr)
    assert not np.array_equal(bicubic, hr)
    assert not made[:, CROP : CROP + GAP].any()  # transparent
    assert np.array_equal(made[:, CROP + GAP :, :3], samples.latest[2])


def test_few_iterations_are_kept_the_first_and_the_last_among_them(samples):
    for iteration in range(1, 200):
        samples.save(iteration)
    kept = samples.iterations()
    assert len(kept) == MOST
    assert (kept[0], kept[-1]) == (1, 199)
    assert max(np.divide(kept[1:], kept[:-1])) < 4  # even on a logarithmic axis
    samples.rewind(kept[3])
    assert samples.iterations() == kept[:4]
