"""The content of weights files: tensors, and the network that they are of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """The metadata of a weights file."""

    model: str
    scale: int
    network: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the constructor, without the scale."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Everything else, such as recipe and iterations."""


class StoredWeights(NamedTuple):
    """The content of a weights file."""

    tensors: Mapping[str, Tensor]
    info: WeightsInfo | None
    """Its metadata, if it is ours."""
    note: str = ""
    """What was chosen among several tables of tensors, in words."""
    key: str = ""
    """Keys of the tables around that of the tensors, joined by dots, such as
    ``params_ema`` or ``model.module``."""
    dropped: tuple[str, ...] = ()
    """Names of classes of the objects beside the tensors, which are not read."""
