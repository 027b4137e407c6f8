"""Knowledge distillation: a trained network whose output another one learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from srcli.errors import RecipeError
from srcli.layers.flips import ORIENTATIONS, orient, undo_orientation
from srcli.models.weights import load_model, network_digest

if TYPE_CHECKING:
    from torch import Tensor

    from srcli.layers.network import Network
    from srcli.recipes.training import Distillation, TrainRecipe
    from srcli.training.numerics import Numerics


class Teacher:
    """Upscale LR patches by a trained network, which never changes.

    Args:
        settings: The teacher's name and how it is run.
        student: The network that is trained; scale and colour space must agree.
        numerics: Device and number format of the training.

    Raises:
        ModelError: If there is no such model at that scale, or the file cannot be read.
        RecipeError: If it works on another colour space than the network.
    """

    def __init__(self, settings: Distillation, student: Network, numerics: Numerics) -> None:
        self.numerics = numerics
        self.share = settings.share
        self.ways = ORIENTATIONS if settings.tta else ORIENTATIONS[:1]
        network = load_model(settings.teacher, student.scale)
        own, other = student.colour, network.colour
        if own != other:
            raise RecipeError(
                f"distillation: {settings.teacher} works on {other.upper()}, "
                f"the network on {own.upper()}"
            )
        self.network = self.numerics.placed(network.requires_grad_(requires_grad=False))

    @torch.no_grad()
    def __call__(self, lr_image: Tensor) -> Tensor:
        """Return SR (N, C, sP, sP) in fp32, without gradients, for LR (N, C, P, P)."""
        outputs: list[Tensor] = []
        for way in self.ways:
            patches = orient(lr_image, *way).contiguous(memory_format=self.numerics.layout)
            with self.numerics.autocasting():
                sr_image: Tensor = self.network(patches)
            outputs.append(undo_orientation(sr_image.float(), *way))
        return sum(outputs[1:], outputs[0]) / len(outputs)


def teachers_digest(recipe: TrainRecipe, scale: int) -> str | None:
    """Return a digest of all teachers of a recipe with their weights; None without teachers.

    Raises:
        ModelError: If a teacher does not exist at this scale, or its file cannot be read.
    """
    names = [stage.distillation.teacher for stage in recipe.stages if stage.distillation]
    return " ".join(network_digest(load_model(name, scale))[:32] for name in names) or None
