"""Losses of two networks that play against each other: BEGAN's balance, and classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping


def reconstruction_error(rebuilt: Tensor, images: Tensor) -> Tensor:
    """l(v) = mean |D(v) - v| of BEGAN (Berthelot et al. 2017); a scalar.

    Args:
        rebuilt: D(v), (N, C, H, W).
        images: v, of the same shape.
    """
    return (rebuilt - images).abs().mean()


def next_balance(balance: Tensor, surplus: Tensor, rate: float) -> Tensor:
    """k_{t+1} = clip(k_t + rate * surplus, 0, 1).

    Args:
        balance: k_t, a scalar in [0, 1].
        surplus: gamma * l(real) - L_G, a scalar.
        rate: lambda_k.
    """
    return (balance + rate * surplus).clamp(0, 1)


def convergence(real: Tensor, surplus: Tensor) -> Tensor:
    """M = l(real) + |surplus|: falls while both networks get better.

    Args:
        real: l(real), a scalar.
        surplus: gamma * l(real) - L_G, a scalar.
    """
    return real + surplus.abs()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a discriminator's answers to one batch are worth; scalars with gradients."""

    discriminator: Tensor
    """The discriminator is to lower this."""
    generator: Tensor
    """The generator is to lower this."""
    real: Tensor
    """How wrong the discriminator is about real pictures."""
    fake: Tensor
    """How wrong it is about made ones."""


class Game(Protocol):
    """The rules by which a discriminator and a generator play; a module, for what it remembers."""

    def judge(self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> Verdict:
        """Turn answers into losses.

        Args:
            real: The discriminator's answer to real pictures, and these pictures.
            fake: The same for made ones.
        """

    def settle(self, verdict: Verdict, generator_loss: Tensor) -> dict[str, Tensor]:
        """Move on by one iteration.

        Args:
            verdict: Of this batch.
            generator_loss: The whole loss of the generator, with its share of the verdict.

        Returns:
            Scalars for the log.
        """

    def state_dict(self) -> Mapping[str, Tensor]:
        """What is remembered."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object:
        """Remember this."""


class Equilibrium(nn.Module):
    """BEGAN: the discriminator rebuilds pictures, and k_t holds both networks in balance.

    L_D = l(HR) - k_t l(SR); k_t grows while the generator is ahead.

    Args:
        gamma: Aim of the generator's quantity over l(HR).
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

    def judge(self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> Verdict:
        """Turn rebuilt pictures (N, C, H, W), each beside its original, into losses."""
        on_real, on_fake = reconstruction_error(*real), reconstruction_error(*fake)
        return Verdict(
            discriminator=on_real - self.balance * on_fake,
            generator=on_fake,
            real=on_real,
            fake=on_fake,
        )

    @torch.no_grad()
    def settle(self, verdict: Verdict, generator_loss: Tensor) -> dict[str, Tensor]:
        """Move k_t; log it with the convergence measure M."""
        quantity = generator_loss if self.balance_on == "generator" else verdict.fake
        surplus = self.gamma * verdict.real - quantity
        # A new tensor: the log still holds the former one.
        self.balance = next_balance(self.balance, surplus, self.rate)
        return {"k_t": self.balance, "M": convergence(verdict.real, surplus)}


class Classification(nn.Module):
    """Binary cross-entropy: the discriminator tells real from made (Goodfellow et al. 2014)."""

    def judge(self, real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor]) -> Verdict:
        """Turn logits (N, 1), each beside its pictures, into losses.

        The generator's is -log D(G(z)), which does not fade while the discriminator is sure.
        """
        on_real, on_fake = classification_error(real[0], 1.0), classification_error(fake[0], 0.0)
        return Verdict(
            discriminator=on_real + on_fake,
            generator=classification_error(fake[0], 1.0),
            real=on_real,
            fake=on_fake,
        )

    def settle(self, verdict: Verdict, generator_loss: Tensor) -> dict[str, Tensor]:
        """Nothing is remembered, nothing more is logged."""
        del verdict, generator_loss
        return {}


def classification_error(logits: Tensor, truth: float) -> Tensor:
    """Mean binary cross-entropy of logits against one truth (1 real, 0 made); a scalar."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
