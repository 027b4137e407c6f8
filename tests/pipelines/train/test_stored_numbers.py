"""Short trainings of every kind of recipe give the numbers that are stored here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.models.loading import load_model
from srcli.pipelines.train.run import TrainOptions, train
from srcli.recipes.files import RECIPES, apply_overrides, plain_recipe

SMALL = {
    "g-idrn": ("channels=12", "group_width=4", "num_blocks=2", "num_groups=1"),
    "rrlfn": ("channels=12", "num_blocks=2"),
    "ddsr": ("depth=4",),
    "attentive-gan": ("channels=16", "steps=2", "num_rdb=1", "mapping_depth=2"),
    "nested-attn": ("channels=16", "levels=2"),
}
TURNED = "stages.0.augmentation=d8"
AVERAGED = "ema_decay=0.999"
CASES = {
    "g-idrn-short": ("x2",),
    "g-idrn-muon": ("x3",),
    "rrlfn": (
        "x2", AVERAGED, TURNED, "stages.1.augmentation=d8",
        "stages.2.augmentation=d8",
    ),
    "ddsr": (
        "x2", "stages.0.optimizer.kind=sgd", "stages.0.optimizer.nesterov=true",
        "stages.0.optimizer.clip_norm=0.1", TURNED,
        "stages.0.patch_stride=1", AVERAGED,
    ),
    "attentive-gan": (
        "x4", "start_from_bicubic=true", AVERAGED, TURNED, "stages.1.augmentation=d8",
        'stages.1.adversarial.options={"widths": [8, 16], "strides": [1, 2], "decoder": [8]}',
    ),
    "attentive-gan-adversarial": ("x4", 'stages.0.adversarial.options={"widths": [8, 16]}'),
    "nested-attn": (
        "x2", "stages.0.optimizer.kind=adamw", "degradation=photo", "start_from_bicubic=true",
        AVERAGED, TURNED,
    ),
}  # fmt: skip
STORED = {  # losses by stage, best PSNR, then mean, deviation and one value of an SR picture
    "g-idrn-short": [0.035641, 38.5804, 0.452506, 0.247016, 0.287052],
    "g-idrn-muon": [0.030023, 45.2555, 0.450892, 0.244413, 0.172602],
    "rrlfn": [0.538383, 0.522245, 0.523352, 7.496148, 0.020445, 0.114296, -0.140188],
    "ddsr": [0.286557, 6.915125, -0.00566, 0.012953, -0.013503],
    "attentive-gan": [0.093321, 0.094043, 44.7814, 0.417547, 0.23785, 0.128811],
    "attentive-gan-adversarial": [0.532805, 17.5481, 0.000605, 0.099737, -0.086535],
    "nested-attn": [0.019858, 47.843945, 0.460116, 0.249097, 0.276275],
}


@pytest.mark.parametrize("name", list(CASES))
def test_trainings_give_the_stored_numbers(name, tmp_path):
    scale, *settings = CASES[name]
    model = RECIPES[name].model
    stages = range(len(RECIPES[name].stages))
    settings += [f"network.{option}" for option in SMALL[model]]
    for stage in stages:
        settings += [f"stages.{stage}.batch=2", f"stages.{stage}.patch=12"]
    numbers = numbers_of_training(
        apply_overrides(RECIPES[name], settings), int(scale[1:]), tmp_path
    )
    assert numbers == pytest.approx(STORED[name], rel=2e-4, abs=2e-5), (
        "trainings give other numbers: if that is meant, store the new ones here and tell users "
        "in the change log that older trainings resume differently"
    )


def numbers_of_training(recipe, scale, folder):
    """Train for three iterations on two pictures made of waves."""
    y, x = np.mgrid[0:64, 0:72]
    for name, period in (("a", 7.0), ("b", 11.0)):
        waves = [np.sin(y / period), np.cos(x / 5.0), np.sin((x + y) / 3.0)]
        picture = (
            127.5 + 60 * np.stack(waves, axis=2) + 60 * (waves[0] * waves[1])[..., None]
        )
        Image.fromarray(picture.round().astype(np.uint8)).save(folder / f"{name}.png")
    file = folder / "recipe.json"
    file.write_text(json.dumps(plain_recipe(recipe)))
    options = TrainOptions(
        recipe=str(file),
        scale=scale,
        data=(folder,),
        out=folder / "out",
        hold_out=("b",),
        budget="3",
        device="cpu",
        precision="fp32",
        threads=1,
    )
    result = train(options)
    entries = [
        json.loads(line)
        for line in (options.out / "log.jsonl").read_text().splitlines()
    ]
    losses = [entry["loss"] for entry in entries if entry["event"] == "train"]
    network = load_model(str(options.out / "last.safetensors"), scale)
    lr_image = torch.linspace(0, 1, 16 * 20).sin().reshape(1, 1, 16, 20)
    with torch.inference_mode():
        sr = network(lr_image.repeat(1, network.input_channels, 1, 1))
    return [
        *losses,
        result.position.best,
        float(sr.mean()),
        float(sr.std()),
        float(sr[0, 0, 9, 9]),
    ]
