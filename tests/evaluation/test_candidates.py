"""Networks on Y are given what the chain of pictures says: RGB, or Y itself."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from srcli.evaluation.candidates import NetworkCandidate
from srcli.evaluation.pairs import read_pair
from srcli.evaluation.sets import SetPicture
from srcli.metrics.fidelity import psnr
from srcli.models.ddsr import DDSR
from srcli.models.storage import WeightsInfo, save_weights
from srcli.pipelines.evaluate.options import EvalOptions


@pytest.fixture
def weights(tmp_path):
    """A network on Y that interpolates bicubically, away from the borders."""
    options = {"depth": 4, "channels": 12}
    network = DDSR(scale=2, depth=4, channels=12)
    network.start_from_bicubic(deep_gain=0.0)
    file = tmp_path / "y.safetensors"
    info = WeightsInfo(model="ddsr", scale=2, network=options)
    save_weights(file, network.state_dict(), info)
    return file


@pytest.mark.parametrize("chain", ["rgb8", "luma-float"])
def test_a_bicubic_network_on_y_gives_what_bicubic_gives(weights, tmp_path, astronaut, chain):
    hr_file = tmp_path / "hr.png"
    Image.fromarray(astronaut).save(hr_file)
    options = EvalOptions(chain=chain)
    settings = options.settings(2)
    pair = read_pair(
        SetPicture(name="hr", hr=hr_file), scale=2, kernel=settings.kernel, chain=settings.chain
    )
    found, expected = (
        NetworkCandidate(str(model), "x", 2, settings.chain, options.engine_options).enlarge(pair)[
            0
        ]
        for model in (weights, "bicubic")
    )
    inside = slice(8, -8), slice(8, -8)
    apart = np.abs(found[inside].astype(int) - expected[inside])
    # Bicubic of 8-bit RGB rounds and clips after each of its passes, the network on Y does not.
    assert apart.max() <= (3 if chain == "rgb8" else 1)
    assert apart.mean() < 0.3
    assert expected.std() > 20


def test_gray_pictures_reach_a_network_on_y_within_the_range_of_y(srx_data):
    """Black of a gray picture taken as luma is 0, and networks on Y learnt from 16 to 235."""
    options = EvalOptions(chain="luma-float")
    settings = options.settings(2)
    folder = srx_data / "benchmarks" / "Set14"
    (file,) = folder.rglob("bridge*")
    pair = read_pair(
        SetPicture(name="bridge", hr=file), scale=2, kernel=settings.kernel, chain=settings.chain
    )
    assert pair.gray
    ours, bicubic = (
        psnr(
            NetworkCandidate(name, name, 2, settings.chain, options.engine_options).enlarge(pair)[
                0
            ],
            pair.hr,
        )
        for name in ("ddsr", "bicubic")
    )
    assert ours > bicubic + 0.5
