"""Any ``nn.Module`` as a network: what it needs is declared on its class, or found by a probe."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from srcli.errors import ModelError, RecipeError
from srcli.layers.network import Network
from srcli.recipes.code import call_code, explained, source_of
from srcli.recipes.fields import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

COLOURS = {"rgb": 3, "luma": 1}
MULTIPLES = (1, 2, 4, 6, 7, 8, 16, 32, 64)
"""What sides of an input may have to divide by, as far as it is tried."""
SIDES = (1, 5, 24)
"""Pixels of the shorter side that is tried, at least."""
_DECLARED = {"multiple_of": 1, "minimum": 1, "edge": 0, "tiles": 0, "fp16": 0, "bf16": 0}
"""Attributes that a class may set, as ``Network`` explains them, and their least values."""


class OwnNetwork(Network):
    """A module that enlarges (N, 3 or 1, H, W) in [0, 1], with names of tensors as it has them."""

    edge = 4
    bf16 = False
    traced_small = False  # it may branch on the size

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.reference = name
        for attribute, least in _DECLARED.items():
            value = getattr(type(network), attribute, None)
            if value is not None:
                kind = type(getattr(self, attribute))
                convert(value, kind, where := f"{attribute} of {name}")
                if value < least:
                    raise ModelError(f"{where} must be at least {least}, got {value}")
                setattr(self, attribute, value)
        learns = next(network.parameters(), None) is not None
        self.needs_weights = bool(getattr(type(network), "needs_weights", learns))

    def _enlarge(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out

    def probe(self, scale: int | None) -> None:
        """Find scale, colour and sizes that the module takes, by small inputs; ModelError if none.

        With a scale, that is the one it must have.
        """
        kind, shapes, errors = type(self.network), [], []
        declared = getattr(kind, "colour", None)
        if declared not in (None, *COLOURS):
            raise ModelError(f"colour of {self.reference} must be rgb or luma, got {declared!r}")
        multiples = [self.multiple_of] if hasattr(kind, "multiple_of") else MULTIPLES
        training = self.network.training
        self.network.eval()
        for colour, multiple, least in product(
            [declared] if declared else COLOURS, multiples, SIDES
        ):
            # an odd number of times, so that no larger multiple is needed by accident
            height = multiple * (math.ceil(max(least, self.minimum) / multiple) | 1)
            x = torch.full((1, COLOURS[colour], height, height + 2 * multiple), 0.5)
            try:
                with torch.no_grad(), explained("fails", source_of(kind)):
                    out = self.network(x)
            except ModelError as error:
                errors.append(str(error))
                continue
            found = _scale(x, out)
            if found and scale in (None, found):
                break
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            wanted = f", not {scale} times as high and wide" if scale else ""
            shapes.append(f"it gives {shape} for a picture {tuple(x.shape)}{wanted}")
        else:
            raise ModelError(f"{self.reference}: does not enlarge: {(shapes or errors)[0]}")
        self.network.train(training)
        self.scale, self.multiple_of = found, multiple
        self.colour = "rgb" if colour == "rgb" else "y"
        if not hasattr(kind, "minimum"):
            self.minimum = height

    # Tensors are called as in the user's module, so that its own code loads the weights, too.
    def state_dict(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401, D102
        return self.network.state_dict(*given, **named)

    def load_state_dict(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401, D102
        return self.network.load_state_dict(*given, **named)

    def named_parameters(self, *given: Any, **named: Any) -> Iterator[tuple[str, nn.Parameter]]:  # noqa: ANN401, D102
        return self.network.named_parameters(*given, **named)


def _scale(x: Tensor, out: object) -> int:
    """Return how many times larger the output is; 0 if it is no picture of the input's form."""
    if not isinstance(out, Tensor) or out.ndim != 4 or out.shape[:2] != x.shape[:2]:
        return 0
    scale = out.shape[2] // x.shape[2]
    return scale if tuple(out.shape[2:]) == (scale * x.shape[2], scale * x.shape[3]) else 0


def build_own(
    name: str, maker: Callable[..., Any], *, scale: int | None, options: Mapping[str, Any]
) -> Network:
    """Build a network of a user's class, at its only scale if it takes none and None is given."""
    network = call_code(maker, options, name, scale=scale or 4)
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name}: is no torch.nn.Module, but gives {type(network).__name__}")
    if isinstance(network, Network):
        network.reference = name
        if scale not in (None, network.scale):
            raise ModelError(f"{name}: enlarges {network.scale} times, not {scale}")
        return network
    try:
        own = OwnNetwork(network, name)
    except RecipeError as error:
        raise ModelError(str(error)) from error
    if not any(each.is_meta for each in own.parameters()):
        own.probe(scale)
    elif scale:
        own.scale = scale
    return own
