"""Sets that a training is validated on: as the evaluation reads and scores them."""

from __future__ import annotations

from itertools import product
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from srcli.errors import DataError, PictureError
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import write_photograph
from srcli.imaging.pixels.resize import downscale
from srcli.models import build_network
from srcli.models.loading import load_model
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.train.data import deciding_set, validation_sets, validator
from srcli.ports import Progress
from srcli.training.steps import Numerics
from tests.fixtures.progress import Notes
from tests.fixtures.trainings import make_pairs

FP32 = Numerics(device=torch.device("cpu"))


@pytest.fixture
def folder(tmp_path, astronaut):
    """Three crops, one of them gray, of sizes that scales do not divide."""
    path = tmp_path / "small"
    path.mkdir()
    crops = {"a": astronaut[:49, :50], "b": astronaut[20:75, 40:101]}
    for name, crop in crops.items():
        Image.fromarray(crop).save(path / f"{name}.png")
    Image.fromarray(astronaut[60:110, 90:140]).convert("L").save(path / "gray.png")
    return path


@pytest.mark.parametrize(
    ("model", "scale"),
    [
        *product(["g-idrn", "ddsr"], [2, 3]),
        ("rrdbnet", 2),
    ],  # which takes even sides alone
)
def test_a_set_scores_what_the_evaluation_says(folder, tmp_path, model, scale):
    small = {"channels": 16, "num_blocks": 1, "num_groups": 1}
    tiny = {"channels": 8, "growth": 4, "num_blocks": 1}
    options = {"ddsr": {"depth": 2}, "rrdbnet": tiny}.get(model, small)
    torch.manual_seed(0)
    network = build_network(model, scale=scale, options=options)
    file = tmp_path / "w.safetensors"
    save_weights(
        file,
        network.state_dict(),
        WeightsInfo(model=model, scale=scale, network=options, notes={}),
    )
    deep = read_photograph(folder / "a.png").pixels * np.uint16(257)
    write_photograph(folder / "deep.png", Photograph(pixels=deep), fmt="png")
    validate = validator(validation_sets(None, [str(folder)], scale, Progress()), FP32)
    assert validate is not None
    evaluated = {
        name: fmean(psnrs) for name, psnrs in validate(load_model(str(file))).items()
    }
    how = EvalOptions(metrics=("psnr",), costs=False)
    (mean,) = evaluate([str(file)], [str(folder)], scales=[scale], options=how).means()
    assert evaluated == {"small": pytest.approx(mean["values"]["psnr"], abs=1e-3)}


def test_the_held_out_pictures_come_first_and_decide(folder, astronaut):
    held_out = make_pairs([astronaut], 2)
    sets = validation_sets(held_out, [str(folder)], 2, Progress())
    assert list(sets) == ["held-out", "small"]
    assert sets["held-out"] is held_out
    assert deciding_set(sets) is None
    alone = validation_sets(None, [str(folder)], 2, Progress())
    name = deciding_set(alone)
    assert name is not None
    assert name.startswith("small (")
    (folder / "gray.png").unlink()
    assert deciding_set(validation_sets(None, [str(folder)], 2, Progress())) != name
    assert validator({}, FP32) is None
    assert deciding_set({}) is None


def test_networks_are_validated_without_tf32(astronaut):
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = convolutions.fp32_precision
    network = build_network("rrlfn", scale=2, options={"num_blocks": 1})
    chosen = []
    network.register_forward_pre_hook(
        lambda *_: chosen.append(convolutions.fp32_precision)
    )
    validate = validator({"one": make_pairs([astronaut[:32, :32]], 2)}, FP32)
    assert validate is not None
    validate(network)
    assert (chosen, convolutions.fp32_precision) == (["ieee"], before)


def test_folders_of_one_name_keep_apart(folder, tmp_path):
    twin = tmp_path / "other" / "small"
    twin.mkdir(parents=True)
    (twin / "a.png").write_bytes((folder / "a.png").read_bytes())
    sets = validation_sets(None, [str(folder), str(twin)], 2, Progress())
    assert list(sets) == ["small", str(twin)]


def test_pictures_without_lr_are_left_out_and_told(folder, tmp_path, astronaut):
    base = tmp_path / "set"
    (base / "LR_bicubic" / "X2").mkdir(parents=True)
    folder.rename(base / "HR")
    small = downscale(astronaut[:48, :50], 2)
    Image.fromarray(small).save(base / "LR_bicubic" / "X2" / "ax2.png")
    notes = Notes()
    (pairs,) = validation_sets(None, [str(base)], 2, notes).values()
    assert len(pairs.lr) == 1
    assert (pairs.lr[0] == small).all()
    assert len(notes.warnings) == 2
    assert "left out" in notes.warnings[0]


def test_useless_sets_are_refused_in_one_line(folder):
    with pytest.raises(DataError, match=r"--validate .*nowhere: no such folder"):
        validation_sets(None, ["nowhere"], 2, Progress())
    with pytest.raises(
        DataError, match=r"--validate .*a\.png: a file; give the folder"
    ):
        validation_sets(None, [str(folder / "a.png")], 2, Progress())
    (folder / "b.png").write_bytes(b"nothing")
    with pytest.raises((DataError, PictureError), match=r"b\.png"):
        validation_sets(None, [str(folder)], 2, Progress())


@pytest.mark.parametrize("size", [2, 5])
def test_several_processes_get_the_figures_of_one_bit_for_bit(astronaut, size):
    pairs = make_pairs([astronaut, astronaut[:67, :50], astronaut[9:70, 5:64]], 2)
    sets = {"a": pairs, "b": make_pairs([astronaut[:40]], 2)}
    team = SimpleNamespace(size=size, rank=0)

    def gather(work):
        shares = []
        for team.rank in range(size):
            shares.append(work())
        return shares

    team.gather = gather
    network = build_network("bicubic", scale=2)
    single = validator(sets, FP32)
    several = validator(sets, FP32, None, team)  # type: ignore[arg-type]
    assert single is not None
    assert several is not None
    assert several(network) == single(network)
