"""The OpenVINO engine gives what PyTorch gives: to rounding in fp32, to a level in bf16."""

from __future__ import annotations

import gc
import signal
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from srcli.errors import DefectError, InferenceError, UsageError
from srcli.inference.device import cpu_has_bf16
from srcli.inference.engine import TorchEngine
from srcli.inference.engines import (
    EngineOptions,
    EnginePool,
    choose_engine,
    enlarge_array,
    has_openvino,
    make_engine,
)
from srcli.inference.openvino import SMALLEST_TILE, OpenVINOEngine, import_openvino, read_model
from srcli.inference.tiling import Tiling
from srcli.layers.attention import AsymmetricNonLocal
from srcli.layers.network import Network, full_precision
from srcli.layers.tiles import GlobalPool, StretchedMap
from srcli.metrics.fidelity import psnr
from srcli.models import MODELS
from srcli.models.weights import load_model, weights_path

CPU = torch.device("cpu")
STEP = 6
TILED = Tiling(tile=40, overlap=10, step=STEP)


@pytest.fixture(autouse=True)
def _with_openvino(monkeypatch):
    if not has_openvino():
        pytest.skip("needs openvino")
    monkeypatch.setattr("srcli.inference.engines.has_openvino", lambda: True)


class Tiny(Network):
    """Has all that needs care: pools, stretched maps, joined maps, an image path, padding."""

    scale = 2
    multiple_of = 2
    pools_globally = True
    tile_step = STEP

    def __init__(self, deep=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.deep = deep
        self.head = torch.nn.Conv2d(3, 12, 3, padding=1)
        self.pool = GlobalPool("contrast")
        self.highest = GlobalPool("maximum")
        self.stretch = StretchedMap(step=STEP, minimum=2 * STEP)
        self.direct = torch.nn.Conv2d(3, 12, 3, padding=1)
        self.joined = torch.nn.Conv2d(27, 12, 3, padding=1)
        self.last = torch.nn.Conv2d(12, 12, 1)

    def forward(self, x):
        deep = F.relu(self.head(x))
        deep = self.joined(torch.cat([torch.cat([deep, x], dim=1), deep], dim=1))
        means = F.avg_pool2d(deep, 2 * STEP, STEP)
        deep = deep * self.pool(deep) / self.highest(deep) + self.stretch(
            means, (x.shape[2], x.shape[3])
        )
        with full_precision(x.device):
            image = self.direct(x.float())
            out = self.last(image + self.deep * deep.float())
        return F.pixel_shuffle(out, 2)


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:75, 200:297])


@pytest.mark.parametrize("tta", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("half", "tolerance"), [(None, 2e-6), (torch.bfloat16, 0.01)])
def test_whole_pictures_and_tiles_come_out_as_from_torch(photo, half, tolerance, tta):
    tolerance *= 2 if tta else 1  # as far as PyTorch's own bf16 is from its fp32 on turned pictures
    floats = photo / np.float32(255)
    torch_engine = TorchEngine(Tiny(), device=CPU, tta=tta)
    engine = OpenVINOEngine(Tiny(), device=CPU, half=half, tta=tta)
    for grid in (None, TILED.grid(*photo.shape[:2])):
        expected = enlarge_array(torch_engine, floats, grid)
        got = enlarge_array(engine, floats, grid)
        np.testing.assert_allclose(got, expected, atol=tolerance, rtol=0)
        if half is None or cpu_has_bf16():  # OpenVINO takes fp32 where there is no bf16
            assert (np.abs(got - expected).max() > 1e-5) == (half is not None)


@pytest.mark.parametrize(("half", "tolerance"), [(None, 1e-5), (torch.bfloat16, 0.02)])
def test_calibrations_are_those_of_torch(photo, monkeypatch, half, tolerance):
    windows = photo[:63, :72].reshape(3, 21, 4, 18, 3)
    windows = windows.swapaxes(1, 2).reshape(12, 21, 18, 3).repeat(4, axis=0)
    torch_engine = TorchEngine(Tiny(), device=CPU)
    engine = OpenVINOEngine(Tiny(), device=CPU, half=half)
    for count in (48, 41):
        expected, found = (each.calibrate(windows[:count]) for each in (torch_engine, engine))
        assert expected is not None
        assert found is not None
        for name, value in expected.passes[0].items():
            torch.testing.assert_close(found.passes[0][name], value, atol=tolerance, rtol=0)
    monkeypatch.setattr("srcli.inference.openvino.read_model", None)
    few = engine.calibrate(windows[:8])  # by torch
    assert few is not None


def test_the_image_path_stays_in_fp32(photo):
    """The sum of image and deep path as well: it is no module."""
    floats = photo / np.float32(255)
    exact = enlarge_array(TorchEngine(Tiny(deep=0.0), device=CPU), floats)
    engine = OpenVINOEngine(Tiny(deep=0.0), device=CPU, half=torch.bfloat16)
    np.testing.assert_allclose(enlarge_array(engine, floats), exact, atol=2e-6, rtol=0)


def test_openvino_comes_without_its_telemetry():
    import_openvino()
    assert sys.modules["openvino_telemetry"] is None


def test_a_network_is_converted_once(photo, monkeypatch, tmp_path):
    first = enlarge_array(OpenVINOEngine(Tiny(), device=CPU), photo)

    def never(*_):
        raise RuntimeError("another network")

    with monkeypatch.context() as patch:
        patch.setattr("srcli.inference.openvino.convert", never)
        again = enlarge_array(OpenVINOEngine(Tiny(), device=CPU), photo)
        np.testing.assert_array_equal(again, first)
        with pytest.raises(InferenceError, match="another"):
            enlarge_array(OpenVINOEngine(Tiny(deep=0.5), device=CPU), photo)
    (tmp_path / "file").touch()
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "file" / "cache"))  # cannot be written
    unsaved = enlarge_array(OpenVINOEngine(Tiny(), device=CPU), photo)
    np.testing.assert_array_equal(unsaved, first)


@pytest.mark.parametrize("small", [True, False])
def test_networks_are_traced_on_small_pictures(photo, monkeypatch, small):
    """While they are traced, all outputs of layers are kept: 1.1 GB for 84 windows of g-idrn."""
    sides = set()

    def note(network, inputs, shapes):
        sides.add(inputs[0].shape[2:])
        return read_model(network, inputs, shapes)

    monkeypatch.setattr("srcli.inference.openvino.read_model", note)
    network = Tiny()
    network.traced_small = small
    tiling = Tiling(tile=30, overlap=10)
    engine = OpenVINOEngine(network, device=CPU)
    enlarge_array(engine, photo[:50, :50], tiling.grid(50, 50))
    assert sides == {(12, 12) if small else (30, 30)}


def test_small_tiles_and_what_fails_in_half_precision_go_through_torch(photo, monkeypatch):
    monkeypatch.setattr("srcli.inference.openvino.read_model", None)
    engine = OpenVINOEngine(Tiny(), device=CPU, smallest=41 * 41)
    expected = TorchEngine(Tiny(), device=CPU)
    grid = TILED.grid(*photo.shape[:2])
    np.testing.assert_array_equal(
        enlarge_array(engine, photo, grid), enlarge_array(expected, photo, grid)
    )
    assert engine.batch_size(40, 40) == expected.batch_size(40, 40)
    assert engine.batch_size(192, 192) % torch.get_num_threads() == 0
    with pytest.raises(DefectError, match="TypeError"):  # this one would need the model
        enlarge_array(engine, photo)


def test_a_network_that_cannot_be_converted_stays_with_torch(photo):
    class AllPixels(Tiny):
        def __init__(self):
            super().__init__()
            self.non_local = AsymmetricNonLocal(channels=3, bins=())

        def forward(self, x):
            return super().forward(self.non_local(x))

    part = photo[:20, :20]
    expected = enlarge_array(TorchEngine(AllPixels(), device=CPU), part)
    auto = OpenVINOEngine(AllPixels(), device=CPU, smallest=1)
    np.testing.assert_array_equal(enlarge_array(auto, part), expected)
    with pytest.raises(InferenceError, match=r"cannot be converted \(attention over all pixels"):
        enlarge_array(OpenVINOEngine(AllPixels(), device=CPU), part)


def test_auto_takes_openvino_where_it_is_measured_to_be_faster(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert choose_engine("auto", CPU) == "openvino"
    assert choose_engine("torch", CPU) == "torch"
    assert choose_engine("auto", torch.device("cuda")) == "torch"
    assert isinstance(make_engine(Tiny(), EngineOptions(device="cpu")), OpenVINOEngine)
    plain = make_engine(Tiny(), EngineOptions(device="cpu", plain=True))
    assert not isinstance(plain, OpenVINOEngine)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert choose_engine("auto", CPU) == "torch"
    assert choose_engine("openvino", CPU) == "openvino"
    with pytest.raises(UsageError, match="runs on the CPU, not on cuda"):
        choose_engine("openvino", torch.device("cuda"))
    monkeypatch.setattr("srcli.inference.engines.has_openvino", lambda: False)
    assert choose_engine("auto", CPU) == "torch"
    with pytest.raises(UsageError, match=r"pip install openvino"):
        EnginePool("bicubic", 2, EngineOptions(device="cpu", engine="openvino"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if weights_path(name, 4).is_file()])
def test_trained_networks_lose_nothing_that_counts(name, srx_data):
    from PIL import Image

    path = sorted((srx_data / "benchmarks" / "Set5").rglob("*baby*.png"))[0]
    hr_image = np.asarray(Image.open(path).convert("RGB"))[:480, :480]
    lr_image = np.ascontiguousarray(
        np.asarray(Image.fromarray(hr_image).resize((120, 120), Image.Resampling.BICUBIC))
    )
    assert lr_image.shape[0] * lr_image.shape[1] >= SMALLEST_TILE
    network = load_model(name, 4)
    exact = enlarge_array(TorchEngine(load_model(name, 4), device=CPU, plain=True), lr_image)
    for half, limit in ((None, 1e-4), (torch.bfloat16, 0.01)):
        engine = OpenVINOEngine(network, device=CPU, half=half)
        got = enlarge_array(engine, lr_image)
        assert psnr(got, hr_image) > psnr(exact, hr_image) - limit
        flat = enlarge_array(engine, np.full((100, 110, 3), 137 / 255, np.float32))
        assert np.ptp(flat[40:-40, 40:-40], axis=(0, 1)).max() < 1.5 / 255


def test_ctrl_c_is_seen_after_several_engines_have_ended(photo):
    """OpenVINO's runtimes put up memory for signals, and the last to end one that is freed."""
    engines = [OpenVINOEngine(Tiny(), device=CPU, half=half) for half in (None, torch.bfloat16)]
    for engine in engines:
        enlarge_array(engine, photo)
    while engines:
        engine = engines.pop(0)  # they end in the order in which they began
    del engine
    gc.collect()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
