"""Tiles as parts of their picture: statistics of global pools, places of stretched maps.

A network that pools globally gets other statistics from a tile than from the picture.
Its pools record them on a sample of the picture (``record_calibration``) and hold them
for every tile (``as_parts_of_pictures``), each by the name of its module, as observers
of quantisation do.

A layer that makes one value of every so many pixels and resizes them to the size of its
input does so by a factor that depends on that size: a tile would be stretched otherwise
than the picture that it is of. While it holds where the tile lies, ``StretchedMap``
stretches it as its part of the picture. Positions are (N, 4) integers in pixels: top
and left of each tile of a batch, height and width of its picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.network import full_precision, is_traced, widened

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

Mode = Literal["bilinear", "nearest"]
PoolKind = Literal["mean", "maximum", "contrast"]
Kind = TypeVar("Kind", bound=nn.Module)
MARGIN = 4
"""Outermost pixels of windows left out of mean and variance: padding by zeros spoils
features there. A maximum counts them: around a whole picture it often lies there,
too."""
STRIP = 1 << 18
"""Values of a picture's map that are widened at once."""


class GlobalPool(nn.Module):
    """Pool every channel over the input, or give what is held of a larger picture.

    A new kind needs a branch in ``forward`` and one in ``_record``.
    """

    held: Tensor | None

    def __init__(self, kind: PoolKind) -> None:
        super().__init__()
        self.kind = kind
        self.recording = False
        self.register_buffer("held", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (N, C, H, W) to (N, C, 1, 1); what is held has one row for all."""
        if self.recording:
            self.held = self._record(x)
        if self.held is not None:
            return self.held.to(x.dtype)
        if self.kind == "mean":
            return x.mean(dim=(2, 3), keepdim=True)
        if self.kind == "maximum":
            return x.amax(dim=(2, 3), keepdim=True)
        return contrast(x)

    def _record(self, x: Tensor) -> Tensor:
        # Wide sums, so that the number of threads decides nothing; MPS has none.
        wide = torch.float32 if x.device.type == "mps" else torch.float64
        if self.kind == "maximum":
            return x.amax(dim=(0, 2, 3), keepdim=True).float()
        if min(x.shape[2:]) > 2 * MARGIN:
            x = x[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
        exact = x.to(wide)
        mean = exact.mean(dim=(0, 2, 3), keepdim=True)
        if self.kind == "mean":
            return mean.float()
        variance = (exact - mean).square_().mean(dim=(0, 2, 3), keepdim=True)
        return (variance.float() + 1e-6).sqrt() + mean.float()


def contrast(features: Tensor) -> Tensor:
    """Return deviation plus mean of every channel, (N, C, 1, 1) (IMDN 2019).

    It is the population's deviation, with 1e-6 under the root: flat maps have a
    gradient.
    """
    if not torch.is_grad_enabled():
        if features.is_cuda and features.dtype != torch.float32:
            return half_contrast(features)
        deviation, mean = _deviation_and_mean(features)
        return (deviation + mean).to(features.dtype)
    return _Contrast.apply(features)  # type: ignore[no-untyped-call]


def half_contrast(features: Tensor) -> Tensor:
    """Compute ``contrast`` of half precision on CUDA, in one pass without a copy."""
    deviation, mean = torch.std_mean(features, dim=(2, 3), correction=0, keepdim=True)
    # The root of a sum of squares, which would vanish or overflow on the way.
    least = _least_deviation(deviation.dtype, deviation.device)
    return torch.hypot(deviation, least) + mean


@cache
def _least_deviation(kind: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        return torch.full((), 1e-3, dtype=kind, device=device)


def _deviation_and_mean(features: Tensor) -> tuple[Tensor, Tensor]:
    # On processors by strips of rows, which are widened and walked through while they
    # are in the cache. Files, which are for any size, have none.
    strips: tuple[Tensor, ...] = (features,)
    if features.is_cpu and not is_traced():
        # Of as many rows in every batch, so that a picture's sums are the same.
        height = max(STRIP // features[0, :, 0].numel(), 1)
        strips = torch.split(features, height, dim=2)
    means = []
    variances = []
    for strip in strips:
        strip_mean, variance = _mean_and_variance(strip)
        means.append(strip_mean)
        variances.append(variance)
    if len(strips) == 1:
        return (variances[0] + 1e-6).sqrt(), means[0]
    shares = [strip.shape[2] / features.shape[2] for strip in strips]
    mean = _weighted_sum(means, shares)
    # A picture's variance is that within its strips and that of their means (Chan et
    # al. 1979).
    for number, strip_mean in enumerate(means):
        variances[number] += (strip_mean - mean).square_()
    return (_weighted_sum(variances, shares) + 1e-6).sqrt(), mean


def _mean_and_variance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in fp32 at least, in two passes.

    torch.var_mean over channels_last maps takes four times as long, and the variance
    of nearly flat maps vanishes in half precision.
    """
    wide = widened(features)
    mean = wide.mean(dim=(2, 3), keepdim=True)
    return mean, (wide - mean).square_().mean(dim=(2, 3), keepdim=True)


def _weighted_sum(terms: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = terms[0] * weights[0]
    for term, weight in zip(terms[1:], weights[1:], strict=True):
        total = total + term * weight
    return total


class _Contrast(torch.autograd.Function):
    """``contrast`` with its gradient in one pass over the features.

    Left to autograd, deviation and mean keep several fp32 copies of the map and walk
    them a dozen times backwards: 7 ms instead of 1.4 for (8, 72, 48, 48) on one core.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, features: Tensor) -> Tensor:
        deviation, mean = _deviation_and_mean(features)
        ctx.save_for_backward(features, mean, deviation)
        return (deviation + mean).to(features.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        # d mean / dx = 1 / HW; d deviation / dx = (x - mean) / (HW deviation)
        features, mean, deviation = ctx.saved_tensors
        of_mean = gradient.to(mean.dtype) / (features.shape[2] * features.shape[3])
        slope = of_mean / deviation
        constant = of_mean - slope * mean
        kind = features.dtype
        return torch.addcmul(constant.to(kind), features, slope.to(kind))


Calibration = Mapping[str, Tensor]
"""What global pools recorded on one picture, by the pools' names: (P, N, C, 1, 1) for
each of the P passes that one picture takes (8 in a self-ensemble, else 1) and each of a
raster's N groups of bands."""


def are_finite(calibration: Calibration) -> bool:
    """Return True if all values are finite numbers."""
    if not calibration:
        return True
    finite = [value.isfinite().all() for value in calibration.values()]
    return bool(torch.stack(finite).all())  # a single wait for the device


def combine(
    calibrations: Sequence[Calibration], join: Callable[[list[Tensor]], Tensor]
) -> Calibration:
    """Join what calibrations hold of each pool."""
    return {
        name: join([calibration[name] for calibration in calibrations])
        for name in calibrations[0]
    }


def modules_of(network: nn.Module, kind: type[Kind]) -> dict[str, Kind]:
    """Return the modules of a kind in a network, by their names."""
    modules = network.named_modules()
    return {name: module for name, module in modules if isinstance(module, kind)}


@contextmanager
def record_calibration(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Record the global pools of a network on windows of one picture.

    Every pool takes the batch as a whole; the network is called once within the block.
    When that ends, the dictionary holds their values by name.
    """
    pools = modules_of(network, GlobalPool)
    recorded: dict[str, Tensor] = {}
    for pool in pools.values():
        pool.recording = True
    try:
        yield recorded
        for name, pool in pools.items():
            if pool.held is not None:
                recorded[name] = pool.held
    finally:
        for pool in pools.values():
            pool.recording = False
            pool.held = None


class StretchedMap(nn.Module):
    """Resize coarse maps, one value for every ``step`` pixels, to the size of their input.

    The first value needs ``minimum`` pixels; ``mode`` is as ``F.interpolate`` takes it.
    """

    rows: Tensor | None
    columns: Tensor | None

    def __init__(self, *, step: int, minimum: int, mode: Mode = "bilinear") -> None:
        super().__init__()
        self.step = step
        self.minimum = minimum
        self.mode = mode
        self.register_buffer("rows", None, persistent=False)
        self.register_buffer("columns", None, persistent=False)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize (N, C, h, w) to (N, C, *size)."""
        if self.rows is None or self.columns is None:
            # Autocast would make fp32 of it on GPUs, which add up in fp32 anyway.
            with full_precision(maps.device) if maps.is_cuda else nullcontext():
                return F.interpolate(maps, size=size, mode=self.mode)
        return stretch_part(maps, self.rows, self.columns)


@contextmanager
def as_parts_of_pictures(
    network: nn.Module,
    values: Mapping[str, Tensor] | None = None,
    positions: Tensor | None = None,
    size: tuple[int, int] = (0, 0),
) -> Iterator[None]:
    """Let tiles be enlarged as parts of their pictures, until the block ends.

    A network's pools hold ``values``, one pass of a ``Calibration`` of this network
    (KeyError for those of another); its stretched maps know the ``positions`` of a
    batch of tiles of a ``size`` (height, width). None stands for whole pictures.
    """
    pools = {}
    maps: Iterable[StretchedMap] = ()
    try:
        if values:
            pools = modules_of(network, GlobalPool)
            for name, pool in pools.items():
                pool.held = values[name]
        if positions is not None:
            maps = modules_of(network, StretchedMap).values()
            # Mostly the same for all modules.
            weights = cache(partial(stretch_weights, positions, size))
            for stretch in maps:
                stretch.rows, stretch.columns = weights(
                    stretch.step, stretch.minimum, stretch.mode
                )
        yield
    finally:
        for pool in pools.values():
            pool.held = None
        for stretch in maps:
            stretch.rows = None
            stretch.columns = None


def stretch_weights(
    positions: Tensor,
    size: tuple[int, int],
    step: int,
    minimum: int,
    mode: Mode = "bilinear",
) -> tuple[Tensor, Tensor]:
    """Return the weights by which ``stretch_part`` resizes maps of tiles.

    They are of (N, H, h) and (N, W, w): the share of each value of a map in each row
    and column. A shorter side of ``size`` (H, W) than ``minimum`` counts as that long.
    """
    # Wide numbers, as a picture may have 50,000 columns and more; MPS has none.
    kind = torch.float32 if positions.device.type == "mps" else torch.float64

    def shares(starts: Tensor, picture_lengths: Tensor, length: int) -> Tensor:
        length = max(length, minimum)
        count = (length - minimum) // step + 1
        picture_counts = (picture_lengths.clamp(min=minimum) - minimum) // step + 1
        ratio = picture_counts.to(kind) / picture_lengths.to(kind)
        pixels = torch.arange(length, device=starts.device, dtype=kind) + starts
        values = (pixels + 0.5) * ratio - 0.5
        if mode == "nearest":
            values = (pixels * ratio).floor()
        values = torch.minimum(values.clamp(min=0), picture_counts - 1)
        values = (values - starts / step).clamp(0, count - 1)
        distances = values[..., None] - torch.arange(count, device=starts.device)
        return (1 - distances.abs()).clamp(min=0).float()

    # Columns (N, 1), against which pixels are rows.
    top, left, height, width = positions.to(kind).T[..., None]
    return shares(top, height, size[0]), shares(left, width, size[1])


def stretch_part(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resize maps of tiles, (N, C, h, w) to (N, C, H, W), as parts of pictures.

    Equal to the part of ``F.interpolate`` of the whole, as far as a tile's map is the
    part of the whole's: where tiles begin on multiples of ``step``, away from their
    borders. ``rows`` and ``columns`` are from ``stretch_weights``.
    """
    tiles, channels, height = maps.shape[:3]
    size = (rows.shape[1], columns.shape[1])
    # Channels last, where both steps are plain matrix products.
    with full_precision(maps.device):
        wide = columns[:, None] @ maps.permute(0, 2, 3, 1).float()
        full = rows @ wide.view(tiles, height, size[1] * channels)
    return full.view(tiles, *size, channels).permute(0, 3, 1, 2).to(maps.dtype)
