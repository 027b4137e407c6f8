"""Supervised training: the network's output against HR, and a teacher's, by weighted losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from srcli.errors import RecipeError
from srcli.layers.network import Network
from srcli.layers.placement import ORIENTATIONS, orient, undo_orientation
from srcli.layers.resize import bicubic_resize
from srcli.losses import WeightedLoss
from srcli.models.weights import load_model, network_digest
from srcli.training.numerics import Numerics
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    part,
    rate_at,
    restore_optimizer,
)
from srcli.training.parallel import ALONE, Team, average_gradients, average_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from srcli.recipes.training import Distillation, Stage, TrainRecipe


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """The parts that the steps of all stages of a training share."""

    network: Network
    forward: Callable[[Tensor], Tensor]
    """The network, or its compiled form."""
    numerics: Numerics
    seed: int = 0
    """Of the weights that a step makes itself, such as a discriminator's."""
    team: Team = ALONE


class SupervisedStep:
    """Train a network during one stage by its losses; called with one batch at a time."""

    best_by_psnr = True
    """True if validation decides which weights are the best; else the last ones are."""

    def __init__(self, stage: Stage, context: StepContext) -> None:
        network = context.network
        self.stage = stage
        self.numerics = context.numerics
        self.team = context.team
        self.losses = WeightedLoss(stage.losses).to(self.numerics.device)
        self.optimizer = make_optimizer(network, stage.optimizer)
        self._forward = context.forward
        self._attend: Callable[[Tensor], tuple[Tensor, list[Tensor]]] | None = None
        if stage.attention_weight:
            if not network.num_maps:
                raise RecipeError("attention_weight: this network has no attention maps")
            self._attend = network.attend
        self._teacher: Teacher | None = None
        if stage.distillation is not None:
            self._teacher = Teacher(stage.distillation, network, self.numerics)

    def __call__(self, lr_image: Tensor, hr_image: Tensor, done: float) -> dict[str, Tensor]:
        """Change the weights by one batch.

        Args:
            lr_image: (N, 3, P, P) in [0, 1]; of several processes, the share of this one.
            hr_image: (N, 3, sP, sP) in [0, 1].
            done: Fraction of the stage that is done, for the learning rate.

        Returns:
            Scalars for log and progress, ``loss`` first; on a GPU they may not be computed yet.
        """
        _, loss = self.predict(lr_image, hr_image)
        loss.backward()  # type: ignore[no-untyped-call]
        self.update(done)
        return average_values(self.team, {"loss": loss.detach()})

    def predict(self, lr_image: Tensor, hr_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return SR (N, 3, sP, sP) in fp32 and its loss, a scalar; both carry gradients."""
        maps: list[Tensor] = []
        with self.numerics.autocasting():
            if self._attend is None:
                sr_image = self._forward(lr_image)
            else:
                sr_image, maps = self._attend(lr_image)
        sr_image = sr_image.float()
        loss: Tensor = self.losses(sr_image, hr_image, lr_image)
        if self._teacher is not None:
            share = self._teacher.share
            to_teacher = self.losses(sr_image, self._teacher(lr_image), lr_image)
            loss = (1 - share) * loss + share * to_teacher
        if maps:
            loss = loss + self.stage.attention_weight * attention_loss(maps, lr_image, hr_image)
        return sr_image, loss

    def update(self, done: float) -> None:
        """Change the network by the gradients that were computed, averaged over all processes."""
        average_gradients(self.team, self.optimizer)
        rate = rate_at(self.stage, done)
        apply_gradients(self.optimizer, rate=rate, clip_norm=self.stage.optimizer.clip_norm)

    def state(self) -> dict[str, Tensor]:
        """Return all that an exact resume needs, apart from the network and its averages."""
        return {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` returned."""
        restore_optimizer(self.optimizer, part(tensors, "optimizer."))


class Teacher:
    """Upscale LR patches by a trained network, which never changes."""

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
    """Return a digest of all teachers of a recipe with their weights; None without teachers."""
    names = [stage.distillation.teacher for stage in recipe.stages if stage.distillation]
    return " ".join(network_digest(load_model(name, scale))[:32] for name in names) or None


def interpolation_error(lr_image: Tensor, hr_image: Tensor) -> Tensor:
    """Return the error of bicubic enlargement, the target of attention maps.

    ``|HR - bicubic(LR)|``, averaged over the channels and over the area of each LR pixel, divided
    by the largest value of its picture.

    Args:
        lr_image: (N, C, H, W).
        hr_image: (N, C, sH, sW).

    Returns:
        (N, 1, H, W) in [0, 1]; zeros where a picture has no error at all.
    """
    scale = hr_image.shape[-1] // lr_image.shape[-1]
    error = (hr_image - bicubic_resize(lr_image, scale)).abs().mean(dim=1, keepdim=True)
    pooled = F.avg_pool2d(error, scale)
    return pooled / pooled.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)


def attention_loss(
    maps: Sequence[Tensor], lr_image: Tensor, hr_image: Tensor, *, decay: float = 0.8
) -> Tensor:
    """Return the sum of ``decay^(T - t) * MSE(A_t, M)``, as in DeRaindrop (Qian et al. 2018).

    Args:
        maps: A_1 .. A_T, each (N, 1, H, W).
        lr_image: (N, C, H, W).
        hr_image: (N, C, sH, sW).
        decay: Weight of each earlier map relative to the next.
    """
    if not maps:
        raise ValueError("expected at least one attention map, got none")
    target = interpolation_error(lr_image, hr_image)
    errors = [(each.float() - target).square().mean() for each in reversed(maps)]
    return sum((decay**age * errors[age] for age in range(1, len(errors))), errors[0])
