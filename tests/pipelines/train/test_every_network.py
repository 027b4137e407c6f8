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


def placed_on(device, half, channels_last, *_, **__):
    """Numerics that no option of the command chooses on this machine."""
    return Numerics(
        device=torch.device(device), autocast=half, channels_last=channels_last
    )


@pytest.fixture(scope="module")
def photo(tmp_path_factory, astronaut):
    """A small photograph to train on; none is validated on."""
    path = tmp_path_factory.mktemp("photos") / "0.png"
    Image.fromarray(np.ascontiguousarray(astronaut[:64, :64])).save(path)
    return path


def train_shortly(name, photo, out):
    """Train a small network for two iterations in each stage; return the weights."""
    scale = find_entry(RECIPES[name].model).scales[-1]
    changes = []
    for number, _ in enumerate(RECIPES[name].stages):
        for change in ("steps=2", "batch=1", "accumulate=1", "patch=16"):
            changes.append(f"stages.{number}.{change}")
    if case := CASES.get(name):
        for option, value in case.small.items():
            changes.append(f"network.{option}={value}")
    options = TrainOptions(
        recipe=name,
        scale=scale,
        out=out,
        data=(photo,),
        overrides=tuple(changes),
        no_cache=True,
    )
    return train(options).weights


@pytest.mark.slow
@pytest.mark.parametrize("number_format", FORMATS)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", TRAINED)
def test_it_is_trained_and_its_weights_are_read(
    name, device, number_format, photo, tmp_path, monkeypatch
):
    if (device, number_format) == ("cpu", "fp16"):
        pytest.skip("PyTorch trains in fp16 on GPUs alone")
    for channels_last in (False, True):
        numerics = partial(placed_on, device, FORMATS[number_format], channels_last)
        monkeypatch.setattr(module, "choose_numerics", numerics)
        network = load_model(train_shortly(name, photo, tmp_path / str(channels_last)))
        x = torch.full((1, network.input_channels, 16, 16), 0.5)
        with torch.inference_mode():
            assert bool(torch.isfinite(network(x)).all())
