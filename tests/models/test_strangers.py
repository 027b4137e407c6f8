"""Files and tensors that enlarge no picture here are named, with what helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from srcli.errors import ModelError
from srcli.models.loading import load_model
from tests.promises.test_checkpoints import BLACK, srvgg

FILES = {
    "a.gguf": (b"GGUF\3\0\0\0", "llama.cpp"),
    "a.h5": (b"\x89HDF\r\n\x1a\n\0\0", "Keras"),
    "a.pdparams": (b"\x80\2}q\0.", "PaddlePaddle"),
    "a.ckpt": (b"\n\x1f\n\x11conv_first.weight\x12\n\x08\x10", "MindSpore"),
    "a.tflite": (b"\x1c\0\0\0TFL3\0\0", "LiteRT"),
    "a.plan": (b"ftrt\0\0\0\0", "TensorRT"),
    "a.safetensors.index.json": (b'{"weight_map": {"a": "b"}}', "put all parts"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_programs_are_named(tmp_path, name):
    content, word = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=word) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: ")


def kernels(*names):
    return {name: torch.rand(4, 4, 3, 3) for name in names}


TENSORS = {
    "realesrgan_netD.pth": (
        kernels("conv0.weight", "conv1.weight_orig", "conv9.weight"),
        "is a discriminator",
    ),
    "vgg_netD.pth": (kernels("conv0_0.weight", "linear1.weight"), "discriminator"),
    "basicvsr.pth": (
        kernels("spynet.basic_module.0.basic_module.0.weight", "fusion.weight"),
        "several frames",
    ),
    "model-00002-of-00003.pth": (kernels("conv_first.weight"), "one of 3 parts"),
    "quantised.pth": (
        {"conv_first.weight": torch.ones(4, 3, 3, 3, dtype=torch.int8)},
        "whole numbers",
    ),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_enlarge_nothing_are_named(tmp_path, name):
    tensors, words = TENSORS[name]
    torch.save({"params": tensors}, tmp_path / name)
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path / name)


def test_folders_are_no_models(srx, tmp_path):
    checkpoint = tmp_path / "step_9"
    checkpoint.mkdir()
    assert "is a folder; give a weights file" in srx("models -v", checkpoint).err
    (checkpoint / ".metadata").write_bytes(b"")
    assert f"dcp_to_torch {checkpoint} weights.pth" in srx("models -v", checkpoint).err


def test_averages_whose_names_lack_their_dots_are_used(tmp_path):
    """As LitEma of latent diffusion keeps them; parameters that it lacks do no harm."""
    average = srvgg()
    state = {f"model.{name}": value for name, value in srvgg(BLACK).items()}
    state["model_ema.decay"] = torch.tensor(0.99)
    state["model_ema.num_updates"] = torch.tensor(3)
    for name, value in average.items():
        state["model_ema." + name.replace(".", "")] = value
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    save_file(average, tmp_path / "average.safetensors")
    network = load_model(tmp_path / "a.ckpt")
    expected = load_model(tmp_path / "average.safetensors")
    assert "model_ema" in network.notes[0]
    picture = torch.rand(1, 3, 9, 8)
    with torch.no_grad():
        assert torch.equal(network(picture), expected(picture))


def test_the_suffix_alone_does_not_make_a_file_another(tmp_path):
    path = Path(tmp_path, "a.ckpt")
    torch.save({"state_dict": srvgg()}, path)
    assert load_model(path).scale == 2
