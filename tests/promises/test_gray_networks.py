"""Networks of one channel: gray pictures go through them, of colours their brightness."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from srcli.imaging.pixels.resize import resize
from srcli.models import build_network
from srcli.models.loading import load_model
from tests.fixtures.pictures import read_pixels

SHARES = np.array([0.299, 0.587, 0.114])
GAIN = 0.25


def compact():
    """A file by Real-ESRGAN's names for gray, x2: repeats pixels, left ones a quarter brighter."""
    identity = torch.zeros(4, 1, 3, 3)
    identity[:, :, 1, 1] = 1
    last = torch.zeros(4, 4, 3, 3)
    last[[0, 2], 0, 1, 1] = GAIN
    return {
        "body.0.weight": identity,
        "body.0.bias": torch.zeros(4),
        "body.1.weight": torch.ones(4),
        "body.2.weight": torch.eye(4)[:, :, None, None] * identity[0, 0],
        "body.2.bias": torch.zeros(4),
        "body.3.weight": torch.ones(4),
        "body.4.weight": last,
        "body.4.bias": torch.zeros(4),
    }


def expected(gray):
    """Return what the network makes of gray in [0, 1], (H, W)."""
    out = gray.repeat(2, axis=0).repeat(2, axis=1)
    out[:, ::2] *= 1 + GAIN
    return out


@pytest.fixture
def pixels(astronaut):
    """A photograph of 60x48 pixels, dark enough to be made brighter."""
    return (astronaut[:48, 100:160] * 0.7).astype(np.uint8)


@pytest.fixture
def file(tmp_path):
    torch.save({"params": compact()}, tmp_path / "gray-x2.pth")
    return tmp_path / "gray-x2.pth"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_gray_pictures_go_through(srx, file, pixels, mode):
    picture = Image.fromarray(pixels).convert("L")
    gray = np.asarray(picture)
    picture.convert(mode).save("a.png")
    told = srx(f"upscale a.png b.png -m {file}", code=0)
    assert "is of one channel: gray pictures are enlarged by it" in told.err
    with Image.open("b.png") as enlarged:
        assert enlarged.mode == mode
        values = np.asarray(enlarged.convert("RGB")).astype(int)
    assert np.ptp(values, axis=2).max() == 0
    assert np.abs(values[:, :, 0] - expected(gray / 255) * 255).max() <= 1


def test_colours_are_enlarged_by_interpolation(srx, file, pixels):
    Image.fromarray(pixels).save("a.png")
    srx(f"upscale a.png b.png -m {file}", code=0)
    values = read_pixels("b.png").astype(float)
    colours = pixels / 255
    gray = colours @ SHARES
    wanted = resize(colours - gray[:, :, None], 2) + expected(gray)[:, :, None]
    inside = np.s_[8:-8, 8:-8]
    error = np.abs(values - np.clip(wanted, 0, 1) * 255)[inside]
    assert error.max() <= 1.01


def _after(match):
    block, dense, layer = map(int, match.groups())
    return f"body.{block}.rdb{dense + 1}.conv{layer + 1}"


BASICSR: list[tuple[str, Any]] = [
    (r"^head", "conv_first"),
    (r"^tail", "conv_body"),
    (r"^full", "conv_hr"),
    (r"^last", "conv_last"),
    (r"^up\.(\d)", lambda match: f"conv_up{int(match[1]) + 1}"),
    (r"^body\.(\d+)\.blocks\.(\d)\.layers\.(\d)", _after),
]
"""Real-ESRGAN's names of layers."""


def test_networks_of_spandrels_kind_and_esrgan(srx, file, tmp_path):
    options = {"channels": 8, "num_blocks": 1, "growth": 4, "picture_channels": 1}
    network = build_network("rrdbnet", scale=2, options=options)
    theirs = {}
    for name, tensor in network.state_dict().items():
        for pattern, theirs_of_layer in BASICSR:
            name = re.sub(pattern, theirs_of_layer, name)
        theirs[name] = tensor
    assert theirs["conv_first.weight"].shape == (8, 4, 3, 3)
    torch.save({"params": theirs}, tmp_path / "esrgan-gray.pth")
    loaded = load_model(str(tmp_path / "esrgan-gray.pth"), value_range=1)
    x = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        assert torch.equal(loaded(x), network.eval()(x))
    text = srx("models", file, code=0).out
    assert "gray" in text.lower()


@pytest.mark.filterwarnings("ignore:.*torch.jit.load")
def test_files_for_other_software_take_colours(srx, file, pixels):
    srx(f"export net.pt -m {file}", code=0)
    program = torch.jit.load("net.pt")
    x = torch.from_numpy(pixels.transpose(2, 0, 1)[None] / np.float32(255))
    with torch.inference_mode():
        enlarged = program(x)
    assert enlarged.shape == (1, 3, 96, 120)
    small = F.avg_pool2d(enlarged, 2)
    assert float((small - x).abs().mean()) < 0.1


def test_they_can_be_trained(srx, pixels, tmp_path):
    folder = tmp_path / "hr"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.roll(pixels, number, axis=1)).save(folder / f"{number}.png")
    run = tmp_path / "run"
    options = (
        "-s 2 --budget 2 --hold-out none --device cpu -q --set network.picture_channels=1 --set "
        "network.channels=8 --set network.depth=2 --set stages.0.batch=1 --set stages.0.patch=8"
    )
    srx("train srvgg --data", folder, "--out", run, options, code=0)
    assert load_model(str(run / "last.safetensors")).colour == "gray"
