"""An axis continued by its mirror image: as numpy's symmetric padding, however far."""

from __future__ import annotations

import numpy as np
import pytest

from srcli.imaging.mirroring import mirrored


@pytest.mark.parametrize("length", [1, 2, 3, 17])
@pytest.mark.parametrize("beyond", [0, 1, 4, 40])
def test_positions_are_those_of_symmetric_padding(length, beyond):
    positions = np.arange(-beyond, length + beyond)
    expected = np.pad(np.arange(length), beyond, mode="symmetric")
    np.testing.assert_array_equal(mirrored(positions, length), expected)


def test_the_shape_is_kept():
    positions = np.array([[-1, 0], [4, 5]])
    np.testing.assert_array_equal(mirrored(positions, 5), [[0, 0], [4, 4]])
