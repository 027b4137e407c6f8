"""Continue an axis by its mirror image, the outermost sample repeated (numpy's ``symmetric``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mirrored(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return where samples stand that lie anywhere on an axis without end.

    Args:
        positions: From 0 to ``length`` - 1 on the axis itself; below and above beyond its ends.
        length: Samples of the axis, at least 1; mirrored as often as it takes.

    Returns:
        Positions from 0 to ``length`` - 1, of the shape of ``positions``.
    """
    turned: NDArray[np.int64] = np.mod(positions, 2 * length)
    return np.where(turned < length, turned, 2 * length - 1 - turned)
