"""The weights files that a training writes, each with what is known of it."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import torch

from srcli import __version__
from srcli.models.forms import to_deployed
from srcli.models.weights import WeightsInfo, save_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from srcli.layers.network import Network
    from srcli.recipes.training import TrainRecipe
    from srcli.training.checkpoint import Position


class WeightsWriter:
    """Write weights in the form that is deployed.

    Args:
        network: What is trained.
        recipe: By which it is trained.
        scale: The super-resolution factor.
        notes: What else is to be known of the training, such as its seed.
    """

    def __init__(
        self, network: Network, recipe: TrainRecipe, *, scale: int, notes: Mapping[str, str]
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.scale = scale
        self.notes = {
            **notes,
            "srx": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        }
        if not recipe.degradation.is_clean:
            self.notes["degradation"] = recipe.degradation.name

    def write(self, file: Path, tensors: dict[str, Tensor], position: Position) -> None:
        """Write averaged weights.

        Args:
            file: Where; replaced whole.
            tensors: A state of the network.
            position: Where the training stands; a validation at that very iteration is noted.

        Raises:
            OSError: If it cannot be written.
        """
        own = {"iterations": str(position.total)}
        if position.validated == position.total and position.best_total == position.total:
            own["validation_psnr_y"] = f"{position.best:.4f}"
        stored, options = to_deployed(self.network, tensors, self.recipe.network)
        info = WeightsInfo(
            model=self.recipe.model, scale=self.scale, network=options, notes=self.notes | own
        )
        save_weights(file, stored, info)
