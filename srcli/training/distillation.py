"""Teachers: trained networks whose pictures another one learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srcli.errors import RecipeError
from srcli.models.weights import load_model, network_digest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from srcli.recipes.training import TrainRecipe
    from srcli.training.steps import Training


class Teacher:
    """Enlarge LR patches by a trained network, which never changes.

    Args:
        name: A model with shipped weights, or a weights file.
        training: Whose network is taught: scale, colour, device and number format.

    Raises:
        ModelError: If there is no such model at that scale, or the file cannot be read.
        RecipeError: If it works on another colour space than the network.
    """

    def __init__(self, name: str, training: Training) -> None:
        self.numerics = training.numerics
        network = load_model(name, int(training.network.scale))  # type: ignore[arg-type]
        own, other = _colour(training.network), _colour(network)
        if own != other:
            raise RecipeError(
                f"distillation: {name} works on {other.upper()}, the network on {own.upper()}"
            )
        layout = torch.channels_last if self.numerics.channels_last else torch.contiguous_format
        network.requires_grad_(requires_grad=False).to(self.numerics.device)
        self.network = network.to(memory_format=layout)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, lr_image: Tensor) -> Tensor:
        """Return SR (N, C, sP, sP) in fp32, without gradients, for LR (N, C, P, P)."""
        half = self.numerics.autocast
        with torch.autocast(self.numerics.device.type, dtype=half, enabled=half is not None):
            sr_image: Tensor = self.network(lr_image)
        return sr_image.float()


def teachers_digest(recipe: TrainRecipe, scale: int) -> str | None:
    """Digest of all teachers of a recipe, weights included; None where there are none.

    Raises:
        ModelError: If a teacher does not exist at this scale, or its file cannot be read.
    """
    names = [stage.distillation.teacher for stage in recipe.stages if stage.distillation]
    return " ".join(network_digest(load_model(name, scale))[:32] for name in names) or None


def _colour(network: nn.Module) -> str:
    return str(getattr(network, "colour", "rgb"))
