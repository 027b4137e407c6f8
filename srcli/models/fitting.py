"""Build the network that tensors belong to, if they fit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from srcli.errors import ModelError
from srcli.models import (
    NETWORK_SETTING,
    build_network,
    find_entry,
    has_own_code,
    outline_network,
)
from srcli.threads import warnings_collected

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.layers.network import Network
    from srcli.models.weights import WeightsInfo

    Tensors = Mapping[str, Tensor]
    """The tensors of a file by their names."""

_MOST_BUILT = 100
"""Most parameter tensors that a constructor may make for each tensor of the file."""


@dataclass(frozen=True)
class Constants:
    """Constants of a network that names and shapes of its tensors do not show."""

    options: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values that an option of its constructor may have."""
    white: float | None = None
    """Value of white, where the file tells it by the size of a shift."""


class MatchedWeights(NamedTuple):
    """Tensors, and the network of our table or of a user that they belong to."""

    tensors: Tensors
    """By the names that the network has for them."""
    info: WeightsInfo
    """Model, scale and options of the network, as metadata of our files have them."""
    constants: Constants = Constants()
    """What the tensors do not show."""


def choose_scale(
    path: Path, matches: Sequence[MatchedWeights], scale: int | None
) -> MatchedWeights:
    """Return the match of a scale; without a scale the only match, else ModelError."""
    scales = ", ".join(str(match.info.scale) for match in matches)
    fitting = [match for match in matches if scale in (None, match.info.scale)]
    if not fitting:
        raise ModelError(f"{path}: is for scale {scales}, not {scale}")
    if len(fitting) > 1:
        raise ModelError(
            f"{path}: is of {fitting[0].info.model}, and does not say for which scale "
            f"({scales}); name one by -s"
        )
    return fitting[0]


def find_misfits(
    tensors: Tensors, info: WeightsInfo, most_tensors: int | None = None
) -> tuple[list[str], Network]:
    """Say what keeps tensors from being a network's, and return its ``outline_network``.

    ModelError if there is no such network, or one of more than ``most_tensors``
    parameter tensors: metadata of a file may ask for any number.
    """
    with warnings_collected():  # of layers that are too narrow
        outline = outline_network(
            info.model,
            scale=info.scale,
            options=info.network,
            most_tensors=most_tensors,
        )
    expected = outline.state_dict()
    misfits = [f"{key!r} is missing" for key in expected.keys() - tensors.keys()]
    for key, value in tensors.items():
        shape = tuple(value.shape)
        if key not in expected:
            misfits.append(f"{key!r} is unknown")
        elif shape != (needed := tuple(expected[key].shape)):
            misfits.append(f"{key!r} is of another shape, {shape} instead of {needed}")
    return sorted(misfits), outline


def describe_misfits(info: WeightsInfo, misfits: Sequence[str]) -> str:
    """Say in words that tensors do not fit a network, with the first reason."""
    text = f"does not fit {info.model} x{info.scale}: {misfits[0]}"
    if len(misfits) > 1:
        text += f", and {len(misfits) - 1} others"
    return text


def build_with_weights(path: Path, weights: MatchedWeights) -> Network:
    """Build a network with its weights; ModelError, naming the file, if they do not fit."""
    tensors, info, _ = weights
    try:
        misfits, network = find_misfits(tensors, info, _MOST_BUILT * len(tensors))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if misfits:
        hint = ""
        if not find_entry(info.model).target:
            setting = NETWORK_SETTING.format("NAME")
            hint = f"; -s and {setting} build it as it was trained"
        raise ModelError(f"{path}: {describe_misfits(info, misfits)}{hint}")
    state = {
        key: tensors[key].to(value.dtype, copy=True)
        for key, value in network.state_dict().items()
    }
    network.load_state_dict(state, assign=True)
    # Files do not hold all of some networks, and a user's constructor may compute
    # anything.
    values = (*network.parameters(), *network.buffers())
    incomplete = any(value.is_meta for value in values)
    if incomplete or has_own_code(info.model, info.network):
        network = build_network(info.model, scale=info.scale, options=info.network)
        network.load_state_dict(state)
    return network
