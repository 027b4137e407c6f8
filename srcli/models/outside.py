"""Networks of the library spandrel: weights files of some forty further architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from srcli.errors import ModelError
from srcli.layers.network import Network
from srcli.models.recognition import unknown_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class SpandrelNetwork(Network):
    """A network that spandrel built, described by an ``ImageModelDescriptor``; for inference."""

    edge = 4
    traced_small = False  # some branch on the size

    def __init__(self, descriptor: Any) -> None:  # noqa: ANN401 - of an optional library
        super().__init__()
        self.network = descriptor.model
        self.scale = descriptor.scale
        self.minimum = max(descriptor.size_requirements.minimum, 1)
        self.multiple_of = descriptor.size_requirements.multiple_of
        self.fp16 = descriptor.supports_half
        self.bf16 = descriptor.supports_bfloat16
        self.tiles = descriptor.tiling.name == "SUPPORTED"
        self._descriptor = descriptor

    def _enlarge(self, x: Tensor) -> Tensor:
        # One by one, as spandrel demands; it pads what must be square.
        return torch.cat([self._descriptor(each) for each in torch.split(x, 1)])


def load_with_spandrel(path: Path, tensors: Mapping[str, Tensor]) -> SpandrelNetwork:
    """Build a network that is not of our table, by spandrel where it is installed.

    Spandrel itself reads no file; ``path`` is for messages. ModelError if it is not installed, or
    does not know the network either.
    """
    try:
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict
    except ImportError as error:
        hint = "pip install 'spandrel' reads some forty more networks"
        raise unknown_network(path, tensors, hint) from error
    except RuntimeError as error:  # its torchvision was built for another torch
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{path}: spandrel cannot be imported ({reason}); install the torchvision that was "
            "built for the installed torch, from where that came from"
        ) from error
    try:
        descriptor = ModelLoader().load_from_state_dict(canonicalize_state_dict(dict(tensors)))
    except Exception as error:
        raise unknown_network(path, tensors, "spandrel knows none, either") from error
    channels = descriptor.input_channels, descriptor.output_channels
    if not isinstance(descriptor, ImageModelDescriptor) or channels != (3, 3):
        name = descriptor.architecture.name
        raise ModelError(f"{path}: is of {name}, which does not turn RGB into RGB")
    return SpandrelNetwork(descriptor)
