"""The network that a training begins with, and its number format on a machine."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srcli.errors import ModelError, UsageError
from srcli.layers.resize import bicubic_resize
from srcli.models import build_network, weights
from srcli.models.loading import load_model
from srcli.models.storage import read_weights, save_weights
from srcli.models.weights import WeightsInfo
from srcli.pipelines.train.network import (
    first_network,
    initial_weights,
    load_initial_weights,
    write_weights,
)
from srcli.pipelines.train.numerics import (
    choose_numerics,
    device_for,
    resolve_precision,
)
from srcli.recipes.degradation import DEGRADATIONS
from srcli.recipes.files import RECIPES
from srcli.recipes.training import TrainRecipe
from srcli.training.folder import Position
from srcli.training.parallel import ALONE, Team
from tests.fixtures.progress import Notes

RECIPE = TrainRecipe(
    model="g-idrn", network={"channels": 16, "num_blocks": 1, "num_groups": 1}
)


def test_the_seed_decides_and_other_random_numbers_stay():
    before = torch.get_rng_state()
    network, same, changed = (
        first_network(RECIPE, scale=2, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(
        network.state_dict()["head.weight"], same.state_dict()["head.weight"]
    )
    assert not torch.equal(
        network.state_dict()["head.weight"], changed.state_dict()["head.weight"]
    )


def test_a_network_may_begin_as_an_interpolation(astronaut):
    picture = torch.from_numpy(astronaut[:32, :32].copy()).permute(2, 0, 1)[None] / 255
    interpolated = bicubic_resize(picture, 2)
    errors = []
    for begins in (False, True):
        recipe = replace(RECIPE, start_from_bicubic=begins)
        network = first_network(recipe, scale=2, seed=0).eval()
        with torch.inference_mode():
            errors.append(
                float((network(picture) - interpolated)[..., 8:-8, 8:-8].abs().mean())
            )
    assert errors[1] < errors[0] / 3


def test_what_cannot_be_trained_is_refused(monkeypatch):
    with pytest.raises(ModelError, match="nothing to train"):
        first_network(TrainRecipe(model="bicubic"), scale=2, seed=0)
    monkeypatch.delattr("srcli.models.g_idrn.GIDRN.start_from_bicubic")
    with pytest.raises(ModelError, match="cannot start as bicubic"):
        first_network(replace(RECIPE, start_from_bicubic=True), scale=2, seed=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_blocks": 3_000_000, "num_groups": 1}, "far more tensors than 500"),
        ({"channels": 100_000}, r"parameters takes .* GiB of memory, and .* are free"),
    ],
)
def test_recipes_that_ask_for_huge_networks_take_no_memory(monkeypatch, options, words):
    monkeypatch.setattr("srcli.pipelines.train.network._MOST_TENSORS", 500)
    before = time.process_time()
    with pytest.raises(ModelError, match=words):
        first_network(replace(RECIPE, network=options), scale=2, seed=0)
    assert time.process_time() - before < 2


SMALL_SRCNN = TrainRecipe(model="srcnn", network={"channels": 8})


def test_a_training_may_begin_from_a_model_or_a_file(tmp_path):
    named = replace(RECIPE, start_from="rrlfn")
    file = tmp_path / "mine.pth"
    assert initial_weights(RECIPE, 4) is None
    for recipe, init in ((named, None), (RECIPE, Path("rrlfn"))):
        assert initial_weights(recipe, 4, init) == weights.weights_path("rrlfn", 4)
    with pytest.raises(ModelError, match=r"--init .*mine\.pth: there are no weights"):
        initial_weights(named, 4, file)
    file.touch()
    assert initial_weights(named, 4, file) == file  # --init goes first
    with pytest.raises(ModelError, match=r"start_from mine\.pth: there are no weights"):
        initial_weights(replace(RECIPE, start_from="mine.pth"), 4)


def test_weights_of_another_scale_give_the_body_and_it_is_told(tmp_path):
    smaller = first_network(RECIPE, scale=2, seed=1)
    file = tmp_path / "x2.safetensors"
    info = WeightsInfo(model="g-idrn", scale=2, network=dict(RECIPE.network), notes={})
    save_weights(file, smaller.state_dict(), info)
    larger = first_network(RECIPE, scale=4, seed=2)
    notes = Notes()
    load_initial_weights(larger, file, notes)
    assert torch.equal(
        larger.state_dict()["head.weight"], smaller.state_dict()["head.weight"]
    )
    assert notes.messages[0].startswith(f"began from {file}: ")
    assert notes.warnings == []
    with pytest.raises(ModelError, match="no tensor of this network"):
        load_initial_weights(
            first_network(TrainRecipe(model="ddsr"), scale=4, seed=0), file, notes
        )


def test_published_weights_are_a_start(tmp_path):
    tensors = {
        "conv1.weight": torch.rand(8, 1, 9, 9),
        "conv2.weight": torch.rand(4, 8, 5, 5),
    }
    tensors |= {"conv3.weight": torch.rand(1, 4, 5, 5), "conv1.bias": torch.rand(8)}
    tensors |= {"conv2.bias": torch.rand(4), "conv3.bias": torch.rand(1)}
    torch.save(tensors, tmp_path / "srcnn.pth")
    network = first_network(SMALL_SRCNN, scale=3, seed=1)
    notes = Notes()
    load_initial_weights(network, tmp_path / "srcnn.pth", notes)
    assert torch.equal(network.state_dict()["layers.2.weight"], tensors["conv3.weight"])
    assert notes.messages == [f"began from {tmp_path / 'srcnn.pth'}: 6 of 6 tensors"]


PHOTO = DEGRADATIONS["photo"]
TINY_PHOTO = TrainRecipe(model="rrlfn", network={"num_blocks": 1}, degradation=PHOTO)


def test_weights_of_another_anchor_are_no_start(tmp_path):
    """Their tensors fit, but mean a correction of something else."""
    repeat = build_network("quick", scale=2)
    file = tmp_path / "repeat.safetensors"
    save_weights(file, repeat.state_dict(), WeightsInfo(model="quick", scale=2))
    options = {"anchor": "bicubic"}
    network = build_network("quick", scale=2, options=options)
    with pytest.raises(ModelError, match=r"anchor repeat.*network\.anchor=repeat"):
        load_initial_weights(network, file, Notes())
    load_initial_weights(repeat, file, Notes())


def test_weights_are_stored_deployed_with_their_notes(tmp_path):
    network = first_network(TINY_PHOTO, scale=2, seed=0).eval()
    file = tmp_path / "w.safetensors"
    position = Position(total=40, best=31.25, best_total=40, validated=40)

    def written():
        write_weights(
            network, TINY_PHOTO, {"seed": "7"}, file, network.state_dict(), position
        )
        info = read_weights(file).info
        assert info is not None
        return info

    info = written()
    assert info.network == {"num_blocks": 1, "deployed": True}
    own_notes = {
        "seed": "7",
        "degradation": "photo",
        "iterations": "40",
        "validation_psnr_y": "31.2500",
    }
    assert info.notes.items() > own_notes.items()
    assert {"srx", "torch", "python"} < set(info.notes)
    x = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        torch.testing.assert_close(
            load_model(str(file))(x), network(x), atol=1e-5, rtol=0
        )
    position.total = 41  # not the weights that were validated
    assert "validation_psnr_y" not in written().notes


@pytest.mark.parametrize("native", [True, False])
def test_a_processor_gets_half_precision_only_where_it_is_native_or_asked_for(
    monkeypatch, native
):
    monkeypatch.setattr("srcli.pipelines.train.numerics.cpu_has_bf16", lambda: native)
    chosen = choose_numerics("cpu", "auto")
    assert chosen.autocast == (torch.bfloat16 if native else None)
    assert chosen.channels_last is native
    device = torch.device("cpu")
    formats = [
        resolve_precision(precision, device) for precision in ("auto", "bf16", "fp32")
    ]
    assert formats == ["bf16" if native else "fp32", "bf16", "fp32"]


@pytest.mark.gpu
def test_a_gpu_trains_in_bf16_and_channels_last():
    chosen = choose_numerics("cuda")
    assert (chosen.autocast, chosen.channels_last) == (torch.bfloat16, True)


def test_each_of_several_processes_gets_a_gpu_of_its_own(monkeypatch):
    second = Team(connected=True, rank=5, local_rank=1, size=8, local_size=4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert device_for(ALONE, "cuda:3") == "cuda:3"
    assert device_for(second, "cpu") == "cpu"
    assert device_for(second, "cuda") == "cuda:1"
    for available, device in ((True, "cuda:1"), (False, "cpu")):
        monkeypatch.setattr(
            "torch.cuda.is_available", lambda available=available: available
        )
        assert device_for(second, "auto") == device
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    with pytest.raises(
        UsageError, match=r"4 processes .* 3 GPUs; .*--nproc-per-node 3,"
    ):
        device_for(second, "cuda")
    for name in ("cuda:0", "mps"):
        with pytest.raises(UsageError, match="several processes"):
            device_for(second, name)


@pytest.mark.parametrize("name", ["quick-tune", "g-idrn-photo-tune"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fine_tuning_begins_with_all_that_its_weights_hold(name, scale):
    recipe = RECIPES[name]
    network = first_network(recipe, scale=scale, seed=0)
    notes = Notes()
    file = initial_weights(recipe, scale)
    assert file
    load_initial_weights(network, file, notes)
    count = len(network.state_dict())
    assert f"{count} of {count} tensors" in str(notes.messages)
