"""Teachers: what they show, whom they suit, and that they stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from srcli import upscale
from srcli.errors import ModelError, RecipeError
from srcli.layers.network import Network
from srcli.models.weights import load_model
from srcli.recipes.training import Adversarial, Distillation, LossTerm, Stage, TrainRecipe
from srcli.training.distillation import Teacher, teachers_digest
from srcli.training.loop import make_step
from srcli.training.numerics import Numerics
from srcli.training.supervised import StepContext

CPU = Numerics(device=torch.device("cpu"))
HALF = Numerics(device=torch.device("cpu"), autocast=torch.bfloat16, channels_last=True)
TOLERANCE = {CPU: 1e-3, HALF: 0.02}


class Gain(Network):
    """Twice the size, times one number."""

    scale = 2

    def __init__(self, colour="rgb"):
        super().__init__()
        self.colour = colour
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) * self.gain


def training_of(network, numerics=CPU):
    return StepContext(network=network, forward=network, numerics=numerics)


def stage_of(teacher, share):
    distillation = Distillation(teacher=str(teacher), share=share)
    return Stage(losses=(LossTerm(name="l1", weight=2.0),), patch=12, distillation=distillation)


@pytest.fixture
def patches():
    """LR and HR of a photograph."""
    from skimage import data

    image = torch.from_numpy(data.astronaut()[100:124, 200:224].copy())
    hr_image = image.permute(2, 0, 1)[None].float() / 255
    return F.avg_pool2d(hr_image, 2), hr_image


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_losses_are_shared_between_hr_and_the_teachers_picture(patches, share):
    lr_image, hr_image = patches
    network = Gain()
    step = make_step(stage_of("bicubic", share), training_of(network))
    loss = float(step(lr_image, hr_image, 0.0)["loss"])
    own = lr_image.repeat_interleave(2, 2).repeat_interleave(2, 3) * 0.5
    shown = load_model("bicubic", 2)(lr_image)
    to_hr, to_teacher = ((own - picture).abs().mean() for picture in (hr_image, shown))
    assert to_hr != to_teacher
    assert loss == pytest.approx(float(2 * ((1 - share) * to_hr + share * to_teacher)))


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("numerics", [CPU, HALF])
def test_a_teacher_shows_what_upscaling_by_it_gives(small_teacher, patches, numerics, tta):
    settings = Distillation(teacher=str(small_teacher), tta=tta)
    shown = Teacher(settings, Gain(), numerics)(patches[0])
    assert shown.dtype == torch.float32
    assert not shown.requires_grad
    image = patches[0][0].permute(1, 2, 0).numpy()
    expected = upscale(image, str(small_teacher), 2, tta=tta, precision="fp32", overlap=0)
    made = shown[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(made[8:-8, 8:-8], expected[8:-8, 8:-8], atol=TOLERANCE[numerics])


def test_the_network_alone_learns(small_teacher, patches):
    network = Gain()
    step = make_step(stage_of(small_teacher, 1.0), training_of(network))
    before = teachers_digest(recipe_of(small_teacher), 2)
    for _ in range(3):
        step(patches[0], patches[1], 0.0)
    assert network.gain.item() != 0.5
    taught = [value for key, value in step.state().items() if key.startswith("optimizer.")]
    assert all(value.numel() == 1 for value in taught)
    assert teachers_digest(recipe_of(small_teacher), 2) == before


def test_adversarial_stages_have_teachers_too(patches):
    network = Gain()
    stage = replace(
        stage_of("bicubic", 1.0),
        adversarial=Adversarial(discriminator="fc", weight=0.0, options={"hidden": 8}),
    )
    loss = float(make_step(stage, training_of(network))(patches[0], patches[1], 0.0)["loss"])
    own = patches[0].repeat_interleave(2, 2).repeat_interleave(2, 3) * 0.5
    shown = load_model("bicubic", 2)(patches[0])
    assert loss == pytest.approx(float(2 * (own - shown).abs().mean()))


def test_a_teacher_of_another_colour_space_is_refused(small_teacher):
    with pytest.raises(RecipeError, match="works on RGB, the network on Y"):
        Teacher(Distillation(teacher=str(small_teacher)), Gain("y"), CPU)


def test_a_teacher_that_does_not_exist_or_has_another_scale_is_refused(small_teacher):
    network = Gain()
    network.scale = 3
    with pytest.raises(ModelError, match="is for scale 2, not 3"):
        make_step(stage_of(small_teacher, 0.5), training_of(network))
    with pytest.raises(ModelError, match="did you mean g-idrn"):
        make_step(stage_of("g-idm", 0.5), training_of(Gain()))


def recipe_of(teacher):
    return TrainRecipe(model="rrlfn", stages=(Stage(), stage_of(teacher, 0.5)))


def test_the_digest_follows_the_weights_of_all_teachers(small_teacher):
    assert teachers_digest(TrainRecipe(model="rrlfn"), 2) is None
    by_name = teachers_digest(recipe_of("bicubic"), 2)
    before = teachers_digest(recipe_of(small_teacher), 2)
    assert before not in (None, by_name)
    both = replace(recipe_of(small_teacher), stages=recipe_of(small_teacher).stages * 2)
    assert teachers_digest(both, 2) != before
    with pytest.raises(ModelError, match="is for scale 2, not 4"):
        teachers_digest(recipe_of(small_teacher), 4)
