"""The training loop: stages of batches, averaging and exact resume, in one or more processes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from srcli.training.adversarial import AdversarialStep
from srcli.training.budget import Budget, stage_budgets
from srcli.training.checkpoint import CheckpointManager, Hooks
from srcli.training.log import rewind
from srcli.training.monitor import StageMonitor
from srcli.training.parallel import ALONE, Team, require_divisible
from srcli.training.state import Ema, Position, TrainingState
from srcli.training.supervised import StepContext, SupervisedStep

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from srcli.layers.network import Network
    from srcli.recipes.training import Stage, TrainRecipe
    from srcli.training.numerics import Numerics


def make_step(stage: Stage, context: StepContext) -> SupervisedStep:
    """Return the step that a stage of a recipe describes."""
    if stage.adversarial is None:
        return SupervisedStep(stage, context)
    return AdversarialStep(stage, stage.adversarial, context)


class Sampler(Protocol):
    """The source of batches; it returns the same batch for the same step."""

    def batch(self, step: int, stage: Stage) -> tuple[Tensor, Tensor]:
        """Return LR (N, C, P, P) and HR (N, C, sP, sP) in [0, 1], or a little beyond.

        Each of several processes gets its share of the patches.
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
        team: The processes that train together; all of them make the same calls.
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
            require_divisible(stage.batch, team)
        self.network = network
        self.recipe = recipe
        self.sampler = sampler
        self.numerics = numerics
        self.team = team
        self.budgets = stage_budgets(recipe, budget)
        forward = numerics.compiled(network)
        context = StepContext(
            network=network, forward=forward, numerics=numerics, seed=seed, team=team
        )
        self.ema = Ema(network, recipe.ema_decay)
        # All stages at once: a wrong option of the last one must not show after hours.
        steps = [make_step(stage, context) for stage in recipe.stages]
        self.state = TrainingState(network=network, ema=self.ema, steps=steps)
        self.manager = CheckpointManager(
            self.state,
            recipe=recipe,
            hooks=hooks,
            folder=folder,
            checkpoint_seconds=checkpoint_seconds,
            team=team,
        )

    @property
    def position(self) -> Position:
        """Progress of the training."""
        return self.state.position

    @property
    def step(self) -> SupervisedStep:
        """The step of the stage that is under way, or of the last one."""
        return self.state.step

    def resume(self) -> bool:
        """Load the checkpoint of the folder; false if there is none.

        A training that is finished goes on in its last stage where the budget is longer now.
        """
        file = self.manager.state_file
        if not self.team.on_rank_zero(file.is_file):
            return False
        self.state.load(file, self.team)
        position, last = self.position, self.budgets[-1]
        ended = position.stage == len(self.budgets) and position.step > 0
        if ended and last.progress(position.step, position.elapsed) < 1:
            position.stage -= 1
        self.team.on_rank_zero(partial(rewind, self.manager.log_file, self.position.total))
        return True

    def run(self) -> bool:
        """Train to the end of the budget; false if stopped before (a checkpoint is written).

        Raises:
            InferenceError: If the training diverges; the last checkpoint stays as it was.
            OSError: If the folder cannot be written.
            PeerError: On all ranks but 0, if any of them fails.
        """
        self.team.broadcast([*self.network.state_dict().values(), *self.ema.averages.values()])
        self.network.train()
        stages, position = self.recipe.stages, self.position
        while position.stage < len(stages):
            if not self._run_stage(stages[position.stage]):
                return False
            before = self.step
            position.stage += 1
            if position.stage < len(stages):
                position.step, position.elapsed = 0, 0.0
                if stages[position.stage].reset_optimizer:
                    # A warm start: averaged weights; optimiser and schedule of the new stage.
                    self.network.load_state_dict(self.ema.averages)
                else:
                    self.step.restore(before.state())
            self.team.on_rank_zero(self.manager.checkpoint)
        return True

    def _run_stage(self, stage: Stage) -> bool:
        budget, position = self.budgets[self.position.stage], self.position
        monitor = StageMonitor(self.manager, stage, budget)
        try:
            while (done := budget.progress(position.step, position.elapsed)) < 1:
                values = self.train_on_batch(stage, done)
                position.step += 1
                position.total += 1
                stop = self.manager.hooks.stop() or self.team.orphaned
                if monitor.after_iteration(values, done, stop):
                    return False
            monitor.end()
        finally:
            monitor.close()
        return True

    def train_on_batch(self, stage: Stage, done: float) -> dict[str, Tensor]:
        """Change the weights by the batch of the current iteration."""
        lr_image, hr_image = self.sampler.batch(self.position.total, stage)
        values = self.step(*self.numerics.arranged(lr_image, hr_image), done)
        self.ema.update(self.network, self.position.total)
        return values
