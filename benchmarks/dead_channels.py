"""Count the channels that a network's ReLUs have switched off.

Usage: python benchmarks/dead_channels.py -m rrlfn -m runs/first/last.safetensors [-s 4]
           [--data Set5 --data Set14] [--layers]

A channel that ReLU makes 0 at every pixel of every picture is dead: it adds nothing to
the result, and learns nothing, as its gradient is 0, too. A learning rate that is too
high kills channels; a lower one and weight decay keep them alive. Rare: above 0 at less
than one pixel in a hundred. --layers prints the dead channels of each ReLU in turn.
Leaky and parametric ReLUs are not counted: what is negative there learns on.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import torch
from texture import pictures
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from srcli.data.patches import to_tensor
from srcli.imaging.pixels.resize import downscale
from srcli.layers.colour import luma
from srcli.models.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

RARE = 0.01
"""Share of pixels below which a channel is counted as rare."""
RELUS = (torch.ops.aten.relu.default, torch.ops.aten.relu_.default)


class ActiveShares(TorchDispatchMode):
    """Keep, for each ReLU in the order of calls, the share of pixels above 0 by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: list[Tensor] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in RELUS and out.dim() == 4:
            self.shares.append((out > 0).float().mean(dim=(0, 2, 3)))
        return out


@torch.inference_mode()
def active_shares(model: str, scale: int, sets: list[str]) -> list[Tensor]:
    """Return, for each ReLU, the largest share of pixels above 0 in any picture, by channel."""
    network = load_model(model, scale)
    found = []
    for name in sets:
        for hr in pictures(name, scale):
            lr = to_tensor(downscale(hr, scale)[None], torch.device("cpu"))
            with ActiveShares() as mode:
                network(luma(lr) if network.colour == "y" else lr)
            found.append(mode.shares)
    return [torch.stack(shares).amax(dim=0) for shares in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("--data", action="append")
    parser.add_argument(
        "--layers", action="store_true", help="dead channels of each ReLU"
    )
    arguments = parser.parse_args()
    print("| model | channels | dead | rare |")
    print("| --- | ---: | ---: | ---: |")
    for model in arguments.model:
        layers = active_shares(model, arguments.scale, arguments.data or ["Set5"])
        dead = [int((shares == 0).sum()) for shares in layers]
        rare = sum(int((shares < RARE).sum()) for shares in layers) - sum(dead)
        total = sum(len(shares) for shares in layers)
        print(f"| {model} | {total} | {sum(dead)} | {rare} |")
        if arguments.layers:
            print(f"dead channels of each: {' '.join(map(str, dead))}")


if __name__ == "__main__":
    main()
