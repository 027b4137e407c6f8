"""Adversarial training: both readings, their gradients, exact resume, stages."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from srcli.errors import DataError, InferenceError, RecipeError
from srcli.losses import texture
from srcli.models.attentive_gan import AttentiveGenerator
from srcli.recipes.training import Adversarial, LossTerm, Optimizer, Stage, TrainRecipe
from srcli.training.loop import Trainer
from srcli.training.steps import AdversarialStep, Numerics, StepContext, cross_entropy
from tests.fixtures.trainings import Batches, best_saved, equal, stop_after

TINY_WIDTHS = (4, 4, 4, 4, 6, 6, 6)
AE = Adversarial(
    options={"widths": TINY_WIDTHS, "decoder": (6, 4, 4)},
    weight=0.5,
    optimizer=Optimizer(learning_rate=1e-3, clip_norm=0.5),
    balance_rate=0.5,
    balance_start=0.3,
    balance_on="reconstruction",
    gamma=0.9,
)
JITTERED = replace(AE, jitter=8)
FC = Adversarial(
    discriminator="fc", options={"widths": TINY_WIDTHS, "hidden": 5}, weight=0.5
)
PATCH = Adversarial(
    discriminator="patch", options={"widths": (4, 6)}, weight=0.5, jitter=6
)
FEATURES = Adversarial(
    discriminator="features",
    options={"blocks": (0,), "widths": (4, 4), "seen": 4},
    jitter=3,
)
STAGE = Stage(steps=5, batch=2, patch=4, optimizer=Optimizer(learning_rate=1e-3))
CPU = Numerics(device=torch.device("cpu"))
LAST = Numerics(device=torch.device("cpu"), channels_last=True)


def generator():
    torch.manual_seed(1)
    return AttentiveGenerator(
        channels=12, steps=2, num_rdb=1, growth=4, rdb_depth=1, mapping_depth=1
    )


def make(folder, stages, *, batches=None, every=1e9, **options):
    folder.mkdir(exist_ok=True)
    return Trainer(
        context=StepContext(network=LAST.placed(generator()), numerics=LAST),
        recipe=TrainRecipe(model="none", stages=stages, ema_decay=0.9),
        batch=(batches or Batches(4)).batch,
        folder=folder,
        checkpoint_seconds=every,
        **options,
    )


def step_of(settings, *, stage=STAGE, network=None, seed=0):
    network = network or generator()
    training = StepContext(network=network, numerics=CPU, seed=seed)
    return AdversarialStep(stage, settings, training)


def gradients(network, loss):
    return torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)


ONE_PLACE = replace(PATCH, jitter=0)


@pytest.mark.parametrize(
    "settings",
    [AE, FC, ONE_PLACE, replace(ONE_PLACE, textured=True), replace(AE, weight=0.0)],
)
def test_both_networks_get_the_gradients_of_their_losses(settings, monkeypatch):
    """The step runs the discriminator once over the output; plain autograd runs it twice."""
    network = generator()
    step = step_of(settings, network=network)
    judge = step.discriminator.eval()  # spectral normalisation would follow every call
    lr_image, hr_image = Batches(4).batch(0, Stage(batch=2, patch=4))
    hr_image[..., :10] = 0.3  # flat
    sr_image = network(lr_image)
    on_real = judge(hr_image)
    on_fake = judge(sr_image.detach())
    if settings.discriminator == "ae":
        second = (on_real - hr_image).abs().mean()
        second = second - 0.3 * (on_fake - sr_image.detach()).abs().mean()
        push = (judge(sr_image) - sr_image).abs().mean()
    else:
        second = cross_entropy(on_real, 1.0) + cross_entropy(on_fake, 0.0)
        push = cross_entropy(judge(sr_image), 1.0)
    network_loss = (sr_image - hr_image).abs().mean() + settings.weight * push
    if settings.textured:
        (pull,) = torch.autograd.grad(push, sr_image, retain_graph=True)
        share = texture(hr_image)
        assert 0 < share.mean() < 1
        pushed = (sr_image * pull * share).sum()
        network_loss = network_loss + settings.weight * (
            pushed - pushed.detach() - push + push.detach()
        )
    expected = gradients(network, network_loss), gradients(judge, second)

    gradients_seen = []

    def note(optimizer, **_):
        gradients_seen.append(
            [p.grad.clone() for p in optimizer.param_groups[0]["params"]]
        )

    monkeypatch.setattr("srcli.training.steps.apply_gradients", note)
    values = step(lr_image, hr_image, 0.0)
    for mine, theirs in zip(gradients_seen, expected, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    assert float(values["loss"]) == pytest.approx(network_loss.item())


@pytest.mark.parametrize("balance_on", ["generator", "reconstruction"])
@pytest.mark.parametrize(("start", "rate"), [(0.3, 0.1), (0.0, 50.0), (1.0, 50.0)])
def test_the_balance_follows_the_surplus_on_the_loss_or_on_the_error(
    balance_on, start, rate
):
    settings = replace(
        AE, balance_on=balance_on, balance_start=start, balance_rate=rate
    )
    lr_image, hr_image = Batches(4).batch(0, Stage(batch=2, patch=4))
    balances = {
        name: float(v) for name, v in step_of(settings)(lr_image, hr_image, 0.0).items()
    }
    quantity = balances["loss" if balance_on == "generator" else "l_fake"]
    surplus = 0.9 * balances["l_real"] - quantity
    assert balances["k_t"] == pytest.approx(
        min(max(start + rate * surplus, 0), 1), abs=1e-6
    )
    assert balances["M"] == pytest.approx(balances["l_real"] + abs(surplus))


def test_jitter_shows_the_discriminator_other_places(monkeypatch):
    step = step_of(JITTERED)
    lr_image, hr_image = Batches(4).batch(0, Stage(batch=2, patch=6))
    seen = []
    answer = AdversarialStep._discriminate

    def watched(self, pictures):
        seen.append(pictures)
        return answer(self, pictures)

    monkeypatch.setattr(AdversarialStep, "_discriminate", watched)
    places: list[tuple[int, int]] = []
    for _ in range(12):
        seen.clear()
        step(lr_image, hr_image, 0.0)
        real, fake = seen
        assert real.shape == fake.shape == (2, 3, 16, 16)
        count = len(places)
        for row, column in product(range(9), repeat=2):
            if torch.equal(hr_image[:, :, row : row + 16, column : column + 16], real):
                places.append((row, column))
        assert len(places) == count + 1
    assert len(set(places)) > 6
    assert set((torch.tensor(places) % 4).flatten().tolist()) == {0, 1, 2, 3}
    again = step_of(JITTERED)
    again._calls += 3
    row, column = places[3]
    assert torch.equal(
        again._crop(hr_image, hr_image)[0],
        hr_image[:, :, row : row + 16, column : column + 16],
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(FC, jitter=4), "pictures of one size only"),
        (replace(AE, jitter=12), "leaves nothing of patches of 16"),
        (replace(PATCH, jitter=13), "leaves nothing of patches of 16"),
    ],
)
def test_impossible_jitter_is_refused(settings, message):
    with pytest.raises(RecipeError, match=message):
        step_of(settings)


def test_the_discriminator_follows_the_seed_alone():
    network = generator()
    before = torch.get_rng_state()
    step = step_of(AE, network=network, seed=7)
    two = step_of(AE, network=network, seed=7)
    reseeded = step_of(AE, network=network, seed=8)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(step.discriminator.state_dict(), two.discriminator.state_dict())
    assert not equal(
        step.discriminator.state_dict(), reseeded.discriminator.state_dict()
    )


@pytest.mark.parametrize(
    ("settings", "cut"), [(FC, 4), (FC, 7), (JITTERED, 7), (PATCH, 7), (FEATURES, 7)]
)
def test_a_stop_anywhere_changes_nothing(tmp_path, settings, cut):
    """Pre-training, then the adversarial stage: stopped in either, or between them."""
    stage = replace(STAGE, patch=9 if settings is FEATURES else 4)
    stages = (replace(stage, steps=4), replace(stage, adversarial=settings))
    uninterrupted = make(tmp_path / "whole", stages)
    assert uninterrupted.run()
    stopped = make(tmp_path / "part", stages, stop=stop_after(cut))
    assert not stopped.run()
    assert stopped.position.total == cut
    resumed = make(tmp_path / "part", stages)
    assert resumed.resume()
    assert resumed.run()
    assert uninterrupted.position.total == resumed.position.total == 9
    assert equal(uninterrupted.network.state_dict(), resumed.network.state_dict())
    assert equal(uninterrupted.ema.averages, resumed.ema.averages)
    assert equal(uninterrupted.current_step.state(), resumed.current_step.state())


def test_the_last_weights_of_an_adversarial_stage_are_its_best(tmp_path):
    values = iter([30.0, 31.0, 29.0, 28.0, float("nan"), 27.0] + [26.0] * 9)
    saved, save = best_saved()
    stages = (replace(STAGE, steps=2), replace(STAGE, steps=4, adversarial=AE))

    def validate(network):
        return {"held-out": [next(values)]}

    make(tmp_path, stages, validator=validate, save=save).run()
    assert saved == [30.0, 31.0, 29.0, 28.0, 27.0]


def test_a_discriminator_that_is_lost_ends_it_and_is_never_saved(tmp_path):
    stages = (replace(STAGE, adversarial=AE),)
    trainer = make(tmp_path, stages, batches=Batches(4, spoil=2), every=0.0)
    with pytest.raises(InferenceError, match="diverged"):
        trainer.run()
    resumed = make(tmp_path, stages)
    assert resumed.resume()
    assert resumed.position.total == 2
    for value in resumed.current_step.state().values():
        assert torch.isfinite(value).all()


def test_the_state_of_another_discriminator_is_refused(tmp_path):
    make(tmp_path, (replace(STAGE, adversarial=AE),), stop=stop_after(2)).run()
    for changed in (FC, replace(AE, options={})):
        with pytest.raises(DataError, match="cannot be resumed"):
            make(tmp_path, (replace(STAGE, adversarial=changed),)).resume()


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (replace(STAGE, patch=5, adversarial=AE), "divide by 8, got 20x20"),
        (
            replace(STAGE, adversarial=replace(AE, options={"hidden": 3})),
            "no option 'hidden'",
        ),
        (replace(STAGE, adversarial=FC, losses=(LossTerm(name="l3"),)), "no loss 'l3'"),
    ],
)
def test_what_does_not_fit_in_the_last_stage_shows_at_once(tmp_path, stage, words):
    with pytest.raises(RecipeError, match=words):
        make(tmp_path, (STAGE, stage))
