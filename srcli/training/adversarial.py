"""Adversarial training: a discriminator learns beside the network and acts on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from srcli.errors import RecipeError
from srcli.losses.adversarial import Classification, Equilibrium, Game
from srcli.models.discriminators import build_discriminator
from srcli.training.optimizers import (
    apply_gradients,
    make_optimizer,
    optimizer_tensors,
    part,
    restore_optimizer,
)
from srcli.training.parallel import average_gradients, average_values
from srcli.training.schedule import rate_factor
from srcli.training.supervised import SupervisedStep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from srcli.recipes.training import Adversarial, Stage
    from srcli.training.steps import Training


def _equilibrium(settings: Adversarial) -> Equilibrium:
    return Equilibrium(
        gamma=settings.gamma,
        rate=settings.balance_rate,
        start=settings.balance_start,
        balance_on=settings.balance_on,
    )


GAMES: dict[str, Callable[[Adversarial], Equilibrium | Classification]] = {
    "ae": _equilibrium,
    "fc": lambda settings: Classification(),
}
"""The rules that belong to each discriminator."""


class AdversarialStep:
    """Change network and discriminator by the same batch, as BEGAN does.

    Both see the discriminator as it was before the iteration, so that it runs over the network's
    output only once. Every stage begins with a discriminator of its own.

    Args:
        stage: Losses, optimiser and schedule of the network.
        settings: The discriminator and its part.
        training: What is trained.

    Raises:
        RecipeError: If a loss, a discriminator's option or the patch size does not fit.
    """

    best_by_psnr = False  # texture costs PSNR: the best by it would be the pre-trained network

    def __init__(self, stage: Stage, settings: Adversarial, training: Training) -> None:
        self.stage = stage
        self.settings = settings
        self.numerics = training.numerics
        self.supervised = SupervisedStep(stage, training)
        size = stage.patch * training.network.scale
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            network = build_discriminator(
                settings.discriminator, size=size, options=settings.options
            )
        self.discriminator = self.numerics.placed(network)
        self.game: Game = GAMES[settings.discriminator](settings).to(self.numerics.device)
        self._check_jitter(size)
        self._second = make_optimizer(self.discriminator, settings.optimizer)
        self._seed = training.seed
        self._calls = torch.zeros((), dtype=torch.int64)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The network's own."""
        return self.supervised.optimizer

    def __call__(self, lr_image: Tensor, hr_image: Tensor, done: float) -> dict[str, Tensor]:
        """Change both by one batch; see ``srcli.training.steps.Step``."""
        sr_image, loss = self.supervised.predict(lr_image, hr_image)
        fake_image = sr_image.detach().requires_grad_()
        real, fake = self._cut(hr_image, fake_image)
        verdict = self.game.judge((self._answer(real), real), (self._answer(fake), fake))
        weight = self.settings.weight
        if weight:
            # The gradient at the picture alone: the discriminator's weights stay out of it.
            (push,) = torch.autograd.grad(verdict.generator, fake_image, retain_graph=True)
            torch.autograd.backward([loss, sr_image], [None, weight * push])
        else:
            loss.backward()  # type: ignore[no-untyped-call]
        verdict.discriminator.backward()  # type: ignore[no-untyped-call]
        values = average_values(
            self.supervised.team,
            {
                "loss": loss.detach() + weight * verdict.generator.detach(),
                "l_real": verdict.real.detach(),
                "l_fake": verdict.fake.detach(),
            },
        )
        # The balance follows the whole batch, in every process alike.
        whole = replace(verdict, real=values["l_real"], fake=values["l_fake"])
        news = self.game.settle(whole, values["loss"])
        self.supervised.update(done)
        average_gradients(self.supervised.team, self._second)
        second = self.settings.optimizer
        rate = second.learning_rate * rate_factor(self.stage.schedule, done)
        apply_gradients(self._second, rate=rate, clip_norm=second.clip_norm)
        return {**values, **news}

    def state(self) -> dict[str, Tensor]:
        """The memory of both optimisers, the discriminator, and what the game remembers."""
        slots = optimizer_tensors(self._second)
        return {
            **self.supervised.state(),
            **{f"discriminator.{k}": v for k, v in self.discriminator.state_dict().items()},
            **{f"second.{k}": v for k, v in slots.items()},
            **{f"game.{k}": v for k, v in self.game.state_dict().items()},
            "jitter.calls": self._calls,
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` gave."""
        self.supervised.restore(tensors)
        self.discriminator.load_state_dict(part(tensors, "discriminator."))
        restore_optimizer(self._second, part(tensors, "second."))
        self.game.load_state_dict(part(tensors, "game."))
        self._calls = tensors["jitter.calls"].clone().cpu()

    def _cut(self, *pictures: Tensor) -> tuple[Tensor, ...]:
        """Cut all pictures at the same random place; which one follows from seed and iteration."""
        self._calls += 1
        jitter = self.settings.jitter
        if not jitter:
            return pictures
        place = torch.Generator().manual_seed(self._seed * 1_000_003 + int(self._calls))
        top, left = torch.randint(jitter + 1, (2,), generator=place).tolist()
        height, width = (self._side(length - jitter) for length in pictures[0].shape[2:])
        return tuple(p[:, :, top : top + height, left : left + width] for p in pictures)

    def _check_jitter(self, size: int) -> None:
        jitter = self.settings.jitter
        if jitter and self.settings.discriminator == "fc":
            raise RecipeError("jitter: the discriminator 'fc' takes pictures of one size only")
        if jitter and self._side(size - jitter) < 1:
            raise RecipeError(f"jitter={jitter} leaves nothing of patches of {size} output pixels")

    def _side(self, length: int) -> int:
        multiple = self.discriminator.multiple_of
        return length // multiple * multiple

    def _answer(self, pictures: Tensor) -> Tensor:
        with self.numerics.autocasting():
            answer: Tensor = self.discriminator(pictures)
        return answer.float()
