"""Any ``nn.Module`` as a network: what it needs is declared on its class, or found by a probe."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.recipes.plugin_errors import plugin_errors

CHANNELS = {"rgb": 3, "luma": 1, "y": 1}
"""Channels by ``colour``; users write luma, our own networks y."""
MULTIPLES = (*range(1, 11), 12, 14, 15, 16, 20, 24, 28, 32, 48, 64)
"""What sides of an input may have to divide by, as far as it is tried."""
SIDES = (1, 24, 64)
"""Shorter sides of an input, in pixels, that are tried one after the other; below the
one that the network takes, ``minimum`` is searched for."""
LEAST = {"multiple_of": 1, "minimum": 1, "edge": 0, "tile_step": 1} | dict.fromkeys(
    ("tiles", "fp16", "bf16", "pools_globally"), 0
)
"""Attributes of ``Network`` that a class may declare, and their least values."""


class UserNetwork(Network):
    """A user's module as a network; its tensors keep the names that they have in it.

    It enlarges (N, 3 or 1, H, W) in [0, 1]. What its class does not declare is found by
    a probe, but for modules on the meta device, which compute nothing.
    """

    edge = 4
    bf16 = False

    def __init__(self, network: nn.Module, name: str, scale: int | None) -> None:
        super().__init__(scale)
        self.network = network
        self.origin = name
        self.kind = type(network)
        has_weights = next(network.parameters(), None) is not None
        self.needs_weights = getattr(self.kind, "needs_weights", has_weights)
        colour = getattr(self.kind, "colour", "rgb")
        if colour not in CHANNELS:
            raise ModelError(f"colour of {name} must be rgb or luma, got {colour!r}")
        for attribute, least in LEAST.items():
            value = getattr(self.kind, attribute, getattr(self, attribute))
            if not isinstance(value, int) or value < least:
                raise ModelError(
                    f"{attribute} of {name} must be a whole number from {least} on, got {value!r}"
                )
            setattr(self, attribute, value)
        if not any(parameter.is_meta for parameter in network.parameters()):
            self._probe(scale)

    def _enlarge(self, x: Tensor) -> Tensor:
        out = self.network(x)
        if isinstance(out, Tensor):
            return out
        when = ""
        if self.network.training:
            when = " in training"
        raise ModelError(
            f"{self.origin}: gives {type(out).__name__}{when}, not one tensor"
        )

    def _probe(self, scale: int | None) -> None:
        """Find scale, colour and sizes that the module takes, where not declared."""
        training = self.network.training
        self.network.eval()
        accepted = self._find_accepted_input(scale)
        if not hasattr(self.kind, "minimum"):
            self.minimum = self._least_side(accepted)
        self.network.train(training)

    def _find_accepted_input(self, scale: int | None) -> Tensor:
        """Return an input that comes out enlarged; set scale, colour and multiple by it.

        Inputs of every colour, multiple and side are tried. ModelError, with the first
        wrong shape or else the last failure, if none comes out enlarged.
        """
        declared = getattr(self.kind, "colour", None)
        colours = [declared] if declared else CHANNELS
        multiples: Sequence[int] = MULTIPLES
        if hasattr(self.kind, "multiple_of"):
            multiples = (self.multiple_of,)
        wrong_shapes = []
        errors = []
        for colour, multiple, side in product(colours, multiples, SIDES):
            # An odd number of times, so that the side does not happen to divide by a
            # larger multiple, too.
            height = multiple * (math.ceil(max(side, self.minimum) / multiple) | 1)
            x = torch.full((1, CHANNELS[colour], height, height + 2 * multiple), 0.5)
            try:
                with torch.no_grad(), plugin_errors(f"{self.origin}: fails"):
                    out = self._enlarge(x)
            except ModelError as error:
                if colour == next(iter(colours)):  # the others fail for their channels
                    errors.append(str(error))
                continue
            factor = _enlargement(x, out)
            if factor and scale in (None, factor):
                self.scale = factor
                self.multiple_of = multiple
                self.colour = "rgb" if colour == "rgb" else "y"
                return x
            expected = ""
            if scale:
                expected = f", not {scale} times as high and wide"
            wrong_shapes.append(
                f"{self.origin}: gives {tuple(out.shape)} "
                f"for a picture {tuple(x.shape)}{expected}"
            )
        if wrong_shapes:
            raise ModelError(wrong_shapes[0])
        raise ModelError(
            f"{errors[-1]}; tried are sides of 1 to {SIDES[-1]} pixels: if it needs others, "
            "its class says so by minimum and multiple_of"
        )

    def _least_side(self, accepted: Tensor) -> int:
        """Return the shortest side that the module takes; ``accepted`` is an input it took."""
        multiple = self.multiple_of

        def takes(height: int) -> bool:
            x = accepted[:, :, :height, : height + 2 * multiple].contiguous()
            with suppress(ModelError), torch.no_grad(), plugin_errors(self.origin):
                return _enlargement(x, self._enlarge(x)) > 0
            return False

        sides = range(multiple, accepted.shape[2] + 1, multiple)
        return sides[bisect_left(sides[:-1], True, key=takes)]

    # Tensors are called as in the user's module, so that its own code loads the
    # weights, too.
    def state_dict(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, D102
        return self.network.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, D102
        return self.network.load_state_dict(*args, **kwargs)

    def named_parameters(  # noqa: D102
        self, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[str, nn.Parameter]]:
        return self.network.named_parameters(*args, **kwargs)


def _enlargement(x: Tensor, out: Tensor) -> int:
    """Return how many times as high and wide an output is; 0 for other shapes."""
    if out.ndim != 4:
        return 0
    count, channels, height, width = x.shape
    factor = out.shape[2] // height
    enlarged = (count, channels, factor * height, factor * width)
    if tuple(out.shape) != enlarged:
        return 0
    return factor
