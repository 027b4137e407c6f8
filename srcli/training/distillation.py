"""Teachers: trained networks whose pictures another one learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srcli.errors import RecipeError
from srcli.layers.flips import EIGHT, turned, turned_back
from srcli.models.weights import load_model, network_digest

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.recipes.training import Distillation, TrainRecipe
    from srcli.training.steps import Training


class Teacher:
    """Enlarge LR patches by a trained network, which never changes.

    Args:
        settings: Which network, and how its pictures are made.
        training: Whose network is taught: scale, colour, device and number format.

    Raises:
        ModelError: If there is no such model at that scale, or the file cannot be read.
        RecipeError: If it works on another colour space than the network.
    """

    def __init__(self, settings: Distillation, training: Training) -> None:
        self.numerics = training.numerics
        self.ways = EIGHT if settings.tta else EIGHT[:1]
        network = load_model(settings.teacher, training.network.scale)
        own, other = training.network.colour, network.colour
        if own != other:
            raise RecipeError(
                f"distillation: {settings.teacher} works on {other.upper()}, "
                f"the network on {own.upper()}"
            )
        self.network = self.numerics.placed(network.requires_grad_(requires_grad=False))

    @torch.no_grad()
    def __call__(self, lr_image: Tensor) -> Tensor:
        """Return SR (N, C, sP, sP) in fp32, without gradients, for LR (N, C, P, P)."""
        shown: list[Tensor] = []
        for way in self.ways:
            given = turned(lr_image, *way).contiguous(memory_format=self.numerics.layout)
            with self.numerics.autocasting():
                sr_image: Tensor = self.network(given)
            shown.append(turned_back(sr_image.float(), *way))
        return sum(shown[1:], shown[0]) / len(shown)


def teachers_digest(recipe: TrainRecipe, scale: int) -> str | None:
    """Digest of all teachers of a recipe, weights included; None where there are none.

    Raises:
        ModelError: If a teacher does not exist at this scale, or its file cannot be read.
    """
    names = [stage.distillation.teacher for stage in recipe.stages if stage.distillation]
    return " ".join(network_digest(load_model(name, scale))[:32] for name in names) or None
