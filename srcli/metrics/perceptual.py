"""LPIPS and DISTS by the library piq, from weights in the user's cache; nothing is downloaded."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from srcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WEIGHTS = {
    "lpips": ("vgg16-397923af.pth", "lpips_weights.pt"),
    "dists": ("vgg16-397923af.pth", "dists_weights.pt"),
}
"""Files that piq reads, in PyTorch's cache folder."""


def require_perceptual(names: Iterable[str]) -> None:
    """Refuse metrics whose library or weights are missing.

    Args:
        names: Keys of ``WEIGHTS``.

    Raises:
        UsageError: With what is missing, and where it belongs.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in names:
        if find_spec("piq") is None:
            raise UsageError(f"--metrics {name}: needs the library piq; pip install piq")
        missing = [file for file in WEIGHTS[name] if not (folder / file).is_file()]
        if missing:
            raise UsageError(
                f"--metrics {name}: put {' and '.join(missing)} into {folder}; docs/data.md says "
                "where they come from"
            )


def perceptual_distance(name: str, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    """Return LPIPS or DISTS; 0 for equal pictures.

    Args:
        name: A key of ``WEIGHTS``; :func:`require_perceptual` was called.
        sr: (H, W, 3) uint8.
        hr: Same shape.
    """
    tensors = (torch.from_numpy(np.ascontiguousarray(each)) for each in (sr, hr))
    first, second = (each.permute(2, 0, 1)[None].float() / 255 for each in tensors)
    with torch.inference_mode():
        return float(_measure(name)(first, second))


@cache
def _measure(name: str) -> Any:  # noqa: ANN401 - a module of a library without types
    import piq

    return {"lpips": piq.LPIPS, "dists": piq.DISTS}[name]().eval()
