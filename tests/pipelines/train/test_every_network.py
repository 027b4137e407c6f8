"""Every network of the table is trained, in every number format and memory layout."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.models import MODELS, find_entry
from srcli.models.loading import load_model
from srcli.pipelines.train import run as module
from srcli.pipelines.train.run import TrainOptions, train
from srcli.recipes.files import RECIPES
from srcli.training.steps import Numerics
from tests.fixtures.cases import CASES

TRAINED = [name for name in MODELS if name in RECIPES]
FORMATS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""By name; fp16 is not offered, but no network may be what stands in its way."""

LARGE = 3_000_000
"""Parameters above which a network is made small, for an hour less of work."""


def placed_on(device, half, channels_last, *_, **__):
    """Numerics that no option of the command chooses on this machine."""
    return Numerics(
        device=torch.device(device), autocast=half, channels_last=channels_last
    )


@pytest.fixture
def photos(tmp_path, astronaut):
    """A folder of two photographs, one to train on and one to validate on."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        patch = np.ascontiguousarray(astronaut[20 * number :][:96, :128])
        Image.fromarray(patch).save(folder / f"{number}.png")
    return folder


def train_shortly(name, photos, out):
    """Train two iterations in each stage on the smallest patches; return the weights."""
    changes = []
    for number, _ in enumerate(RECIPES[name].stages):
        for change in ("steps=2", "batch=2", "accumulate=1", "patch=16"):
            changes.append(f"stages.{number}.{change}")
    scale = find_entry(RECIPES[name].model).scales[-1]
    case = CASES.get(name)
    if case and case.parameters[scale] > LARGE:
        for option, value in case.small.items():
            changes.append(f"network.{option}={value}")
    options = TrainOptions(
        recipe=name,
        scale=scale,
        out=out,
        data=(photos,),
        overrides=tuple(changes),
        no_cache=True,
    )
    return train(options).weights


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", TRAINED)
def test_it_is_trained_and_its_weights_are_read(
    name, device, photos, tmp_path, monkeypatch
):
    formats = ["fp32", "bf16"] if device == "cpu" else list(FORMATS)
    for number_format in formats:
        for channels_last in (False, True):
            numerics = partial(placed_on, device, FORMATS[number_format], channels_last)
            monkeypatch.setattr(module, "choose_numerics", numerics)
            out = tmp_path / f"{number_format}-{channels_last}"
            network = load_model(train_shortly(name, photos, out))
            x = torch.full((1, network.input_channels, 16, 16), 0.5)
            with torch.inference_mode():
                assert bool(torch.isfinite(network(x)).all())
