"""Losses of a generator and its discriminator: BEGAN's balance, and classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from srcli.recipes.training import Adversarial


def reconstruction_error(rebuilt: Tensor, images: Tensor) -> Tensor:
    """l(v) = mean |D(v) - v| of BEGAN (Berthelot et al. 2017), of D(v) and v; a scalar."""
    return (rebuilt - images).abs().mean()


@dataclass(frozen=True, kw_only=True)
class DiscriminatorScores:
    """Both losses and errors of a discriminator on one batch; scalars with gradients."""

    discriminator: Tensor
    """Loss of the discriminator."""
    generator: Tensor
    """Loss of the generator."""
    real: Tensor
    """Error of the discriminator on real pictures."""
    fake: Tensor
    """Error of the discriminator on generated pictures."""


class BeganLoss(nn.Module):
    """BEGAN: an auto-encoder as discriminator, and k_t to hold both networks in balance.

    L_D = l(HR) - k_t l(SR), with k_{t+1} = clip(k_t + rate * s, 0, 1) for the surplus s = gamma
    l(HR) - L_G. The measure M = l(HR) + |s| falls while both networks get better. Instead of the
    generator's whole loss L_G, as in the text of the attentive GAN, BEGAN itself has l(SR).
    """

    balance: Tensor

    def __init__(self, settings: Adversarial) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("balance", torch.tensor(float(settings.balance_start)))

    def forward(
        self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]
    ) -> DiscriminatorScores:
        """Return the losses of one batch.

        Each are the discriminator's output for pictures (N, C, H, W), and these pictures.
        """
        on_real, on_fake = reconstruction_error(*real), reconstruction_error(*fake)
        return DiscriminatorScores(
            discriminator=on_real - self.balance * on_fake,
            generator=on_fake,
            real=on_real,
            fake=on_fake,
        )

    @torch.no_grad()
    def update(self, scores: DiscriminatorScores, generator_loss: Tensor) -> dict[str, Tensor]:
        """Move k_t; return it with the convergence measure M.

        The generator's loss is the whole one, with the weighted adversarial term.
        """
        own = self.settings
        quantity = generator_loss if own.balance_on == "generator" else scores.fake
        surplus = own.gamma * scores.real - quantity
        # A new tensor: the log still holds the former one.
        self.balance = (self.balance + own.balance_rate * surplus).clamp(0, 1)
        return {"k_t": self.balance, "M": scores.real + surplus.abs()}


class ClassificationLoss(nn.Module):
    """Binary cross-entropy on real against generated pictures (Goodfellow et al. 2014)."""

    def forward(
        self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]
    ) -> DiscriminatorScores:
        """Turn logits (N, 1), each beside its pictures, into losses.

        The generator's is -log D(G(z)), which does not fade while the discriminator is sure.
        """
        on_real, on_fake = classification_error(real[0], 1.0), classification_error(fake[0], 0.0)
        return DiscriminatorScores(
            discriminator=on_real + on_fake,
            generator=classification_error(fake[0], 1.0),
            real=on_real,
            fake=on_fake,
        )

    def update(self, scores: DiscriminatorScores, generator_loss: Tensor) -> dict[str, Tensor]:
        """Return nothing for the log: there is no balance."""
        del scores, generator_loss
        return {}


def classification_error(logits: Tensor, truth: float) -> Tensor:
    """Mean binary cross-entropy of logits against one truth (1 real, 0 generated); a scalar."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
