"""A whole benchmark: costs, speeds, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from srcli.errors import ModelError, UsageError
from srcli.inference.engines import EngineOptions
from srcli.metrics import efficiency
from srcli.models import build_network
from srcli.models.storage import WeightsInfo, save_weights
from srcli.pipelines.bench import BenchOptions, bench, real_picture


def test_everything_of_a_run_is_in_its_result():
    options = BenchOptions(
        scales=(2, 4), sizes=((24, 32), (20, 16)), precisions=("fp32", "bf16"), rounds=2
    )
    found = bench(["bicubic", "bicubic"], options)
    places = [(s.scale, s.size, s.precision) for s in found.speeds]
    assert places == [
        (scale, size, precision)
        for scale in (2, 4)
        for size in ((24, 32), (20, 16))
        for precision in ("fp32", "bf16")
    ]
    assert {len(s.seconds) for s in found.speeds} == {2}
    assert [(cost.scale, cost.model, cost.size) for cost in found.costs] == [
        (2, "bicubic", (256, 256)),
        (4, "bicubic", (256, 256)),
    ]
    assert found.machine.torch == torch.__version__
    assert "warm-up" in found.how
    assert "Plain" not in found.how


def test_the_flagship_beside_a_plain_run_as_json(monkeypatch):
    monkeypatch.setattr(efficiency, "forward_memory", lambda *_: 1234)  # takes seconds
    options = BenchOptions(sizes=((24, 32),), rounds=2, compare_plain=True)
    result = json.loads(json.dumps(bench(["g-idrn"], options).as_json()))
    srx, plain = result["speeds"]
    assert plain["plain"] is True
    assert srx["times_plain"] == pytest.approx(plain["median_seconds"] / srx["median_seconds"])
    assert srx["pictures_per_second"] == pytest.approx(1 / srx["median_seconds"])
    assert srx["conv_macs"] / (24 * 32) == pytest.approx(36.055e9 / 256**2, rel=1e-3)
    assert plain["peak_memory"] > 24 * 32 * 72 * 4 * 4
    (cost,) = result["costs"]
    assert (cost["parameters"], cost["peak_memory"]) == (579_738, 1234)
    assert cost["challenge_flops"] / 1e9 == pytest.approx(36.182, abs=6e-4)
    assert "Plain: the same network" in result["how"]


def test_a_weights_file_runs_beside_a_name(tmp_path):
    path = tmp_path / "mine.safetensors"
    small = {"channels": 8, "num_blocks": 3}
    network = build_network("g-idrn", scale=2, options=small)
    save_weights(path, network.state_dict(), WeightsInfo(model="g-idrn", scale=2, network=small))
    options = BenchOptions(scales=(2,), sizes=((8, 8),), rounds=1, precisions=("fp32",))
    found = bench(["bicubic", str(path)], options)
    assert [speed.model for speed in found.speeds] == ["bicubic", "mine"]
    with pytest.raises(ModelError, match="is for scale 2, not 3"):
        bench([str(path)], BenchOptions(scales=(3,), rounds=1))


def test_threads_hold_for_the_run_alone():
    before = torch.get_num_threads()
    options = BenchOptions(sizes=((8, 8),), rounds=1, threads=before + 1)
    assert bench(["bicubic"], options).machine.threads == before + 1
    assert torch.get_num_threads() == before


def test_real_pictures_of_any_size():
    small, large = real_picture(30, 40), real_picture(700, 1100)
    assert (small.shape, large.shape) == ((30, 40, 3), (700, 1100, 3))
    np.testing.assert_array_equal(large[:30, :40], small)
    np.testing.assert_array_equal(large[512:700, :512], large[511:323:-1, :512])  # mirrored
    assert large[:, 1024:].std() > 10


def test_wrong_wishes_are_refused_before_anything_runs():
    with pytest.raises(UsageError, match="give a model"):
        bench([])
    with pytest.raises(UsageError, match="fp16 needs a GPU"):
        bench(["bicubic"], BenchOptions(precisions=("fp16",), engine=EngineOptions(device="cpu")))
    with pytest.raises(UsageError, match="--overlap"):
        bench(["bicubic"], BenchOptions(tile=20, overlap=10))
