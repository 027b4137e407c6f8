"""What no tensor shows, range of values, residual scale and colour shift, is found and told."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from srcli.layers.network import DIV2K_MEAN
from srcli.models.loading import load_model, load_network

MEAN = torch.tensor(DIV2K_MEAN)
LEVEL = 1 / 255


class Shift(nn.Conv2d):
    """A mean colour that is added, ``sign`` 1, or subtracted, as in EDSR's code."""

    def __init__(self, white, sign):
        super().__init__(3, 3, 1)
        self.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.bias = nn.Parameter(sign * white * MEAN)


class Block(nn.Module):
    """A residual block by EDSR's names."""

    def __init__(self, width, factor):
        super().__init__()
        layers = [nn.Conv2d(width, width, 3, 1, 1) for _ in range(2)]
        self.body = nn.Sequential(layers[0], nn.ReLU(), layers[1])
        self.factor = factor

    def forward(self, x):
        return x + self.factor * self.body(x)


class Edsr(nn.Module):
    """EDSR x2 by the names of its authors, as various projects run it.

    Args:
        stored: White of the shifts that its file holds; 0 for none.
        used: They are used.
        factor: On the output of a block.
    """

    def __init__(self, stored, used, factor=1.0, width=16):
        super().__init__()
        self.used = used
        if stored:
            self.sub_mean = Shift(stored, -1)
            self.add_mean = Shift(stored, 1)
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1))
        last = nn.Conv2d(width, width, 3, 1, 1)
        self.body = nn.Sequential(Block(width, factor), Block(width, factor), last)
        shuffle = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2)
        )
        self.tail = nn.Sequential(shuffle, nn.Conv2d(width, 3, 3, 1, 1))

    def forward(self, x):
        x = self.sub_mean(x) if self.used else x
        x = self.head(x)
        x = self.tail(self.body(x) + x)
        return self.add_mean(x) if self.used else x


@torch.no_grad()
def enlarging(network, white):
    """Weights by which a network repeats pixels where its own constants are used, alone.

    A ReLU lets values pass as they are in training, and cuts others: with a shift those
    below 0.57 times white, without one those above 0. What comes through it is half of
    what is needed, so that the factor on residuals counts, too.
    """
    for name, weight in network.named_parameters():
        if "mean" not in name:
            weight.zero_()
    sign = -1 if network.used else 1
    most = 0.57 * white if network.used else 0.0
    first, _, second = network.body[0].body
    gain = 2 + 0.5 * sign
    for channel in range(3):
        network.head[0].weight[channel, channel, 1, 1] = 1
        first.weight[channel, channel, 1, 1] = sign
        first.bias[channel] = most
        second.weight[channel, channel, 1, 1] = 0.5 / network.body[0].factor
        network.body[2].weight[channel, channel, 1, 1] = 1
        network.body[2].bias[channel] = -0.5 * most
        shuffled = slice(4 * channel, 4 * channel + 4)
        network.tail[0][0].weight[shuffled, channel, 1, 1] = 1
        network.tail[1].weight[channel, channel, 1, 1] = 1 / gain
    return network.eval()


@pytest.fixture
def picture():
    """Soft colours, (1, 3, 48, 48)."""
    torch.manual_seed(0)
    coarse = torch.rand(1, 3, 6, 6)
    return nn.functional.interpolate(coarse, size=(48, 48), mode="bicubic").clamp(0, 1)


@pytest.fixture
def saved(tmp_path):
    """Save the tensors of a network, and return the file."""

    def save(network):
        torch.save(network.state_dict(), tmp_path / "w.pth")
        return tmp_path / "w.pth"

    return save


@torch.inference_mode()
def assert_same(network, theirs, picture, white):
    """Check that a loaded network gives the picture that its own code gives."""
    own = theirs(picture * white) / white
    assert (network(picture) - own).abs().max() < 0.5 * LEVEL


CASES = {
    "as published": (Edsr(255, used=True), 255),
    "--rgb_range 1": (Edsr(1, used=True), 1),
    "no shift in the file": (Edsr(0, used=False), 1),
    "a shift that is not used": (Edsr(255, used=False), 1),
    "--res_scale 0.1": (Edsr(255, used=True, factor=0.1), 255),
    "both": (Edsr(1, used=True, factor=0.1), 1),
    "neither shift nor factor": (Edsr(0, used=False, factor=0.1), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_files_give_the_picture_of_their_own_code(saved, picture, name):
    theirs, white = CASES[name]
    file = saved(enlarging(theirs, white))
    network, info = load_network(file)
    assert_same(network.eval(), theirs, picture, white)
    assert info.network["shift"] == theirs.used
    assert info.network["residual_scale"] == theirs.body[0].factor
    usual = white == 255 and theirs.used and theirs.body[0].factor == 1
    if usual:
        assert network.notes == ()


def test_what_was_chosen_and_what_else_is_told(srx, saved):
    file = saved(enlarging(Edsr(255, used=True, factor=0.1), 255))
    text = " ".join(srx(f"models -v {file}", code=0).out.split())
    assert re.search(
        r"a network like edsr with values to 255, residual_scale 0.1, shift true, not "
        r"values to 255, residual_scale 1, shift true, as a test picture shows "
        r"\(\d\d\.\d and ",
        text,
    )
    assert re.search(r"dB with values to\s+255, residual_scale 1, shift true", text)


@pytest.mark.filterwarnings("ignore:.*torch.jit.load")
def test_a_reading_is_taken_by_options(srx, saved, picture):
    theirs = enlarging(Edsr(255, used=True, factor=0.1), 255)
    file = saved(theirs)
    network = load_model(f"(residual_scale=0.1)@{file}")
    assert network.notes == ()  # nothing was left to choose
    assert_same(network, theirs, picture, 255)
    words = ["export", file.with_suffix(".pt"), "-m", file]
    wrong = srx(*words, "--set network.residual_scale=1.0", code=2)
    assert "is of a relative with other code" in wrong.err
    known = srx(*words, "--set network.channels=16", code=2)
    assert "--set network.channels: the file itself tells it" in known.err
    assert "to be set are: residual_scale, shift" in known.err
    srx(*words, "--set network.residual_scale=0.1", code=0)
    by_file = torch.jit.load(file.with_suffix(".pt"))
    with torch.inference_mode():
        difference = by_file(picture) - network(picture).clamp(0, 1)
    assert difference.abs().max() < LEVEL


def test_what_nothing_decides_is_told(saved):
    """A bias of 0.1 is a tenth of white or nearly nothing, and the picture goes past it."""
    theirs = enlarging(Edsr(0, used=False), 1)
    with torch.no_grad():
        detail = torch.tensor([1.0, -1.0, -1.0, 1.0]).repeat(3)
        theirs.tail[0][0].bias[:12] = 0.1 * detail  # even over each enlarged pixel
    network, _ = load_network(saved(theirs))
    assert network.white == 1
    (note,) = network.notes
    assert "with values to 255" in note
    assert "the test picture is as good" in note
    assert note.endswith("--value-range 255 takes that")


class GatedBlock(nn.Module):
    """A block of RCAN by BasicSR's names; its attention is a half everywhere."""

    def __init__(self, width, factor):
        super().__init__()
        attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // 16, 1),
            nn.ReLU(),
            nn.Conv2d(width // 16, width, 1),
            nn.Sigmoid(),
        )
        gate = nn.ModuleDict({"attention": attention})
        convolutions = [nn.Conv2d(width, width, 3, 1, 1) for _ in range(2)]
        self.rcab: Any = nn.Sequential(
            convolutions[0], nn.ReLU(), convolutions[1], gate
        )
        self.factor = factor

    def forward(self, x):
        out = self.rcab[2](self.rcab[1](self.rcab[0](x)))
        return x + self.factor * out * self.rcab[3]["attention"](out)


class Group(nn.Module):
    """A group of such blocks, here of one."""

    def __init__(self, width, factor):
        super().__init__()
        self.residual_group = nn.Sequential(GatedBlock(width, factor))
        self.conv = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x):
        return x + self.conv(self.residual_group(x))


class BasicRcan(nn.Module):
    """RCAN x2 as BasicSR runs it, whose ``res_scale`` is in no file; it repeats pixels."""

    def __init__(self, factor, width=16):
        super().__init__()
        self.conv_first = nn.Conv2d(3, width, 3, 1, 1)
        self.body: Any = nn.Sequential(Group(width, factor))
        self.conv_after_body = nn.Conv2d(width, width, 3, 1, 1)
        enlarging = nn.Conv2d(width, 4 * width, 3, 1, 1)
        self.upsample: Any = nn.Sequential(enlarging, nn.PixelShuffle(2))
        self.conv_last = nn.Conv2d(width, 3, 3, 1, 1)
        self._repeat_pixels(factor)

    @torch.no_grad()
    def _repeat_pixels(self, factor):
        """See ``enlarging``: what comes through the ReLU and the gate is half of x."""
        for weight in self.parameters():
            weight.zero_()
        most = 0.57 * 255
        first, _, second, _ = self.body[0].residual_group[0].rcab
        after: Any = self.conv_after_body
        for channel in range(3):
            same = channel, channel, 1, 1
            self.conv_first.weight[same] = 1
            first.weight[same] = -1
            first.bias[channel] = most
            second.weight[same] = 1 / factor
            self.body[0].conv.weight[same] = 1
            after.weight[same] = 1
            after.bias[channel] = -0.5 * most
            self.upsample[0].weight[4 * channel : 4 * channel + 4, channel, 1, 1] = 1
            self.conv_last.weight[same] = 1 / 2.5

    def forward(self, x):
        mean = MEAN.view(1, 3, 1, 1)
        features = self.conv_first((x - mean) * 255)
        features = features + self.conv_after_body(self.body(features))
        return self.conv_last(self.upsample(features)) / 255 + mean


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_the_factor_of_basicsrs_rcan_is_found(saved, picture, factor):
    theirs = BasicRcan(factor)
    network, info = load_network(saved(theirs))
    assert info.model == "rcan"
    assert info.network["residual_scale"] == factor
    assert_same(network, theirs, picture, 1)
