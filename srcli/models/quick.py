"""quick: a short row of plain 3x3 convolutions, for processors without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.layers.blocks import (
    CORNERS,
    conv,
    damp,
    run_convolutions,
    start_bicubic_by_corners,
)
from srcli.layers.network import widened
from srcli.layers.operations import convolve
from srcli.layers.reparameterised import (
    FoldedKernel,
    ReparameterisedConv,
    TrainedWithBranches,
)
from srcli.layers.resize import bicubic_phases
from srcli.layers.user_network import own_block


class Quick(TrainedWithBranches):
    """Enlarge RGB in [0, 1] by ``scale`` with one row of 3x3 convolutions; ours.

    What real-time networks for processors have in common: 3x3 convolutions at the
    input's size and nothing between them but leaky ReLUs, one skip of features, a
    sub-pixel shuffle, and the picture itself, enlarged, added at the end, so that half
    precision rounds a correction alone. The anchor of ABPN (Du et al., CVPR workshops
    2021) repeats pixels: where the correction is silent, ramps become stairs. Ours is
    bicubic. In training the convolutions have further branches (ECBSR, Zhang et al., ACM
    MM 2021; RepVGG, Ding et al., CVPR 2021), which fold away.

    Args:
        channels: Of all maps; 12 or more for a bicubic start.
        depth: Convolutions between the first and the last one.
        block: ``conv``, or a class of the user's own code in the place of all but the last
            of these convolutions, which gets ``channels`` and maps them to as many.
        deployed: Plain convolutions, whatever branches they were folded from.
        anchor: How the picture is enlarged that the correction is added to; files that
            do not name one were trained with repeated pixels.
    """

    anchor_kernels: Tensor | None
    """Of the bicubic anchor, before the sub-pixel shuffle: (3 scale^2, 1, 5, 5)."""
    edge = 4
    told_options = ("anchor",)
    SLOPE = 0.05
    """Of the leaky ReLU after every convolution but the last one."""

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 32,
        depth: int = 8,
        block: str = "conv",
        deployed: bool = False,
        anchor: Literal["repeat", "bicubic"] = "repeat",
    ) -> None:
        super().__init__(scale)
        self.anchor = anchor
        kernels = None
        if anchor == "bicubic":
            kernels = bicubic_phases(scale)[:, None].repeat(3, 1, 1, 1)
        self.register_buffer("anchor_kernels", kernels, persistent=False)
        self.head = conv(3, channels)
        unit = partial(
            ReparameterisedConv,
            channels=channels,
            pointwise=not deployed,
            identity=not deployed,
        )
        make: Callable[..., nn.Module] = unit
        if block != "conv":
            make = partial(own_block, block, "conv", channels=channels)
        self.body = nn.ModuleList(make() for _ in range(depth - 1))
        self.body.append(unit())
        self.up = conv(channels, 3 * scale * scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        *layers, last = self.body
        head = convolve(self.head, x, slope=Quick.SLOPE)
        deep = run_convolutions(layers, head, slope=Quick.SLOPE)
        deep = convolve(last, deep, plus=head, slope=Quick.SLOPE)
        correction = widened(self.up(deep))
        if self.anchor_kernels is not None:
            around = F.pad(widened(x), [2] * 4, mode="replicate")
            correction = correction + F.conv2d(around, self.anchor_kernels, groups=3)
            return F.pixel_shuffle(correction, self.scale)
        correction = F.pixel_shuffle(correction, self.scale)
        # by an operation that every format of an export has
        repeated = F.interpolate(widened(x), scale_factor=float(self.scale))
        return correction + repeated

    @torch.no_grad()
    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as a bicubic enlargement, plus a little of the network's deep path.

        ``deep_gain`` is the factor on the initial weights of the body's last unit and of
        the upsampling. A network of fewer than 12 channels has no such start
        (ModelError).
        """
        if self.anchor_kernels is not None:
            damp(self.up, deep_gain)
            self._damp_body(deep_gain)
            return
        start_bicubic_by_corners(self.head, self.up, self.scale, gain=deep_gain)
        # The picture is added anyway: what it gives is taken from the kernels, from the
        # copies of each colour alike.
        phases = self.scale**2
        for number, (down, right) in enumerate(CORNERS):
            for colour in range(3):
                kernels = self.up.weight[
                    colour * phases : (colour + 1) * phases, 3 * number + colour
                ]
                kernels[:, 1 - down, 1 - right] -= 1 / len(CORNERS)
        self._damp_body(deep_gain)

    def _damp_body(self, deep_gain: float) -> None:
        last = self.body[-1]
        assert isinstance(last, ReparameterisedConv)
        weight, bias = last.kernel()
        damped = FoldedKernel(weight * deep_gain, torch.zeros_like(bias))
        last.load_state_dict(last.state_equal_to(damped))
