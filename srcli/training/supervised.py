"""Supervised training: the network's output against HR, and a teacher's, by weighted losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.errors import RecipeError
from srcli.losses import WeightedLoss
from srcli.losses.attention import attention_loss
from srcli.training.distillation import Teacher
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    part,
    restore_optimizer,
)
from srcli.training.parallel import average_gradients, average_values
from srcli.training.schedule import rate_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from srcli.recipes.training import Stage
    from srcli.training.steps import Training


class SupervisedStep:
    """Lower the losses of a stage; the ordinary way of training.

    Args:
        stage: Losses, optimiser, schedule.
        training: What is trained.

    Raises:
        RecipeError: If a loss or one of its options does not exist, or maps are to be supervised
            and the network has none; if the teacher does not suit the network.
        ModelError: If there is no such teacher.
    """

    best_by_psnr = True

    def __init__(self, stage: Stage, training: Training) -> None:
        self.stage = stage
        self.numerics = training.numerics
        self.team = training.team
        self.losses = WeightedLoss(stage.losses).to(training.numerics.device)
        self.optimizer = make_optimizer(training.network, stage.optimizer)
        self._forward = training.forward
        self._attend: Callable[[Tensor], tuple[Tensor, list[Tensor]]] | None = None
        if stage.attention_weight:
            if not training.network.num_maps:
                raise RecipeError("attention_weight: this network has no attention maps")
            self._attend = training.network.attend
        distillation = stage.distillation
        self._share = distillation.share if distillation else 0.0
        self._teacher = Teacher(distillation, training) if distillation else None

    def __call__(self, lr_image: Tensor, hr_image: Tensor, done: float) -> dict[str, Tensor]:
        """Change the weights by one batch; see ``srcli.training.steps.Step``."""
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
            taught = self.losses(sr_image, self._teacher(lr_image), lr_image)
            loss = (1 - self._share) * loss + self._share * taught
        if maps:
            guided = attention_loss(maps, lr_image, hr_image)
            loss = loss + self.stage.attention_weight * guided
        return sr_image, loss

    def update(self, done: float) -> None:
        """Change the network by the gradients that are there, those of all processes."""
        average_gradients(self.team, self.optimizer)
        rate = rate_at(self.stage, done)
        apply_gradients(self.optimizer, rate=rate, clip_norm=self.stage.optimizer.clip_norm)

    def state(self) -> dict[str, Tensor]:
        """The optimiser's memory."""
        return {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` gave."""
        restore_optimizer(self.optimizer, part(tensors, "optimizer."))
