"""Losses between SR and HR pictures, by name, and weighted sums of them.

Some are in the features of networks: of random ones (RRLFN 2025), or of one for photographs.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.features import PhotoFeatures
from srcli.layers.resize import bicubic_resize
from srcli.recipes.fields import construct, unknown_name
from srcli.recipes.plugins import build_module, installed_plugins, load_code, split_code

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

    from srcli.recipes.training import LossTerm

EPSILON = 1e-7
"""Keeps ratios finite."""


class ContrastiveLoss(nn.Module):
    """Sum over two feature maps of d(SR, HR) / (d(SR, bicubic) + eps), d the mean of |a - b|.

    The maps are those of a random, frozen network: 3x3 convolution, tanh, 3x3
    convolution, with weights from He's normal distribution and without biases. The
    paper gives the form of the loss and of the features; RLFN (Kong et al. 2022) uses
    the bicubic picture as the negative. All other values are inferred. It is very
    large where SR is still nearly bicubic: use it on trained networks.
    ``channels`` are those of the feature network's two convolutions.
    """

    first: Tensor
    second: Tensor

    def __init__(self, *, channels: tuple[int, ...] = (64, 64)) -> None:
        super().__init__()
        if len(channels) != 2 or min(channels) < 1:
            raise ValueError(f"channels must be two numbers above 0, got {channels}")
        random = torch.Generator().manual_seed(0)

        def weight(before: int, after: int) -> Tensor:
            normal = torch.randn(after, before, 3, 3, generator=random)
            return normal * math.sqrt(2 / (9 * before))

        # Buffers, not parameters: they move with the loss to a device and are never
        # trained.
        self.register_buffer("first", weight(3, channels[0]))
        self.register_buffer("second", weight(*channels))

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of both convolutions, (N, C, H, W) each."""
        shallow = F.conv2d(images, self.first, padding=1)
        return shallow, F.conv2d(torch.tanh(shallow), self.second, padding=1)

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor) -> Tensor:
        """Compare (N, 3, sH, sW) with HR of that shape, and with bicubic of LR."""
        if sr.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(sr.shape)}")
        with torch.no_grad():
            bicubic = bicubic_resize(lr.to(hr.dtype), hr.shape[-1] // lr.shape[-1])
            positive = self.features(hr)
            negative = self.features(bicubic)
        total = sr.new_zeros(())
        for anchor, near, far in zip(
            self.features(sr), positive, negative, strict=True
        ):
            distance = (anchor - near).abs().mean()
            total = total + distance / ((anchor - far).abs().mean() + EPSILON)
        return total


class FeatureLoss(nn.Module):
    """Mean absolute difference of features, a perceptual loss (Johnson et al. 2016).

    The features are those of ``PhotoFeatures`` after the last blocks that work at a
    half, a quarter, an eighth and a sixteenth of the size. Their first convolution
    has a stride of two, so that a network could exploit it by dots in one of four
    places: the pictures of a batch are cropped at each of four corners in turn.
    ``blocks`` are numbers from 0 to 15.
    """

    def __init__(self, *, blocks: tuple[int, ...] = (0, 2, 4, 10)) -> None:
        super().__init__()
        self.features = PhotoFeatures(blocks)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, 3, H, W) with the same shape; a scalar."""
        with torch.no_grad():
            hr_maps = self.features(_shifted(hr))
        sr_maps = self.features(_shifted(sr))
        total = torch.zeros_like(sr_maps[0][0, 0, 0, 0])
        for sr_map, hr_map in zip(sr_maps, hr_maps, strict=True):
            total = total + (sr_map - hr_map).abs().mean()
        return total / len(sr_maps)


def _shifted(images: Tensor) -> Tensor:
    """Cut (N, 3, H, W) to (N, 3, H - 1, W - 1), at each of four corners in turn."""
    height = images.shape[2] - 1
    width = images.shape[3] - 1
    cuts = []
    for number, image in enumerate(images):
        top = number // 2 % 2
        left = number % 2
        cuts.append(image[:, top : top + height, left : left + width])
    return torch.stack(cuts)


class CharbonnierLoss(nn.Module):
    """Mean of sqrt(difference^2 + epsilon^2), an L1 loss that is smooth at 0 (LapSRN, 2017)."""

    def __init__(self, *, epsilon: float = 1e-3) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        return ((sr - hr).square() + self.epsilon**2).sqrt().mean()


class AmplitudeLoss(nn.Module):
    """Mean absolute difference of the amplitudes of orthonormal Fourier transforms."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        sr_amplitudes: Tensor = torch.fft.rfft2(sr.float(), norm="ortho").abs()
        hr_amplitudes: Tensor = torch.fft.rfft2(hr.float(), norm="ortho").abs()
        return (sr_amplitudes - hr_amplitudes).abs().mean()


def gaussian(size: int, sigma: float) -> Tensor:
    """Return a normalised 1-D Gaussian of odd ``size`` and ``sigma``, in samples."""
    if size < 1 or size % 2 == 0 or sigma <= 0:
        raise ValueError(
            f"expected an odd size and a sigma above 0, got {size} and {sigma}"
        )
    x = torch.arange(size, dtype=torch.float64) - size // 2
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return (kernel / kernel.sum()).float()


def high_pass(images: Tensor, kernel: Tensor) -> Tensor:
    """Subtract a Gaussian low-pass of (N, C, H, W) with reflected borders.

    The odd-length 1-D kernel is applied along both axes, which are longer than half of
    it.
    """
    half = len(kernel) // 2
    padded = F.pad(images, (half, half, half, half), mode="reflect")
    return images - blur(padded, kernel)


class _Blur(torch.autograd.Function):
    """``blur`` with a gradient that is a blur, too; autograd would keep many copies."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(kernel)
        # Shifted sums, not convolutions: on a CPU, depthwise convolutions of three
        # channels take 3x as long, which was a tenth of a training iteration.
        taps = kernel.to(images.dtype)
        for axis in (3, 2):
            length = images.shape[axis] - len(taps) + 1
            sums = images.narrow(axis, 0, length) * taps[0]
            for i in range(1, len(taps)):
                sums.addcmul_(images.narrow(axis, i, length), taps[i])
            images = sums
        return images

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (kernel,) = ctx.saved_tensors
        rim = len(kernel) - 1
        return blur(F.pad(gradient, (rim, rim, rim, rim)), kernel.flip(0)), None


def blur(images: Tensor, kernel: Tensor) -> Tensor:
    """Convolve (N, C, H, W) by a 1-D kernel along both axes, without padding."""
    out: Tensor = _Blur.apply(images, kernel)  # type: ignore[no-untyped-call]
    return out


class HighFrequencyLoss(nn.Module):
    """Mean absolute difference of Gaussian high-pass images (G-IDRN, 2024).

    The kernel's odd edge ``size`` and its standard deviation ``sigma`` are in HR
    pixels.
    """

    kernel: Tensor

    def __init__(self, *, size: int = 9, sigma: float = 1.5) -> None:
        super().__init__()
        self.register_buffer("kernel", gaussian(size, sigma))

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape; a scalar."""
        # The filter is linear: high-pass of the difference = difference of the
        # high-passes.
        return high_pass((sr - hr).contiguous(), self.kernel).abs().mean()


class SSIMLoss(nn.Module):
    """1 - SSIM (Wang et al. 2004): Gaussian windows of 11 pixels, borders of 5 left out."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", gaussian(11, 1.5))

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) in [0, 1] with the same shape; a scalar."""
        products = torch.cat([sr, hr, sr * sr, hr * hr, sr * hr])
        x, y, xx, yy, xy = blur(products, self.kernel).chunk(5)
        shared = (2 * x * y + 1e-4) * (2 * (xy - x * y) + 9e-4)
        total = (x * x + y * y + 1e-4) * ((xx - x * x) + (yy - y * y) + 9e-4)
        return 1 - (shared / total).mean()


def texture(images: Tensor) -> Tensor:
    """Tell texture (1) from flat places (0) in (N, C, H, W) in [0, 1]: (N, 1, H, W).

    It rises with the root mean square, in 13x13 pixels, of the slopes of the channels'
    mean: from 2 to 10 of 255 levels a pixel.
    """
    gray = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = gray[..., 1:-1, 2:] - gray[..., 1:-1, :-2]
    down = gray[..., 2:, 1:-1] - gray[..., :-2, 1:-1]
    squares = F.pad(across.square() + down.square(), (6, 6, 6, 6), mode="reflect")
    slopes = F.avg_pool2d(squares, 13, 1).sqrt() / 2
    return ((slopes - 0.008) / 0.03).clamp(0, 1)


class FlatLoss(nn.Module):
    """L1 only where HR is flat (no ``texture``), so that a discriminator invents none there."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, C, H, W) with the same shape, sides of 7 and more; a scalar."""
        return ((sr - hr).abs() * (1 - texture(hr))).mean()


LOSSES: dict[str, type[nn.Module]] = {
    "l1": nn.L1Loss,
    "l2": nn.MSELoss,
    "l1-flat": FlatLoss,
    "charbonnier": CharbonnierLoss,
    "ssim": SSIMLoss,
    "fft": AmplitudeLoss,
    "high-frequency": HighFrequencyLoss,
    "contrastive": ContrastiveLoss,
    "features": FeatureLoss,
}
"""Losses by their names in recipes. ``forward`` takes ``sr`` and ``hr``, and the LR
pictures if it has a parameter ``lr``, and returns a scalar. A loss that starts late
stands in a further stage of the recipe."""


class WeightedLoss(nn.Module):
    """A weighted sum of losses; RecipeError or ModelError for one that cannot be built."""

    def __init__(self, terms: Sequence[LossTerm]) -> None:
        super().__init__()
        self.terms = nn.ModuleList(map(_build, terms))
        self.weights = [term.weight for term in terms]
        signatures = [inspect.signature(term.forward) for term in self.terms]
        self.take_lr = ["lr" in signature.parameters for signature in signatures]

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor) -> Tensor:
        """Compare SR (N, C, sH, sW) with HR, also by LR (N, C, H, W); a scalar."""
        values: list[Tensor] = []
        for weight, term, takes_lr in zip(
            self.weights, self.terms, self.take_lr, strict=True
        ):
            pictures = (sr, hr, lr) if takes_lr else (sr, hr)
            values.append(weight * term(*pictures))
            if values[-1].ndim:
                raise ModelError(f"loss {type(term).__name__}: gives no single number")
        return sum(values[1:], values[0])


def _build(term: LossTerm) -> nn.Module:
    """Build a loss of the table, of the user's code or of an installed package."""
    where = f"loss {term.name}"
    if term.name in LOSSES:
        return construct(LOSSES[term.name], term.options, where)
    code, _ = split_code(term.name)
    packaged = installed_plugins("losses")
    if not code and term.name not in packaged:
        raise unknown_name("loss", term.name, "the recipe", [*LOSSES, *packaged])
    factory = load_code(term.name, "losses")
    hint = '"options": {{"{}": VALUE}}'
    loss: nn.Module = build_module(factory, term.options, where, hint)
    return loss
