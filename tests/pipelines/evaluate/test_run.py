"""Evaluation from Python: options, watchers, labels, what is counted and what is not."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
from PIL import Image

import srcli
from srcli.errors import DataError, UsageError
from srcli.imaging.pixels.resize import downscale, resize
from srcli.metrics.registry import METRICS, Metric
from srcli.models.ddsr import DDSR
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo, weights_path
from srcli.pipelines.evaluate.options import EvalOptions
from srcli.pipelines.evaluate.run import evaluate
from srcli.pipelines.labels import label_models

QUICK = EvalOptions(metrics=("psnr",), costs=False)


@pytest.fixture
def folder(tmp_path, astronaut):
    set_folder = tmp_path / "set"
    set_folder.mkdir()
    Image.fromarray(astronaut).save(set_folder / "a.png")
    Image.fromarray(astronaut[..., 0]).save(set_folder / "grau-höhe.png")
    return set_folder


def test_two_sets_of_one_name_stay_apart(folder, tmp_path, astronaut):
    namesake = tmp_path / "elsewhere" / "set"
    namesake.mkdir(parents=True)
    Image.fromarray(astronaut[:100]).save(namesake / "a.png")
    result = evaluate(
        ["bicubic"], [str(folder), str(namesake)], scales=[2], options=QUICK
    )
    assert [(mean["dataset"], mean["pictures"]) for mean in result.means()] == [
        (str(folder), 2),
        (str(namesake), 1),
    ]


def test_gray_pictures_count_by_their_protocol(folder):
    values = {}
    for name in ("y", "y-classic", "rgb"):
        options = EvalOptions(metrics=("psnr",), costs=False, protocol=name)
        scores = evaluate(
            ["bicubic"], [str(folder)], scales=[2], options=options
        ).scores
        values[name] = scores[1].values["psnr"]
    # as R = G = B a gray picture's Y spans 219 of 255 levels: 1.32 dB
    assert values["y"] - values["rgb"] == pytest.approx(
        20 * np.log10(255 / 219), abs=0.01
    )
    assert values["y-classic"] == pytest.approx(values["rgb"], abs=1e-9)


@pytest.mark.parametrize("chain", ["rgb8", "luma-float"])
def test_a_bicubic_network_on_y_gives_what_bicubic_gives(tmp_path, astronaut, chain):
    network = DDSR(scale=2, depth=4, channels=12)
    network.start_from_bicubic(deep_gain=0.0)
    info = WeightsInfo(model="ddsr", scale=2, network={"depth": 4, "channels": 12})
    save_weights(tmp_path / "y.safetensors", network.state_dict(), info)
    (tmp_path / "set").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "set" / "a.png")
    pictures: list[Any] = []
    evaluate(
        [str(tmp_path / "y.safetensors"), "bicubic"], [str(tmp_path / "set")], scales=[2],
        options=EvalOptions(metrics=("psnr",), costs=False, chain=chain),
        on_picture=[pictures.append],
    )  # fmt: skip
    by_network, expected = (
        sr[8:-8, 8:-8].astype(int) for sr in pictures[0].sr.values()
    )
    apart = np.abs(by_network - expected)
    # Bicubic of 8-bit RGB rounds and clips after each of its passes, the network on Y
    # does not.
    assert apart.max() <= (3 if chain == "rgb8" else 1)
    assert apart.mean() < 0.3
    assert expected.std() > 20


def test_gray_pictures_reach_a_network_on_y_within_the_range_of_y(folder):
    """Black of a gray picture taken as luma is 0, and networks on Y learnt from 16 to 235."""
    options = EvalOptions(metrics=("psnr",), costs=False, chain="luma-float")
    evaluation = evaluate(
        ["ddsr", "bicubic"], [str(folder)], scales=[2], options=options
    )
    psnr = {
        score.model: score.values["psnr"]
        for score in evaluation.scores
        if score.picture != "a"
    }
    assert psnr["ddsr"] > psnr["bicubic"] + 0.5


def test_lr_that_another_kernel_made_is_told(srx, tmp_path, astronaut):
    """Every other pixel, as some resizers take it, is another task than MATLAB's bicubic."""
    picture = astronaut[:96, :120]
    by_kernel = downscale(picture, 2)
    made = {"ours": by_kernel, "thinned": picture[::2, ::2]}
    for name, lr in made.items():
        for folder, pixels in (("HR", picture), ("LR", lr)):
            (tmp_path / name / folder).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / name / folder / "a.png")
    told = {}
    for name in made:
        folder = tmp_path / name
        words = ["--data", folder / "HR", "--lr", folder / "LR"]
        result = srx("eval -m bicubic -s 2 --no-cost --metrics psnr", *words, code=0)
        told[name] = result.err
    assert "LR of 1 of 1 pictures was not made by" in told["thinned"]
    assert "levels of 255 on average" in told["thinned"]
    assert "was not made by" not in told["ours"]


@pytest.mark.parametrize(
    ("models", "labels"),
    [
        (["g-idrn", "runs/a/best.safetensors"], ["g-idrn", "a"]),
        (["runs/a/best.safetensors", "runs/b/last.safetensors"], ["a", "b"]),
        (["a/best.safetensors", "a/last.safetensors"], ["a/best", "a/last"]),
        (["c.py:N@a/best.pth", "c.py:N(w=3)@b/best.pth"], ["a", "b"]),
        (["c.py:N@a/best.pth", "c.py:N@c.pth"], ["a", "c.py:N@c"]),
        (["x/a/best.safetensors", "y/a/best.pth"], ["x/a", "y/a"]),
        (["ddsr", "ddsr.safetensors"], ["ddsr", "ddsr.safetensors"]),
    ],
)
def test_labels_are_short_and_stay_different(models, labels):
    assert label_models(models) == dict(zip(models, labels, strict=True))


def test_labels_that_are_given_stand_in_every_table(srx, folder, tmp_path):
    shutil.copy(weights_path("quick", 2), tmp_path / "best.safetensors")
    file = tmp_path / "best.safetensors"
    command = ["eval -s 2 --metrics psnr", "--data", folder, "-m", "bicubic"]
    command += ["-m", f"ours & theirs={file}", "-m", "q_2=quick"]
    plain = srx(*command, "--json -", code=0).out
    models = [mean["model"] for mean in json.loads(plain)["means"]]
    assert models == ["bicubic", "ours & theirs", "q_2"]
    table = srx(*command, "--latex -", code=0).out
    for words in (
        r"ours \& theirs & 78.35 K & 5.135 G & \textbf{",
        r"q\_2 & 78.35 K & 5.135 G & \textbf{",
        r"bicubic & -- & 0 & \underline{",
        r"\toprule",
    ):
        assert words in table, table
    command[-1] = "ours & theirs=quick"
    assert "ours & theirs=...: two models" in srx(*command, code=2).err


def test_a_file_by_two_spellings_is_one_model(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"")
    (tmp_path / "ddsr").mkdir()
    monkeypatch.chdir(tmp_path)
    models = [
        "ddsr",
        "a.pth",
        "./a.pth",
        str(tmp_path / "a.pth"),
        "ddsr",
        "missing.pth",
    ]
    assert list(label_models(models)) == ["ddsr", "a.pth", "missing.pth"]


def test_what_makes_no_sense_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="nothing to measure"):
        evaluate([], [str(folder)])
    options = EvalOptions(lr_folder=tmp_path)
    with pytest.raises(UsageError, match="one set at one scale"):
        evaluate(["bicubic"], [str(folder)], scales=[2, 4], options=options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        evaluate(["bicubic"], [str(tmp_path / "empty")])


def test_a_metric_is_one_entry_of_the_table(folder, monkeypatch):
    """As CONTRIBUTING says; mean absolute error of Y, against numpy's own."""
    mae = Metric(
        heading="MAE",
        digits=3,
        meaning="mean absolute error, in levels of 255",
        measure=lambda sr, hr: float(np.abs(sr - hr).mean()),
        lower_is_better=True,
    )
    monkeypatch.setitem(METRICS, "mae", mae)
    options = EvalOptions(metrics=("mae", "psnr"), costs=False, protocol="rgb", shave=0)
    result = evaluate(["bicubic"], [str(folder)], scales=[2], options=options)
    hr = np.asarray(Image.open(folder / "a.png")).astype(float)
    small = downscale(hr.astype(np.uint8), 2)
    sr = srcli.upscale(small, model="bicubic", scale=2).astype(float)
    expected = np.abs(sr - hr).mean()
    assert result.scores[0].values["mae"] == pytest.approx(expected, abs=1e-6)


def test_bicubic_is_enlarged_once_for_all_models_of_a_picture(folder, monkeypatch):
    resized = []

    def count(picture, scale):
        resized.append(scale)
        return resize(picture, scale)

    monkeypatch.setattr("srcli.pipelines.evaluate.scoring.resize", count)
    result = evaluate(["rrlfn", "bicubic"], [str(folder)], scales=[2], options=QUICK)
    pictures = {score.picture for score in result.scores}
    assert len(resized) == len(pictures)
    by_bicubic = {
        score.picture: score.values["psnr"]
        for score in result.scores
        if score.model == "bicubic"
    }
    for score in result.scores:
        assert score.bicubic == pytest.approx(by_bicubic[score.picture])
