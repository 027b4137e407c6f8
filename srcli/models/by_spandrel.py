"""Networks of other projects that spandrel, the library of chaiNNer, knows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from srcli.layers.network import Network
from srcli.threads import warnings_collected


class SpandrelNetwork(Network):
    """A network that spandrel built, for inference."""

    edge = 4
    origin = "spandrel"

    def __init__(self, descriptor: Any) -> None:  # noqa: ANN401 - of an optional library
        super().__init__()
        self.network = descriptor.model
        self.architecture: str = descriptor.architecture.name
        self.channels: tuple[int, int] = (
            descriptor.input_channels,
            descriptor.output_channels,
        )
        self.scale = descriptor.scale
        self.minimum = max(descriptor.size_requirements.minimum, 1)
        self.multiple_of = descriptor.size_requirements.multiple_of
        self.fp16 = descriptor.supports_half
        self.bf16 = descriptor.supports_bfloat16
        self.tiles = descriptor.tiling.name == "SUPPORTED"
        if descriptor.input_channels == 1:
            self.colour = "gray"
        self._descriptor = descriptor

    def _enlarge(self, x: Tensor) -> Tensor:
        # One by one, as spandrel demands; it pads what must be square.
        # Copies, as some of its networks change their input in place.
        pictures = [picture.clone() for picture in torch.split(x, 1)]
        return torch.cat([self._descriptor(picture) for picture in pictures])


def _register_extra_networks() -> None:
    """Let spandrel know the networks of spandrel_extra_arches, where that is installed.

    They are in a package of their own as their licences forbid some uses.
    """
    if find_spec("spandrel_extra_arches") is None:
        return
    import spandrel_extra_arches

    spandrel_extra_arches.install(ignore_duplicates=True)


def build_by_spandrel(tensors: Mapping[str, Tensor]) -> SpandrelNetwork:
    """Build the network that tensors by its authors' names belong to.

    ImportError if spandrel is not installed; RuntimeError of PyTorch if torchvision is
    for another torch; else what spandrel raises for tensors of no network that it
    knows, TypeError where a network does not turn a picture into one (inpainting).
    """
    # of old code that runs as it is, and that nobody who runs it can change
    with warnings_collected():
        torch.meshgrid(torch.ones(1))  # PyTorch warns of it once, now
        from spandrel import ImageModelDescriptor, ModelLoader, canonicalize_state_dict

        _register_extra_networks()
        descriptor = ModelLoader().load_from_state_dict(
            canonicalize_state_dict(dict(tensors))
        )
    if not isinstance(descriptor, ImageModelDescriptor):
        name = descriptor.architecture.name
        raise TypeError(f"{name} takes more than a picture")
    return SpandrelNetwork(descriptor)
