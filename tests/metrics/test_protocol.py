"""Protocols: which plane, which rounding, which border."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.metrics.fidelity import psnr, ssim
from srcli.metrics.protocol import PROTOCOLS


def test_y_compares_luma_that_is_not_rounded(astronaut):
    protocol = PROTOCOLS["y"]
    other = astronaut[::-1].copy()
    planes = []
    for picture in (astronaut, other):
        r, g, b = np.moveaxis(picture.astype(float), 2, 0)
        y = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
        planes.append(y[3:-3, 3:-3])
    np.testing.assert_allclose(protocol.planes(astronaut, 3), planes[0])
    found = protocol.score(astronaut, other, 3)
    assert found == pytest.approx((psnr(*planes), ssim(*planes)))


def test_the_border_is_not_compared(astronaut):
    other = astronaut.copy()
    other[:2], other[-2:], other[:, :2], other[:, -2:] = 0, 0, 0, 0
    score = PROTOCOLS["y"].score(astronaut, other, 2)
    assert score[0] == float("inf")
    assert PROTOCOLS["y"].score(astronaut, other, 1)[0] < 60


def test_gray_pictures_count_as_equal_channels():
    gray = np.full((20, 20, 3), 100, np.uint8)
    y = 16 + 219 * 100 / 255
    np.testing.assert_allclose(PROTOCOLS["y"].planes(gray, 1), np.full((18, 18), y))


def test_other_dtypes_and_small_pictures_are_refused(astronaut):
    with pytest.raises(ValueError, match="uint8"):
        PROTOCOLS["y"].planes(astronaut / 255, 2)
    with pytest.raises(ValueError, match="nothing is left"):
        PROTOCOLS["y"].planes(astronaut[:4], 2)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_names_and_describes_itself(name, astronaut):
    protocol = PROTOCOLS[name]
    assert protocol.name == name
    assert protocol.description
    assert protocol.channel in {"y", "rgb"}
    fidelity, similarity = protocol.score(astronaut, astronaut, 2)
    assert fidelity == float("inf")
    assert similarity == pytest.approx(1)
