"""The program on a GPU, from the command line: pictures, memory, training and its resumption."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from srcli.inference.device import EngineOptions
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import enlarge_array
from srcli.inference.tiling import choose_tiling
from srcli.models import MODELS
from srcli.models.loading import load_model
from srcli.models.weights import shipped_scales
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.numerics import choose_numerics
from srcli.recipes.files import RECIPES
from srcli.training.steps import StepContext, make_step
from tests.fixtures.files import json_lines
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal

pytestmark = pytest.mark.gpu
SHIPPED = [name for name in MODELS if 4 in shipped_scales(name)]


@pytest.mark.parametrize("model", SHIPPED)
@pytest.mark.parametrize(
    ("precision", "most"), [("fp32", 1), ("fp16", 2), ("bf16", 12)]
)
def test_pictures_are_those_of_the_processor(srx, tmp_path, model, precision, most):
    Image.fromarray(data.astronaut()[:120, :150]).save(tmp_path / "a.png")
    options = ["-m", model, "-s", "4", "--tile", "64", "--quiet"]
    for device, number_format in (("cpu", "fp32"), ("cuda", precision)):
        out = tmp_path / f"{device}.png"
        chosen = ["--device", device, "--precision", number_format]
        srx("upscale", tmp_path / "a.png", out, *options, *chosen, code=0)
    cpu, gpu = (
        np.asarray(Image.open(tmp_path / f"{device_name}.png"), int)
        for device_name in ("cpu", "cuda")
    )
    assert cpu.std() > 10
    assert np.abs(cpu - gpu).max() <= most


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_rasters_are_those_of_the_processor(srx, tmp_path, dtype):
    values = data.astronaut()[:300, :200].astype(dtype)
    values[100:130, 50:90] = 0
    write_by_gdal(tmp_path / "a.tif", values, nodata=0, **PLACE)
    results = []
    for device, precision in (("cpu", "fp32"), ("cuda", "fp16")):
        out = tmp_path / f"{device}.tif"
        options = ["--range", "0,255"] if dtype != "uint8" else []
        srx(
            "upscale",
            tmp_path / "a.tif",
            out,
            f"-s 4 --device {device} --tile 96 --precision {precision} --quiet",
            *options,
            code=0,
        )
        results.append(read_by_gdal(out).astype(float))
    cpu, gpu = results
    assert cpu.std() > 10
    assert np.array_equal(cpu == 0, gpu == 0)
    assert np.abs(cpu - gpu).max() <= 2


def engine_of_batches(batch):
    network = load_model("g-idrn", 4).deploy()
    options = EngineOptions(batch=batch)
    return TorchEngine(
        network, options, device=torch.device("cuda"), half=torch.float16
    )


def test_a_batch_that_does_not_fit_is_halved():
    picture = np.tile(data.astronaut(), (2, 2, 1))
    grid = choose_tiling("g-idrn", load_model("g-idrn", 4), 192).grid(1024, 1024)
    expected = enlarge_array(engine_of_batches(None), picture, grid)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2**30 / torch.cuda.mem_get_info()[1])
    try:
        small = engine_of_batches(64)
        halved = enlarge_array(small, picture, grid)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert small.batch_size(192, 192) < 36
    assert expected.std() > 10
    assert np.abs(expected.astype(int) - halved).max() <= 1


def test_batches_that_overlap_give_what_one_at_a_time_gives():
    picture = np.tile(data.astronaut(), (2, 2, 1))
    grid = choose_tiling("g-idrn", load_model("g-idrn", 4), 96).grid(1024, 1024)
    outs = []
    for runs_ahead in (False, True):
        engine = engine_of_batches(8)
        engine.runs_ahead = runs_ahead
        outs.append(enlarge_array(engine, picture, grid).astype(int))
    assert outs[0].std() > 10
    assert np.abs(outs[0] - outs[1]).max() <= 1


@pytest.mark.parametrize("recipe", ["g-idrn-muon", "rrlfn-muon", "attentive-gan-l1"])
def test_passes_as_cuda_graphs_are_those_of_the_network(recipe):
    random = torch.Generator().manual_seed(0)
    chosen = replace(RECIPES[recipe], start_from_bicubic=False)
    gradients = []
    for graphs in (False, True):
        numerics = replace(choose_numerics("cuda", "fp32"), graphs=graphs)
        network = numerics.placed(first_network(chosen, scale=4, seed=0)).train()
        step = make_step(
            chosen.stages[0], StepContext(network=network, numerics=numerics)
        )
        for number in range(3):
            random.manual_seed(number)
            lr_image = torch.rand(2, 3, 24, 24, generator=random).cuda()
            hr_image = torch.rand(2, 3, 96, 96, generator=random).cuda()
            network.zero_grad(set_to_none=True)
            _, loss = step.predict(*numerics.arranged(lr_image, hr_image))
            loss.backward()
            weight_gradients = [
                parameter.grad
                for parameter in network.parameters()
                if parameter.grad is not None
            ]
            gradients.append(
                torch.cat([parameter.flatten() for parameter in weight_gradients])
            )
    for plain, graphed in zip(gradients[:3], gradients[3:], strict=True):
        assert plain.abs().mean() > 0
        assert (plain - graphed).norm() < 1e-3 * plain.norm()


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("g-idrn", ()),
        ("g-idrn-muon", ("--degradation", "restore")),
        ("rrlfn-muon", ()),
        ("ddsr", ()),
        ("nested-attn-muon", ()),
        ("g-idrn-adversarial", ()),
        ("g-idrn-adversarial", ("--set", "stages.0.adversarial.discriminator=unet")),
        ("attentive-gan", ()),
    ],
)
def test_a_training_stops_and_goes_on(srx, tmp_path, recipe, options):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(6):
        crop = data.astronaut()[40 * i : 40 * i + 256, :256]
        Image.fromarray(crop).save(pictures / f"{i}.png")
    run = tmp_path / "run"
    small = "--set stages.0.batch=4 --set stages.0.patch=24 --device cuda --quiet"
    places = f"-s 4 --data {pictures} --out {run} --budget 6"
    srx("train", recipe, places, small, *options, code=0)
    srx(f"train --resume {run} --budget 12 --device cuda --quiet", code=0)
    lines = json_lines(run / "log.jsonl")
    psnr = [line["psnr"] for line in lines if line["event"] == "validation"]
    assert len(psnr) > 2
    # twelve iterations from random weights: numbers, no picture yet
    assert min(psnr) > 5
    assert (run / "last.safetensors").is_file()
