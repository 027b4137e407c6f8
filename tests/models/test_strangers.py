"""Files and tensors that enlarge no picture here are named, with what helps."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from srcli.models.loading import load_model
from tests.promises.test_checkpoints import BLACK, srvgg


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
