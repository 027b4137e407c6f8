"""Losses of a generator and its discriminator: BEGAN's balance, and classification."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from srcli.recipes.training import Adversarial


class Scores(NamedTuple):
    """Losses of discriminator and generator on one batch, and the former's errors; scalars."""

    discriminator: Tensor
    generator: Tensor
    real: Tensor
    """Error of the discriminator on real pictures."""
    fake: Tensor
    """Error of the discriminator on generated pictures."""


class AdversarialLoss(nn.Module):
    """BEGAN's for an auto-encoder (Berthelot et al. 2017), else binary cross-entropy of logits.

    In BEGAN l(v) is mean |D(v) - v|, and k_t holds both networks in balance: L_D = l(HR) - k_t
    l(SR), with k_{t+1} = clip(k_t + rate * s, 0, 1) for the surplus s = gamma l(HR) - L_G. The
    measure M = l(HR) + |s| falls while both networks get better. Instead of the generator's whole
    loss L_G, as in the text of the attentive GAN, BEGAN itself has l(SR).
    """

    balance: Tensor

    def __init__(self, settings: Adversarial) -> None:
        super().__init__()
        self.settings = settings
        self.is_began = settings.discriminator == "ae"
        if self.is_began:
            self.register_buffer("balance", torch.tensor(float(settings.balance_start)))

    def forward(self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> Scores:
        """Return the losses of one batch, with gradients.

        Each are the discriminator's output for pictures (N, C, H, W), and these pictures.
        """
        if self.is_began:
            on_real, on_fake = ((rebuilt - own).abs().mean() for rebuilt, own in (real, fake))
            return Scores(on_real - self.balance * on_fake, on_fake, on_real, on_fake)
        on_real, on_fake = classification_error(real[0], 1.0), classification_error(fake[0], 0.0)
        # The generator's is -log D(G(z)), which does not fade while the discriminator is sure.
        return Scores(on_real + on_fake, classification_error(fake[0], 1.0), on_real, on_fake)

    @torch.no_grad()
    def update(self, scores: Scores, generator_loss: Tensor) -> dict[str, Tensor]:
        """Move k_t of BEGAN; return it with the convergence measure M, for the log.

        The generator's loss is the whole one, with the weighted adversarial term.
        """
        if not self.is_began:
            return {}
        own = self.settings
        quantity = generator_loss if own.balance_on == "generator" else scores.fake
        surplus = own.gamma * scores.real - quantity
        # A new tensor: the log still holds the former one.
        self.balance = (self.balance + own.balance_rate * surplus).clamp(0, 1)
        return {"k_t": self.balance, "M": scores.real + surplus.abs()}


def classification_error(logits: Tensor, truth: float) -> Tensor:
    """Mean binary cross-entropy of logits against one truth (1 real, 0 generated); a scalar."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
