"""Losses of a generator and its discriminator: BEGAN's balance, and classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    l(HR) - L_G. The measure M = l(HR) + |s| falls while both networks get better.

    Args:
        gamma: Target ratio of the generator's quantity to l(HR).
        rate: lambda_k, how fast k_t moves.
        start: k_0.
        balance_on: The generator's quantity: its whole loss L_G (``generator``, the text of the
            attentive GAN) or l(SR) (``reconstruction``, BEGAN itself).
    """

    balance: Tensor

    def __init__(
        self,
        *,
        gamma: float = 0.5,
        rate: float = 0.001,
        start: float = 0.0,
        balance_on: Literal["generator", "reconstruction"] = "generator",
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.rate = rate
        self.balance_on = balance_on
        self.register_buffer("balance", torch.tensor(float(start)))

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
        quantity = generator_loss if self.balance_on == "generator" else scores.fake
        surplus = self.gamma * scores.real - quantity
        # A new tensor: the log still holds the former one.
        self.balance = (self.balance + self.rate * surplus).clamp(0, 1)
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
