"""What one iteration does to the weights: the seam between the loop and the ways of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from srcli.layers.network import Network
from srcli.training.adversarial import AdversarialStep
from srcli.training.numerics import Numerics
from srcli.training.parallel import ALONE, Team
from srcli.training.supervised import SupervisedStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from srcli.recipes.training import Stage


class Step(Protocol):
    """One way to train a network during one stage; called with a batch at a time."""

    @property
    def best_by_psnr(self) -> bool:
        """Whether validation tells the best weights; else the last ones are taken for it."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimiser of the network itself."""

    def __call__(self, lr_image: Tensor, hr_image: Tensor, done: float) -> dict[str, Tensor]:
        """Change the weights by one batch.

        Args:
            lr_image: (N, 3, P, P) in [0, 1]; of several processes, the share of this one.
            hr_image: (N, 3, sP, sP) in [0, 1].
            done: Fraction of the stage that is done, for the learning rate.

        Returns:
            Scalars for log and progress, ``loss`` first; they may still be on their way on a GPU.
        """

    def state(self) -> dict[str, Tensor]:
        """Everything that an exact resume needs, apart from the network and its averages."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` gave.

        Raises:
            KeyError: If something is missing.
            ValueError: If something does not fit; so does RuntimeError.
        """


@dataclass(frozen=True, kw_only=True)
class Training:
    """What all stages of a training share."""

    network: Network
    forward: Callable[[Tensor], Tensor]
    """The network, or its compiled form."""
    numerics: Numerics
    seed: int = 0
    """Of the weights that a step makes itself."""
    team: Team = ALONE
    """The processes that train together."""


def make_step(stage: Stage, training: Training) -> Step:
    """Return the step that a stage of a recipe asks for.

    Raises:
        RecipeError: If an option of a loss or of a discriminator does not fit.
    """
    if stage.adversarial is None:
        return SupervisedStep(stage, training)
    return AdversarialStep(stage, stage.adversarial, training)
