"""Trainings on a GPU: a step of each stage of recipes; state lies where the weights are."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor

from srcli.models import build_network
from srcli.recipes.files import load_recipe
from srcli.training.steps import Numerics, StepContext, make_step
from tests.fixtures.fakecuda import GPU, Watch, fake_cuda, on_gpu

pytestmark = pytest.mark.fakecuda
RECIPES = [
    "g-idrn",
    "g-idrn-muon",
    "g-idrn-adversarial",
    "rrlfn",
    "rrlfn-muon",
    "ddsr",
    "ddsr-muon",
    "attentive-gan",
    "attentive-gan-short",
    "attentive-gan-adversarial",
    "nested-attn",
    "nested-attn-muon",
]


def give_gradients(monkeypatch, *networks):
    """Let backward passes, whose threads need a GPU, give every weight a gradient."""

    def backward(*_, **__):
        for network in networks:
            for weight in network.parameters():
                weight.grad = torch.empty_like(weight)

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    monkeypatch.setattr(torch.autograd, "backward", backward)
    monkeypatch.setattr(
        torch.autograd, "grad", lambda _, x, **__: [torch.empty_like(x)]
    )


@pytest.mark.parametrize("half", [None, torch.bfloat16])
@pytest.mark.parametrize("name", RECIPES)
def test_a_step_of_every_stage_keeps_all_state_on_the_gpu(name, half, monkeypatch):
    recipe = load_recipe(name)
    scale = 4
    network = build_network(recipe.model, scale=scale, options=recipe.network)
    monkeypatch.setattr(FakeTensor, "tolist", lambda tensor: [0] * len(tensor))
    numerics = Numerics(device=GPU, autocast=half, channels_last=True)
    with fake_cuda() as mode:
        context = StepContext(network=on_gpu(network, mode).train(), numerics=numerics)
        for stage in recipe.stages:
            step = make_step(stage, context)
            give_gradients(
                monkeypatch, network, getattr(step, "discriminator", network)
            )
            patch = stage.patch_edge(scale)
            lr_image = torch.rand(2, network.input_channels, patch, patch, device=GPU)
            hr_image = torch.rand(
                2, network.input_channels, patch * scale, patch * scale, device=GPU
            )
            batch = numerics.arranged(lr_image, hr_image)
            step(*batch, 0.5)
            with Watch() as watch:
                values = step(*batch, 0.6)
            assert not watch.waits
            assert not watch.copies
            tensors = [*network.parameters(), *step.state().values(), *values.values()]
            for value in tensors:
                assert value.device == GPU
