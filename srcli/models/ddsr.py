"""DDSR: deconvolution first, then a deep mapping at full size, on Y alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.imaging.pixels.resize import cubic
from srcli.layers.blocks import conv
from srcli.layers.network import Network, full_precision, widened
from srcli.layers.operations import apply_to_each


class DDSR(Network):
    """Enlarge Y / 255 by ``scale``; the defaults are the paper's final model, DDSR-18.

    A transposed convolution makes feature maps at full size, the paper's F1;
    ``depth - 1`` layers of 3x3 convolution and PReLU, the mapping, work on them; the
    last convolution takes the sum of both. That sum stands before the last convolution
    because F1 has many maps and the output one.

    Args:
        depth: Convolutions after the transposed one, the last included (6, 12, 18).
        deconv_kernel: Edge of the transposed convolution's kernel (3, 5, 7).
        residual: Add F1 to the mapping's output.
    """

    colour = "y"
    edge = 4

    def __init__(
        self,
        *,
        scale: int = 4,
        depth: int = 18,
        channels: int = 64,
        deconv_kernel: int = 3,
        residual: bool = True,
    ) -> None:
        super().__init__(scale)
        if depth < 2:
            raise ValueError(f"depth must be at least 2, got {depth}")
        self.residual = residual
        padding, output_padding = deconv_geometry(deconv_kernel, scale)
        self.up = nn.ConvTranspose2d(
            1, channels, deconv_kernel, scale, padding, output_padding
        )
        self.act = nn.PReLU(channels)
        layers = []
        for _ in range(depth - 1):
            layers += [conv(channels, channels), nn.PReLU(channels)]
        self.body = nn.Sequential(*layers)
        self.last = conv(channels, 1)
        self._initialise()

    def _enlarge(self, x: Tensor) -> Tensor:
        # What carries the picture past the mapping is kept exact: half precision would
        # cost it 8-bit steps.
        with full_precision(x.device):
            shallow: Tensor = self.act(apply_to_each(self.up, widened(x)))
        deep: Tensor = self.body(shallow)
        with full_precision(x.device):
            if self.residual:
                return self.last(shallow + deep)
            return self.last(widened(deep))

    @torch.no_grad()
    def _initialise(self) -> None:
        """Draw weights from He's normal distribution for PReLU (2015); zero the biases.

        The last convolution's weights have a standard deviation of 0.001.
        """
        gain = math.sqrt(2.0 / (1.0 + 0.25**2))  # of PReLUs whose slopes begin at 0.25
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                inputs = float(module.weight[0].numel())
                if isinstance(module, nn.ConvTranspose2d):
                    # An output pixel gets one product in stride * stride of those of a
                    # kernel.
                    inputs = module.weight[0, 0].numel() / self.scale**2
                module.weight.normal_(0.0, gain / math.sqrt(inputs))
                assert module.bias is not None
                module.bias.zero_()
        self.last.weight.normal_(0.0, 1e-3)

    @torch.no_grad()
    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's other maps.

        One map of F1 becomes the picture itself, every LR pixel at one HR pixel and
        zeros between. Some maps of the mapping carry it, a pixel a layer, to a grid of
        places; the last convolution weights what it finds there. No value on the way is
        negative, so that the PReLUs change none. ``deep_gain`` is the factor on the
        last convolution's first weights for all other maps; a ModelError says that
        there are too few layers or maps.
        """
        layers = [layer for layer in self.body if isinstance(layer, nn.Conv2d)]
        kernel = self.up.kernel_size[0]
        tap = kernel // 2
        offset = tap - deconv_geometry(kernel, self.scale)[0]
        kernels = bicubic_kernels_by_shift(self.scale, offset=offset, steps=len(layers))
        shifts = list(itertools.product(kernels, repeat=2))
        shifts.sort(key=lambda shift: shift != (0, 0))
        if len(shifts) > self.last.in_channels:
            raise ModelError(
                f"a bicubic start takes {len(shifts)} channels or more, not "
                f"{self.last.in_channels}; set start_from_bicubic=false"
            )
        self.up.weight[0, : len(shifts)] = 0
        self.up.weight[0, 0, tap, tap] = 1
        self.last.weight.mul_(deep_gain)
        for number, (down, right) in enumerate(shifts):
            self.last.weight[0, number] = torch.outer(kernels[down], kernels[right])
            source = 0
            for index, layer in enumerate(layers):
                layer.weight[number] = 0
                # Where it need not move, the picture comes from F1 itself, which
                # nothing rounds.
                if number or not self.residual:
                    row = 1 + _step(down, index)
                    column = 1 + _step(right, index)
                    layer.weight[number, source, row, column] = 1
                    source = number


def _step(shift: int, index: int) -> int:
    """Return the pixels, -1, 0 or 1, by which layer ``index`` moves a map of this shift."""
    if index >= abs(shift):
        return 0
    return 1 if shift > 0 else -1


def deconv_geometry(kernel: int, scale: int) -> tuple[int, int]:
    """Return padding and output padding of a transposed convolution of stride ``scale``.

    With them it enlarges by just the scale.
    """
    padding = max(0, -(-(kernel - scale) // 2))
    return padding, scale - kernel + 2 * padding


def bicubic_kernels_by_shift(
    scale: int, *, offset: int, steps: int
) -> dict[int, Tensor]:
    """Return kernels on shifted copies that together interpolate one axis bicubically.

    The copies show the picture at full size: LR pixel i at HR pixel
    ``scale * i + offset``, zeros elsewhere. Kernels (3,), to be correlated, go by the
    shift of the copy, ``steps`` HR pixels at most: its value at HR pixel q is the
    picture's at q + shift. ModelError if the shifts do not reach as far as the
    interpolation.
    """
    kernels: dict[int, Tensor] = {}
    for distance in range(-3 * scale, 3 * scale + 1):
        weight = float(cubic(np.array((offset - distance + 0.5) / scale - 0.5)))
        if not weight:
            continue
        shift = max(-steps, min(3 * round(distance / 3), steps))
        if abs(distance - shift) > 1:
            raise ModelError(
                f"a bicubic start takes {abs(distance)} layers or more, not {steps + 1}; "
                "set start_from_bicubic=false"
            )
        kernels.setdefault(shift, torch.zeros(3))[1 + distance - shift] = weight
    return kernels
