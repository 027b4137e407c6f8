"""The losses of both discriminators, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from srcli.losses.adversarial import AdversarialLoss, Scores, classification_error
from srcli.recipes.training import Adversarial


def pictures(*values):
    return torch.tensor(values).reshape(1, 1, 1, -1)


REAL = (pictures(0.5, 0.5), pictures(0.1, 0.7))
"""l = (0.4 + 0.2) / 2 = 0.3"""
FAKE = (pictures(0.2, 0.4), pictures(0.3, 0.4))
"""l = (0.1 + 0) / 2 = 0.05"""


def after(balance, surplus):
    """What is logged after an update with l(real) = 0.3 and a surplus gamma * 0.3 - l(fake)."""
    real, fake = torch.tensor(0.3), torch.tensor(0.15 - surplus)
    scores = Scores(discriminator=real, generator=fake, real=real, fake=fake)
    loss = AdversarialLoss(
        Adversarial(balance_rate=0.5, balance_start=balance, balance_on="reconstruction")
    )
    return loss.update(scores, real)


@pytest.mark.parametrize(
    ("balance", "surplus", "expected"),
    [(0.2, 0.1, 0.25), (0.2, -0.1, 0.15), (0.01, -0.1, 0.0), (0.99, 0.1, 1.0), (0.0, 0.0, 0.0)],
)
def test_the_balance_follows_the_surplus_and_is_clipped(balance, surplus, expected):
    assert float(after(balance, surplus)["k_t"]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("balance_on", "balance", "measure"),
    [
        # 0.5 * 0.3 - 0.25 = -0.1, or 0.5 * 0.3 - 0.05 = 0.1
        ("generator", 0.4 - 0.02 * 0.1, 0.3 + 0.1),
        ("reconstruction", 0.4 + 0.02 * 0.1, 0.3 + 0.1),
    ],
)
def test_began_settles_on_the_loss_or_on_the_error(balance_on, balance, measure):
    loss = AdversarialLoss(Adversarial(balance_rate=0.02, balance_start=0.4, balance_on=balance_on))
    logged = loss.update(loss(REAL, FAKE), torch.tensor(0.25))
    assert {k: float(v) for k, v in logged.items()} == pytest.approx({"k_t": balance, "M": measure})
    assert float(loss.balance) == pytest.approx(balance)
    other = AdversarialLoss(Adversarial())
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.balance, loss.balance)


@pytest.mark.parametrize(
    ("logits", "truth", "expected"),
    [
        ((0.0, 0.0), 1.0, math.log(2)),
        ((2.0, -1.0), 1.0, (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2),
        ((2.0, -1.0), 0.0, (math.log1p(math.exp(2)) + math.log1p(math.exp(-1))) / 2),
        ((-200.0, -200.0), 1.0, 200.0),  # a sigmoid first would give infinity
    ],
)
def test_the_cross_entropy(logits, truth, expected):
    found = classification_error(torch.tensor(logits)[:, None], truth)
    assert float(found) == pytest.approx(expected)
