"""Adversarial training: a discriminator is trained with the network and adds to its loss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from srcli.errors import RecipeError
from srcli.losses.adversarial import BeganLoss, ClassificationLoss, DiscriminatorScores
from srcli.models.discriminators import build_discriminator
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    part,
    rate_factor,
    restore_optimizer,
)
from srcli.training.parallel import average_gradients, average_values
from srcli.training.supervised import StepContext, SupervisedStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from srcli.recipes.training import Adversarial, Stage


class AdversarialStep(SupervisedStep):
    """Train network and discriminator on the same batch, as BEGAN does.

    Both see the discriminator as it was before the iteration, so that it runs over the network's
    output only once. Every stage begins with a new discriminator.
    """

    best_by_psnr = False  # texture costs PSNR: the best by it would be the pre-trained network

    def __init__(self, stage: Stage, settings: Adversarial, context: StepContext) -> None:
        super().__init__(stage, context)
        self.settings = settings
        scale = context.network.scale
        size = stage.edge(scale) * scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            network = build_discriminator(
                settings.discriminator, size=size, options=settings.options
            )
        self.discriminator = self.numerics.placed(network)
        loss: BeganLoss | ClassificationLoss = ClassificationLoss()
        if settings.discriminator == "ae":
            loss = BeganLoss(
                gamma=settings.gamma,
                rate=settings.balance_rate,
                start=settings.balance_start,
                balance_on=settings.balance_on,
            )
        self.adversarial_loss = loss.to(self.numerics.device)
        jitter = settings.jitter
        if jitter and settings.discriminator == "fc":
            raise RecipeError("jitter: the discriminator 'fc' takes pictures of one size only")
        if jitter and self._multiple(size - jitter) < self.discriminator.minimum:
            raise RecipeError(f"jitter={jitter} leaves nothing of patches of {size} output pixels")
        self._second = make_optimizer(self.discriminator, settings.optimizer)
        self._seed = context.seed
        self._calls = torch.zeros((), dtype=torch.int64)

    def __call__(self, lr_image: Tensor, hr_image: Tensor, done: float) -> dict[str, Tensor]:
        """Change both by one batch; see ``SupervisedStep``."""
        sr_image, loss = self.predict(lr_image, hr_image)
        fake_image = sr_image.detach().requires_grad_()
        real, fake = self._crop(hr_image, fake_image)
        scores: DiscriminatorScores = self.adversarial_loss(
            (self._discriminate(real), real), (self._discriminate(fake), fake)
        )
        weight = self.settings.weight
        if weight:
            # The gradient at the picture alone: the discriminator's weights stay out of it.
            (gradient,) = torch.autograd.grad(scores.generator, fake_image, retain_graph=True)
            torch.autograd.backward([loss, sr_image], [None, weight * gradient])
        else:
            loss.backward()  # type: ignore[no-untyped-call]
        scores.discriminator.backward()  # type: ignore[no-untyped-call]
        values = average_values(
            self.team,
            {
                "loss": loss.detach() + weight * scores.generator.detach(),
                "l_real": scores.real.detach(),
                "l_fake": scores.fake.detach(),
            },
        )
        # The balance follows the whole batch, on every rank alike.
        whole = replace(scores, real=values["l_real"], fake=values["l_fake"])
        balance = self.adversarial_loss.update(whole, values["loss"])
        self.update(done)
        average_gradients(self.team, self._second)
        second = self.settings.optimizer
        rate = second.learning_rate * rate_factor(self.stage.schedule, done)
        apply_gradients(self._second, rate=rate, clip_norm=second.clip_norm)
        return {**values, **balance}

    def state(self) -> dict[str, Tensor]:
        """Return the state of both optimisers, of the discriminator and of the balance."""
        own = {
            "discriminator": self.discriminator.state_dict(),
            "second": optimizer_tensors(self._second),
            "adversarial_loss": self.adversarial_loss.state_dict(),
            "jitter": {"calls": self._calls},
        }
        return super().state() | {f"{name}.{k}": v for name in own for k, v in own[name].items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` returned."""
        super().restore(tensors)
        self.discriminator.load_state_dict(part(tensors, "discriminator."))
        restore_optimizer(self._second, part(tensors, "second."))
        self.adversarial_loss.load_state_dict(part(tensors, "adversarial_loss."))
        self._calls = tensors["jitter.calls"].clone().cpu()

    def _crop(self, *pictures: Tensor) -> tuple[Tensor, ...]:
        """Crop all pictures at the same place, drawn by seed and iteration."""
        self._calls += 1
        jitter = self.settings.jitter
        if not jitter:
            return pictures
        random = torch.Generator().manual_seed(self._seed * 1_000_003 + int(self._calls))
        top, left = torch.randint(jitter + 1, (2,), generator=random).tolist()
        height, width = (self._multiple(length - jitter) for length in pictures[0].shape[2:])
        return tuple(p[:, :, top : top + height, left : left + width] for p in pictures)

    def _multiple(self, length: int) -> int:
        multiple = self.discriminator.multiple_of
        return length // multiple * multiple

    def _discriminate(self, pictures: Tensor) -> Tensor:
        with self.numerics.autocasting():
            output: Tensor = self.discriminator(pictures)
        return output.float()
