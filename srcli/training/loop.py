"""The training loop: stages of batches, averaging and exact resume, in one or more processes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol, Unpack

import torch

from srcli.training.budget import Budget, stage_budgets
from srcli.training.checkpoint import Position, State
from srcli.training.ema import Ema
from srcli.training.keeper import Hooks, Keeper
from srcli.training.parallel import ALONE, Team, share_of
from srcli.training.steps import Step, Training, make_step
from srcli.training.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from srcli.data.patches import PatchSettings
    from srcli.layers.network import Network
    from srcli.recipes.training import Stage, TrainRecipe
    from srcli.training.numerics import Numerics


class Sampler(Protocol):
    """Gives the batch of an iteration; the same one for the same step."""

    def batch(self, step: int, **settings: Unpack[PatchSettings]) -> tuple[Tensor, Tensor]:
        """Return LR (N, C, P, P) and HR (N, C, sP, sP) in [0, 1], or a little beyond.

        Of several processes each gets its share of the ``batch`` patches.
        """


class Trainer:
    """Train one network by a recipe; construct, then ``run``.

    Args:
        network: On the device of ``numerics``.
        recipe: Stages, losses, averaging.
        sampler: Source of batches.
        budget: Replaces the recipe's iterations; None keeps them.
        numerics: Device and precision.
        folder: Where ``state.safetensors`` and ``log.jsonl`` are written.
        hooks: Validation, progress and stopping.
        checkpoint_seconds: Time between checkpoints.
        seed: Of weights that the training itself makes, such as a discriminator's.
        team: The processes that train together; all of them construct and call the same.

    Raises:
        RecipeError: If a loss or another part of a stage does not fit.
    """

    def __init__(  # noqa: PLR0913 - the parts of a training, each replaceable in a test
        self,
        *,
        network: Network,
        recipe: TrainRecipe,
        sampler: Sampler,
        budget: Budget | None,
        numerics: Numerics,
        folder: Path,
        hooks: Hooks,
        checkpoint_seconds: float = 300.0,
        seed: int = 0,
        team: Team = ALONE,
    ) -> None:
        for stage in recipe.stages:
            share_of(team, stage.batch)  # refuse now what cannot be divided
        self.network = network
        self.recipe = recipe
        self.sampler = sampler
        self.numerics = numerics
        self.team = team
        self.budgets = stage_budgets(recipe, budget)
        forward: Callable[[Tensor], Tensor] = network
        if numerics.compile:
            forward = torch.compile(network)
        training = Training(
            network=network, forward=forward, numerics=numerics, seed=seed, team=team
        )
        self.ema = Ema(network, recipe.ema_decay)
        # All stages at once: a wrong option of the last one must not show after hours.
        steps = [make_step(stage, training) for stage in recipe.stages]
        self.state = State(network=network, ema=self.ema, steps=steps)
        self.keeper = Keeper(
            self.state,
            recipe=recipe,
            hooks=hooks,
            folder=folder,
            checkpoint_seconds=checkpoint_seconds,
        )

    @property
    def position(self) -> Position:
        """Where the training stands."""
        return self.state.position

    @property
    def step(self) -> Step:
        """The step of the stage that is under way, or of the last one."""
        return self.state.step

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return self.position.stage >= len(self.recipe.stages)

    def resume(self) -> bool:
        """Go on from the checkpoint in the folder, if there is one; false if there is none.

        Raises:
            DataError: If the checkpoint is damaged or belongs to another network.
        """
        file = self.keeper.state_file
        if not self.team.lead(file.is_file):
            return False
        self.team.together(partial(self.state.load, file))
        self.team.lead(partial(self.keeper.log.rewind, self.position.total))
        return True

    def run(self) -> bool:
        """Train to the end of the budget; false if stopped before (a checkpoint is written).

        Raises:
            InferenceError: If the training diverges; the last checkpoint stays as it was.
            OSError: If the folder cannot be written.
            LeaderError: In all but the first of several processes, if any of them fails.
        """
        self.team.align([*self.network.state_dict().values(), *self.ema.averages.values()])
        self.network.train()
        while not self.finished:
            if not self._run_stage(self.recipe.stages[self.position.stage]):
                return False
            before = self.step
            self.position.stage += 1
            self.position.step, self.position.elapsed = 0, 0.0
            if not self.finished:
                self._begin_stage(before)
            self.team.lead(self.keeper.checkpoint)
        return True

    def _begin_stage(self, before: Step) -> None:
        if self.recipe.stages[self.position.stage].reset_optimizer:
            # A warm start: averaged weights; optimiser and schedule of the new stage.
            self.network.load_state_dict(self.ema.averages)
        else:
            self.step.restore(before.state())

    def _run_stage(self, stage: Stage) -> bool:
        budget, position = self.budgets[self.position.stage], self.position
        watch = Watch(self.keeper, stage, budget)
        try:
            while (done := budget.progress(position.step, position.elapsed)) < 1:
                values = self.train_on_batch(stage, done)
                position.step += 1
                position.total += 1
                stop = self.keeper.hooks.stop()
                # One clock for all, so that they agree on rate and end; the first one's word on
                # stopping, too.
                position.elapsed, stopped = self.team.lead(
                    partial(watch.iteration, values, done, stop)
                )
                if stopped:
                    return False
            self.team.lead(watch.end)
        finally:
            watch.close()
        return True

    def train_on_batch(self, stage: Stage, done: float) -> dict[str, Tensor]:
        """Change the weights by the batch of the iteration that the training stands at.

        Args:
            stage: The stage that it stands in.
            done: Fraction of it that is done.

        Returns:
            Loss and other scalars; they may still be on their way on a GPU.
        """
        lr_image, hr_image = self.sampler.batch(
            self.position.total,
            batch=stage.batch,
            patch=stage.patch,
            prefer_detail=stage.prefer_detail,
            shuffle_channels=stage.shuffle_channels,
            vary_levels=stage.vary_levels,
        )
        if self.numerics.channels_last:
            lr_image = lr_image.contiguous(memory_format=torch.channels_last)
        else:
            lr_image, hr_image = lr_image.contiguous(), hr_image.contiguous()
        values = self.step(lr_image, hr_image, done)
        self.ema.update(self.network, self.position.total)
        return values
