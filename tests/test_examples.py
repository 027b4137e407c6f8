"""The example scripts do what their first lines say."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from srcli.evaluation.sets import find_set
from srcli.imaging.pixels.resize import downscale
from srcli.models.attentive_gan import AttentiveGenerator
from srcli.models.loading import load_model
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from srcli.pipelines.export import export_model
from srcli.pipelines.upscale.array import upscale
from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal
from tests.fixtures.pictures import read_pixels

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def run(monkeypatch):
    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")

    return call


def test_degraded_pictures_are_a_set_that_eval_reads(run, tmp_path, astronaut, capsys):
    source = tmp_path / "source"
    out = tmp_path / "out"
    source.mkdir()
    for name, picture in [("one", astronaut), ("two", astronaut[:61, :47])]:
        Image.fromarray(np.ascontiguousarray(picture)).save(source / f"{name}.png")
    run("degrade_pictures.py", out, source, "--scale", 4)
    assert (
        f"--hr {out / 'HR'} --lr {out / 'LR_photo' / 'X4'}" in capsys.readouterr().out
    )
    for name in ("bicubic", "photo", "aerial"):
        pairs = find_set(str(out / "HR"), 4, lr_folder=out / f"LR_{name}" / "X4")
        assert [item.name for item in pairs.items] == ["one", "two"]
        assert not pairs.missing
        assert not pairs.orphans
        for item in pairs.items:
            assert item.lr is not None
            hr = read_pixels(item.path)
            lr = read_pixels(item.lr)
            assert hr.shape == (4 * lr.shape[0], 4 * lr.shape[1], 3)
            assert np.array_equal(lr, downscale(hr, 4)) == (name == "bicubic")
    before = (out / "LR_aerial" / "X4" / "onex4.png").read_bytes()
    run("degrade_pictures.py", out, source)
    assert (out / "LR_aerial" / "X4" / "onex4.png").read_bytes() == before
    run("degrade_pictures.py", out, source, "--seed", 1)
    assert (out / "LR_aerial" / "X4" / "onex4.png").read_bytes() != before


@pytest.fixture(scope="module")
def attentive(tmp_path_factory) -> Path:
    """Weights of a small network with two attention maps that are far from flat."""
    torch.manual_seed(3)
    options = {
        "channels": 12,
        "steps": 2,
        "num_rdb": 1,
        "growth": 4,
        "mapping_depth": 1,
    }
    network = AttentiveGenerator(
        channels=12, steps=2, num_rdb=1, growth=4, mapping_depth=1
    )
    assert network.attention is not None
    with torch.no_grad():
        network.attention.last.weight.mul_(60)
    file: Path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    info = WeightsInfo(model="attentive-gan", scale=4, network=options)
    save_weights(file, network.state_dict(), info)
    return file


def test_attention_maps_are_what_the_network_sees(
    run, tmp_path, astronaut, attentive, capsys
):
    picture = tmp_path / "one.png"
    Image.fromarray(astronaut).save(picture)
    run("save_attention.py", tmp_path / "maps", picture, "--model", attentive)
    assert capsys.readouterr().out == f"{picture}: 2 maps\n"
    pixels = astronaut.astype(np.float32) / 255
    # The picture is mirrored around itself, as the network asks for.
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="symmetric")
    with torch.no_grad():
        network = load_model(str(attentive))
        _, expected = network.attend(torch.from_numpy(padded).permute(2, 0, 1)[None])
    assert len(list((tmp_path / "maps").iterdir())) == len(expected) == 2
    for number, wanted in enumerate(expected):
        with Image.open(tmp_path / "maps" / f"one_attention_{number + 1}.png") as image:
            assert image.mode == "L"
            got = np.asarray(image) / 255
        assert got.std() > 0.01
        np.testing.assert_allclose(
            got, wanted[0, 0, 4:-4, 4:-4].numpy(), atol=0.6 / 255
        )


def test_feature_maps_are_a_grid_of_channels(
    run, tmp_path, astronaut, attentive, capsys
):
    picture = tmp_path / "one.png"
    out = tmp_path / "maps.png"
    Image.fromarray(astronaut[:10, :14]).save(picture)
    options = ("--model", attentive, "--scale", "4", "--layer")
    run("save_features.py", picture, out, *options, "head")
    assert capsys.readouterr().out == f"{out}: 12 maps of 14x10\n"
    network = load_model(str(attentive))
    with torch.no_grad():
        x = (
            torch.from_numpy(astronaut[:10, :14].copy()).permute(2, 0, 1)[None].float()
            / 255
        )
        features = network.get_submodule("head")(x)[
            0, 5
        ]  # the second of the second row of four
    with Image.open(out) as image:
        got = np.asarray(image)[11:21, 15:29] / 255
    scaled = (features - features.min()) / (features.max() - features.min())
    np.testing.assert_allclose(got, scaled.numpy(), atol=0.6 / 255)
    with pytest.raises(
        SystemExit, match=r"--layer nowhere: .*tiny\.safetensors has head, shallow"
    ):
        run("save_features.py", picture, out, *options, "nowhere")


def test_an_exported_file_makes_the_picture_of_srx_by_onnxruntime_alone(
    run, tmp_path, astronaut, attentive
):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    picture = tmp_path / "one.png"
    file = tmp_path / "net.onnx"
    out = tmp_path / "out.png"
    Image.fromarray(astronaut).save(picture)
    export_model(str(attentive), None, file)
    run("run_onnx.py", file, picture, out)
    with Image.open(out) as image:
        pixels = np.asarray(image).astype(int)
    expected = upscale(astronaut, model=str(attentive), precision="fp32")
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels != expected).mean() < 0.01


def test_chunks_of_an_array_fit_each_other(run, tmp_path, astronaut, capsys):
    source = write_by_gdal(tmp_path / "a.tif", astronaut[:32, :48], **PLACE)
    out = tmp_path / "out.tif"
    run("chunked_array.py", source, out, "--chunk", 32)
    assert capsys.readouterr().out == f"{out}: 96x64, 2 chunks\n"
    expected = upscale(astronaut[:32, :48], "ddsr", 2).astype(int)
    difference = np.abs(read_by_gdal(out) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.001
    with rasterio.open(source) as before, rasterio.open(out) as after:
        assert after.bounds == before.bounds
        assert after.crs == before.crs


def test_the_notebook_upscales_measures_and_compares(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    run("notebook.py")
    told = capsys.readouterr()
    bicubic, network = (
        float(score) for score in re.findall(r": PSNR ([\d.]+) dB", told.out)
    )
    assert network > bicubic + 1
    assert "| rrlfn |" in told.out
    assert "454,620 parameters" in told.out
    assert told.err.endswith("100%\n")
    with Image.open(tmp_path / "comparison.png") as image:
        assert image.size == (4 * 256, 256)
