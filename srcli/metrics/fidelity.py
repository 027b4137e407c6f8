"""PSNR and SSIM as the MATLAB scripts of the SR literature compute them, under named protocols.

A protocol says which channel is compared, how it is rounded, and what a gray picture
is. LPIPS and DISTS come from the library piq, with weights in the user's cache; nothing
is downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from srcli.errors import UsageError
from srcli.imaging.pixels import values
from srcli.imaging.pixels.arrays import Array
from srcli.imaging.pixels.resize import to_dtype

PEAK = 255.0
"""The largest possible value."""
WINDOW = 11
"""Edge of SSIM's window in pixels."""


def psnr(a: Array, b: Array) -> float:
    """Return the PSNR in dB over all pixels and channels in 0..255; infinite for equal ones."""
    _require_one_shape(a, b)
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    if error == 0:
        return math.inf
    return 10 * math.log10(PEAK * PEAK / error)


class SplitPsnr(NamedTuple):
    """PSNR in dB of the low and of the high frequencies."""

    low: float
    high: float


def split_psnr(a: Array, b: Array) -> SplitPsnr:
    """Return the PSNR in dB of the low and of the high frequencies of two pictures.

    Low is what a Gaussian of 9x9 pixels and sigma 1.5 leaves, high is the rest, both on
    the scale of the pictures (the split of G-IDRN's loss; its paper shows high
    frequencies stretched).
    """
    from scipy.ndimage import gaussian_filter

    _require_one_shape(a, b)
    error = a.astype(np.float64) - b.astype(np.float64)
    # The filter is linear: parts of the difference are differences of the parts.
    low = gaussian_filter(error, 1.5, radius=4, axes=(0, 1), mode="mirror")
    zero = np.zeros_like(error)
    return SplitPsnr(psnr(low, zero), psnr(error - low, zero))


def ssim(a: Array, b: Array) -> float:
    """Return the structural similarity of Wang's ``ssim_index`` (Wang et al. 2004).

    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, valid area only, no
    downsampling; the mean over channels of (H, W) or (H, W, C) in 0..255. ValueError
    for less than 11x11 pixels.
    """
    _require_one_shape(a, b)
    if min(a.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs 11x11 pixels, got {a.shape[1]}x{a.shape[0]}")
    from skimage.metrics import structural_similarity

    mean: float = structural_similarity(  # type: ignore[no-untyped-call]
        a.astype(np.float64),
        b.astype(np.float64),
        data_range=PEAK,
        gaussian_weights=True,
        use_sample_covariance=False,
        channel_axis=2 if a.ndim == 3 else None,
    )
    return float(mean)


def _require_one_shape(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"pictures differ in shape: {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError("empty pictures have no quality")


@dataclass(frozen=True)
class EvaluationProtocol:
    """Rules for comparing two pictures of 8 or 16 bits."""

    name: str
    description: str
    channel: str
    """``y``, ``rgb``, or ``luma`` for pictures that hold Y in all channels."""
    round_luma: bool = False
    """Round Y to the bits of the pictures before comparing."""
    gray_as_luma: bool = False
    """Compare gray pictures by their own values, not as R = G = B by a Y of 16..235."""

    def planes(
        self, picture: Array, shave: int, *, gray: bool = False, luma: bool = False
    ) -> Array:
        """Return the compared channels of a picture (H, W, 3) without its border.

        The picture has 8 or 16 bits. The channels are (H, W) or, under ``rgb`` unless
        ``luma`` is asked for, (H, W, 3), float64 in 0..255. ``gray`` is True if the HR file has
        one channel. ValueError if nothing is left.
        """
        if picture.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"protocols compare uint8 and uint16 pictures, got {picture.dtype}"
            )
        if min(picture.shape[:2]) <= 2 * shave:
            raise ValueError(f"nothing is left after shaving {shave} pixels")
        area = picture[
            shave : picture.shape[0] - shave, shave : picture.shape[1] - shave
        ]
        level = np.iinfo(picture.dtype).max / PEAK  # 1, or 257 for 16 bits
        if self.channel == "rgb" and not luma:
            return area / level
        if self.channel == "luma":
            # floats as of other protocols: differences of bytes would wrap around
            return area[..., 0].astype(np.float64)
        gray_luma = gray and self.gray_as_luma
        y: Array = (
            area @ np.array(values.GRAY_SHARES) / level
            if gray_luma
            else values.luma(area)
        )
        if self.round_luma:
            y = to_dtype(y * level, picture.dtype) / level
        return y

    def psnr(self, sr: Array, hr: Array, shave: int) -> float:
        """Return the PSNR in dB of (H, W, 3) of one shape, uint8 or uint16."""
        return psnr(self.planes(sr, shave), self.planes(hr, shave))

    def score(self, sr: Array, hr: Array, shave: int) -> tuple[float, float]:
        """Return PSNR in dB and SSIM of (H, W, 3) of one shape, uint8 or uint16."""
        sr_planes = self.planes(sr, shave)
        hr_planes = self.planes(hr, shave)
        return psnr(sr_planes, hr_planes), ssim(sr_planes, hr_planes)


PROTOCOLS = {
    "y": EvaluationProtocol("y", "BT.601 Y not rounded, gray as R=G=B", "y"),
    "y-classic": EvaluationProtocol(
        "y-classic",
        "BT.601 Y rounded, gray taken as luma (tables of 2014-2017)",
        "y",
        round_luma=True,
        gray_as_luma=True,
    ),
    "rgb": EvaluationProtocol("rgb", "MSE and SSIM over R, G and B", "rgb"),
}
"""By name; tables since about 2018 print ``y``."""

LUMA_FLOAT = EvaluationProtocol(
    "luma-float", "rounded BT.601 Y alone, gray taken as luma", "luma"
)
"""Protocol of the chain that published rows of bicubic were computed with."""

WEIGHTS = {
    "lpips": ("vgg16-397923af.pth", "lpips_weights.pt"),
    "dists": ("vgg16-397923af.pth", "dists_weights.pt"),
}
"""Files that piq reads, in PyTorch's cache folder."""


def require_perceptual(names: Iterable[str]) -> None:
    """Refuse metrics (keys of ``WEIGHTS``) whose library or weights are missing."""
    for name in names:
        if find_spec("piq") is None:
            raise UsageError(
                f"--metrics {name}: needs the library piq; pip install piq"
            )
        import torch

        folder = Path(torch.hub.get_dir()) / "checkpoints"
        missing = [file for file in WEIGHTS[name] if not (folder / file).is_file()]
        if missing:
            raise UsageError(
                f"--metrics {name}: put {' and '.join(missing)} into {folder}; "
                "docs/reference/data.md says where they come from"
            )


def perceptual_distance(name: str, sr: Array, hr: Array) -> float:
    """Return LPIPS or DISTS of two pictures (H, W, 3) of 8 or 16 bits; 0 for equal ones."""
    import torch

    tensors = []
    for picture in (sr, hr):
        scaled = picture.astype(np.float32) / np.iinfo(picture.dtype).max
        tensors.append(torch.from_numpy(scaled).permute(2, 0, 1)[None])
    with torch.inference_mode():
        return float(_perceptual_measure(name)(*tensors))


@cache
def _perceptual_measure(name: str) -> Any:  # noqa: ANN401 - a module of a library without types
    import piq

    return {"lpips": piq.LPIPS, "dists": piq.DISTS}[name]().eval()
