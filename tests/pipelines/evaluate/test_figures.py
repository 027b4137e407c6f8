"""Scores and costs of fixed cases stay as they are: published figures stay comparable."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from srcli.models import build_network
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate

TOLERANCE = {"psnr": 2e-4, "ssim": 1e-5, "ifc": 5e-4, "consistency": 2e-3}
"""Another processor or number of threads rounds a few pixels differently; bfloat16
differs more."""
CASES = [
    ("bicubic", {}, (27.172685, 0.766624, 1.888037, 38.071924)),
    ("bicubic", {"protocol": "y-classic"}, (26.509429, 0.757357, 1.883887, 37.378471)),
    ("bicubic", {"protocol": "rgb"}, (25.714442, 0.744154, 1.888037, 36.656980)),
    ("bicubic", {"chain": "luma-float"}, (26.492029, 0.757163, 1.885656, 36.836623)),
    ("bicubic", {"jpeg": 75}, (26.213000, 0.710355, 1.382012, 38.099334)),
    ("bicubic", {"shave": 9}, (26.964151, 0.758969, 1.799412, 38.071924)),
    (
        "bicubic",
        {"kernel": "bicubic-pillow"},
        (27.171257, 0.766675, 1.884682, 38.023355),
    ),
    ("bicubic", {"kernel": "box"}, (27.201138, 0.773936, 1.876743, 38.102550)),
    ("bicubic", {"kernel": "blur-down"}, (26.206740, 0.745739, 1.518591, 33.827426)),
    ("g-idrn", {}, (16.490765, 0.158860, 0.107598, 19.037868)),
    ("rrlfn", {"tta": True}, (5.669752, 0.103067, 0.136295, 5.644539)),
    ("ddsr", {"chain": "luma-float"}, (5.910943, 0.081224, 0.715647, 5.916141)),
    (
        "attentive-gan",
        {},
        (18.082108, 0.357195, 0.155378, 19.046714),
    ),
    ("nested-attn", {}, (23.465461, 0.689976, 1.880266, 26.088526)),
]


CHANGED = "behaviour changed: figures of before cannot be compared with new ones"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, astronaut):
    """A folder with a set of one colour and one gray photograph."""
    folder = tmp_path_factory.mktemp("version")
    (folder / "set").mkdir()
    Image.fromarray(astronaut).save(folder / "set" / "colour.png")
    Image.fromarray(astronaut[::-1, :, 1]).save(folder / "set" / "gray.png")
    return folder


def with_fixed_weights(model, folder):
    """Weights file whose values depend on no random generator and no names."""
    network = build_network(model, scale=4, options={})
    state = network.state_dict()
    for tensor in state.values():
        wave = torch.cos(torch.arange(tensor.numel(), dtype=torch.float64))
        size = (tensor.numel() / len(tensor)) ** -0.5 if tensor.dim() > 1 else 0.1
        tensor.copy_((wave * size).reshape(tensor.shape))
    file = folder / f"{model}.safetensors"
    save_weights(file, state, WeightsInfo(model=model, scale=4, network={}))
    return str(file)


@pytest.mark.parametrize(("model", "options", "stored"), CASES)
def test_scores_are_those_of_before(folder, model, options, stored):
    name = model if model == "bicubic" else with_fixed_weights(model, folder)
    eval_options = EvalOptions(device="cpu", costs=False, **options)
    result = evaluate([name], [str(folder / "set")], scales=[4], options=eval_options)
    values = result.means()[0]["values"]
    for metric, expected in zip(TOLERANCE, stored, strict=True):
        tolerance = TOLERANCE[metric]
        assert values[metric] == pytest.approx(expected, abs=tolerance), (
            f"{CHANGED}: {values}"
        )
