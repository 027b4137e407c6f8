"""Files of `srx export` are models: `-m` enlarges by them as by the network that they are of."""

from __future__ import annotations

import json
import re
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from srcli import upscale
from srcli.inference.building import WHOLE_TILE, choose_tiling
from srcli.models import MODELS, build_network
from srcli.models.exported import onnx_session
from srcli.models.loading import load_model
from srcli.models.storage import WeightsInfo, save_weights
from tests.fixtures.files import names_in
from tests.fixtures.pictures import read_pixels

TINY = {
    "g-idrn": {
        "channels": 16,
        "num_blocks": 1,
        "num_groups": 1,
    },  # global pools of all kinds
    "rrlfn": {"channels": 8, "num_blocks": 1},  # stretches a map
    "ddsr": {"depth": 2, "channels": 4},  # of Y
}
SUFFIXES = [".pt", *[".onnx"] * bool(find_spec("onnx") and find_spec("onnxruntime"))]
each_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.fixture(scope="module", params=TINY)
def weights(request, tmp_path_factory):
    """Weights of a small network, x2."""
    torch.manual_seed(0)
    network = build_network(request.param, scale=2, options=TINY[request.param])
    file = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    info = WeightsInfo(model=request.param, scale=2, network=TINY[request.param])
    save_weights(file, network.state_dict(), info)
    return file


@each_suffix
def test_a_picture_comes_out_as_the_network_makes_it(
    srx, weights, tmp_path, astronaut, suffix
):
    file = tmp_path / f"net{suffix}"
    Image.fromarray(astronaut[:48, :64]).save("a.png")
    srx(f"export {file} -m {weights}", code=0)
    srx(f"upscale a.png network.png -m {weights} --precision fp32", code=0)
    srx(f"upscale a.png file.png -m {file} --precision fp32", code=0)
    expected = read_pixels("network.png").astype(int)
    assert expected.shape == (96, 128, 3)
    np.testing.assert_allclose(read_pixels("file.png"), expected, atol=1, rtol=0)
    tiny = np.ascontiguousarray(astronaut[:3, :2])  # for which rrlfn itself pads more
    expected = upscale(tiny, weights, 2, precision="fp32").astype(int)
    by_file = upscale(tiny, file, 2, precision="fp32")
    np.testing.assert_allclose(by_file, expected, atol=1, rtol=0)


@each_suffix
def test_a_file_takes_pictures_in_tiles_as_its_network(srx, weights, suffix):
    """A file knows nothing of a picture but the tile that it gets."""
    file = f"net{suffix}"
    srx(f"export {file} -m {weights}", code=0)
    tiling = choose_tiling(file, load_model(file))
    expected = MODELS["ddsr"].tile if weights.stem == "ddsr" else WHOLE_TILE
    assert tiling.tile == expected


@pytest.fixture
def export(srx, tmp_path):
    """Export bicubic interpolation x2 as TorchScript: ``export("net.pt", ...)``."""

    def call(name, *options):
        srx("export", tmp_path / name, "-m bicubic -s 2", *options, code=0)
        return tmp_path / name

    return call


@each_suffix
def test_files_are_scored_and_timed_beside_models(
    srx, export, tmp_path, astronaut, suffix
):
    file = export(f"net{suffix}")
    models = ("-m", file, "-m", "bicubic", "--json", tmp_path / "out.json")
    Path("in").mkdir()
    Image.fromarray(astronaut).save("in/a.png")
    out = {}
    for command in ["eval --data in", "bench --size 32x32 --rounds 1"]:
        srx(command, *models, code=0)
        out[command.split()[0]] = json.loads(Path("out.json").read_text())
    assert [cost["parameters"] for cost in out["bench"]["costs"]] == [None, 0]
    assert {cost["scale"] for cost in out["eval"]["costs"]} == {2}
    card = srx(f"models -v {file}", code=0).out
    assert file.name in card
    assert "dB with values to 1" in card
    assert "feeds Y alone" in srx(f"eval -m {file} --chain luma-float", code=2).err


@each_suffix
def test_what_cannot_be_run_is_refused_in_a_line(
    srx, export, tmp_path, suffix, monkeypatch
):
    file = export(f"net{suffix}")
    sized = export(f"sized{suffix}", "--size 32x32")
    cut = tmp_path / f"cut{suffix}"
    missing = tmp_path / f"none{suffix}"
    key = b"multiple_of"
    cut.write_bytes(file.read_bytes().replace(key, key[::-1]))
    Image.new("RGB", (9, 9)).save("a.png")
    for model, words in [
        (
            (sized,),
            "cannot be run as a file of srx export (it takes pictures of 32x32 (height x",
        ),
        ((file, "-s", 3), "is for scale 2, not 3"),
        ((cut,), "cannot be run as a file of srx export"),
        ((missing,), "no such weights file"),
    ]:
        result = srx("upscale a.png b.png -m", *model, code=2)
        assert f"{model[0]}: {words}" in result.err
        assert len(result.err.strip().splitlines()) == 1
    again = srx(f"export again.pt -m {file}", code=2)
    assert "is an exported file; give the weights" in again.err
    if suffix == ".onnx":
        onnx_session.cache_clear()
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        result = srx(f"upscale a.png b.png -m {file}", code=2)
        assert f"{file}: needs onnxruntime: pip install onnxruntime" in result.err


class Writing(nn.Module):
    """Keeps what it sees in a file."""

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "seen")
        return x


class Waking(nn.Module):
    """Writes a file when it is read."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return torch.ones(1), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        torch.save(state[0], "seen")
        self.training = state[1]


class Apart(nn.Module):
    """Has another do so beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Writing()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.jit.wait(torch.jit.fork(self.other, x))
        return out


@pytest.mark.parametrize("module", [Writing, Waking, Apart])
def test_a_program_that_does_more_than_compute_never_runs(srx, monkeypatch, module):
    needs = dict.fromkeys(
        ["scale", "multiple_of", "minimum", "edge", "tile_step", "tile"], "1"
    )
    facts = json.dumps({**needs, "size": "any", "overlap": "0"})
    with warnings.catch_warnings(action="ignore"):  # deprecated
        torch.jit.script(module()).save("net.pt", _extra_files={"srx.json": facts})
    Image.new("RGB", (9, 9)).save("a.png")
    result = srx("upscale a.png b.png -m net.pt", code=2)
    assert re.search(
        r"net.pt: cannot be run .*more than compute: (aten|prim|__)", result.err
    )
    assert names_in() == ["a.png", "net.pt"]
