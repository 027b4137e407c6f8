"""Any ``nn.Module`` as a network, or as a block of one: what it needs is declared on its class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.recipes.plugins import (
    build_module,
    code_arguments,
    load_code,
    plugin_errors,
    short_code,
    split_code,
)

COLOURS: Mapping[str, Literal["rgb", "y"]] = {"rgb": "rgb", "luma": "y", "y": "y"}
"""``colour`` of a class; users write luma, our own networks y."""
PROBED_SIDE = 24
"""Shorter side of the input by which the scale is found, in pixels, or the least."""
LEAST = {"multiple_of": 1, "minimum": 1, "edge": 0, "tile_step": 1} | dict.fromkeys(
    ("tiles", "fp16", "bf16", "pools_globally"), 0
)
"""Attributes of ``Network`` that a class may declare, and their least values."""


class UserNetwork(Network):
    """A user's module as a network; its tensors keep the names that they have in it.

    It enlarges (N, 3 or 1, H, W) in [0, 1]. Its class declares what it needs; the scale
    is found by an input, but for modules on the meta device, which compute nothing.
    """

    edge = 4
    bf16 = False

    def __init__(
        self,
        network: nn.Module,
        name: str,
        scale: int | None,
        blocks: Iterable[type] = (),
    ) -> None:
        """Wrap a module; its own ``blocks`` in a network of ours declare, too, and first."""
        super().__init__(scale)
        self.network = network
        self.origin = name
        needs: dict[str, Any] = {}
        for kind in (type(network), *blocks):
            for attribute in ("needs_weights", "colour", *LEAST):
                if hasattr(kind, attribute):
                    needs[attribute] = getattr(kind, attribute)
        has_weights = next(network.parameters(), None) is not None
        self.needs_weights = needs.get("needs_weights", has_weights)
        colour = needs.get("colour", "rgb")
        if colour not in COLOURS:
            raise ModelError(f"colour of {name} must be rgb or luma, got {colour!r}")
        self.colour = COLOURS[colour]
        for attribute, least in LEAST.items():
            value = needs.get(attribute, getattr(self, attribute))
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

    def start_from_bicubic(self, deep_gain: float = 0.1) -> None:
        """Begin as the module's own method of that name does, see ``Network``.

        Subclasses of our networks inherit one.
        """
        if not can_start_from_bicubic(type(self.network)):
            super().start_from_bicubic()
        with plugin_errors(f"{self.origin}: start_from_bicubic fails"):
            self.network.start_from_bicubic(deep_gain)  # type: ignore[operator]

    def _probe(self, scale: int | None) -> None:
        """Find the scale of the module by an input; ModelError if none comes out enlarged."""
        training = self.network.training
        self.network.eval()
        side = self.padded(PROBED_SIDE)
        x = torch.full((1, self.input_channels, side, 2 * side), 0.5)
        needs = "its needs are attributes of its class: colour, minimum, multiple_of"
        with torch.no_grad(), plugin_errors(f"{self.origin} ({needs}): fails"):
            out = self._enlarge(x)
        self.network.train(training)
        factor = _enlargement(x, out)
        if not factor or scale not in (None, factor):
            expected = ""
            if scale:
                expected = f", not {scale} times as high and wide"
            raise ModelError(
                f"{self.origin}: gives {tuple(out.shape)} for a picture "
                f"{tuple(x.shape)}{expected}"
            )
        self.scale = factor

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


def can_start_from_bicubic(kind: type) -> bool:
    """Return True for a class with a bicubic start, of its own or of ours that it inherits."""
    nothing = Network.start_from_bicubic
    return getattr(kind, "start_from_bicubic", nothing) is not nothing


def own_block(block: str, *names: str, **given: object) -> nn.Module:
    """Build a block of a user's code with what the block in its place is given.

    ValueError where ``block`` is neither code nor one of the ``names`` of ours.
    """
    code, _ = split_code(block)
    if not code:
        raise ValueError(
            f"block must be one of {', '.join(names)}, or your own, FILE.py:CLASS; got {block!r}"
        )
    name = short_code(code)
    module: nn.Module = build_module(
        load_code(code, "blocks"),
        code_arguments(block),
        name,
        f"{name}({{}}=VALUE)",
        **given,
    )
    return module


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
