"""Weights files of a training: deployed, with what is known of them."""

from __future__ import annotations

import torch

from srcli.models.weights import load_model, read_weights
from srcli.pipelines.train.network import first_network
from srcli.pipelines.train.weights import WeightsWriter
from srcli.recipes.degradation import PHOTO
from srcli.recipes.training import TrainRecipe
from srcli.training.checkpoint import Position

RECIPE = TrainRecipe(model="rrlfn", network={"num_blocks": 1}, degradation=PHOTO)


def test_weights_are_stored_deployed_with_their_notes(tmp_path):
    network = first_network(RECIPE, scale=2, seed=0).eval()
    writer = WeightsWriter(network, RECIPE, scale=2, notes={"seed": "7"})
    file = tmp_path / "w.safetensors"
    position = Position(total=40, best=31.25, best_total=40, validated=40)
    writer.write(file, network.state_dict(), position)
    _, info = read_weights(file)
    assert info is not None
    assert info.network == {"num_blocks": 1, "deployed": True}
    assert {"srx", "torch", "python"} < set(info.notes)
    assert info.notes["seed"] == "7"
    assert info.notes["degradation"] == "photo"
    assert info.notes["iterations"] == "40"
    assert info.notes["validation_psnr_y"] == "31.2500"
    x = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(load_model(str(file))(x), network(x), atol=1e-5, rtol=0)
    position.total = 41  # not the weights that were validated
    writer.write(file, network.state_dict(), position)
    _, info = read_weights(file)
    assert info is not None
    assert "validation_psnr_y" not in info.notes
