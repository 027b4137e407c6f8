"""`srx eval`: published rows, several models and scales, outputs, bad input, former results."""

from __future__ import annotations

import json
import re
import shutil
from operator import itemgetter

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.pixels.resize import downscale
from srcli.metrics.registry import DEFAULT_METRICS, METRICS

RGB8 = {  # data sheet of the benchmark pictures: uint8 RGB chain, Y not rounded, gray as R=G=B
    ("Set5", 4): (28.429, 0.8111),
    ("Set14", 4): (26.088, 0.7048),
}
CLASSIC = {  # uint8 RGB chain, Y rounded, gray taken as luma
    ("Set5", 4): (28.416, 0.8101),
    ("Set14", 4): (25.990, 0.7023),
}
LUMA = {  # the chain of published rows
    ("Set5", 2): (33.661, 0.9299),
    ("Set5", 3): (30.392, 0.8682),
    ("Set5", 4): (28.421, 0.8104),
    ("Set14", 2): (30.237, 0.8688),
    ("Set14", 3): (27.546, 0.7742),
    ("Set14", 4): (26.004, 0.7027),
}
QUICK = "--metrics psnr,ssim --no-cost"
BOTH = "--data Set5 --data Set14"
ALL = "-s 2 -s 3 -s 4"


def read(result):
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ("-s 4", RGB8),
        ("--protocol y-classic", CLASSIC),
        pytest.param(f"--chain luma-float {ALL}", LUMA, marks=pytest.mark.slow),
    ],
    ids=["y", "y-classic", "luma-float"],
)
def test_bicubic_rows_come_out_as_published(srx, srx_data, options, rows):
    result = srx("eval -m bicubic", BOTH, options, QUICK, "--json -")
    means = {(mean["dataset"], mean["scale"]): mean for mean in read(result)["means"]}
    assert means.keys() == rows.keys()
    for dataset, (psnr, ssim) in rows.items():
        assert means[dataset]["psnr"] == pytest.approx(psnr, abs=0.002)
        # four printed digits, and a tenth of the last for what they hide
        assert means[dataset]["ssim"] == pytest.approx(ssim, abs=0.00011)
        size = {"Set5": 5, "Set14": 14}[dataset[0]]
        assert (means[dataset]["pictures"], means[dataset]["of"]) == (size, size)


def test_ifc_of_bicubic_comes_out_as_published(srx, srx_data):
    options = "--data Set5 --chain luma-float --metrics ifc --no-cost"
    means = read(srx("eval -m bicubic", ALL, options, "--json -"))["means"]
    ifc = list(map(itemgetter("ifc"), means))
    assert ifc == pytest.approx([6.083, 3.580, 2.329], abs=0.002)


def test_the_shipped_flagship_is_what_its_card_says(srx, srx_data):
    from srcli.pipelines.models import list_models

    (model,) = list_models("g-idrn")
    (card,) = [entry for entry in model["cards"] if entry["scale"] == 4]
    (mean,) = read(srx("eval --data Set5", QUICK, "--json -"))["means"]
    written = card["measured"]["sets"]["Set5"]
    assert mean["psnr"] == pytest.approx(written["psnr"], abs=0.003)
    assert mean["ssim"] == pytest.approx(written["ssim"], abs=0.0003)
    assert mean["psnr"] > RGB8["Set5", 4][0] + 2


@pytest.fixture
def pictures(tmp_path, astronaut):
    """A set of two small photographs."""
    folder = tmp_path / "mine"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "a.png")
    Image.fromarray(astronaut[::-1, :120]).save(folder / "b.png")
    return folder


def test_json_and_the_table_name_protocol_models_and_differences(srx, pictures):
    models = ("-m", "bicubic", "-m", "rrlfn", "--shave", "16", "--kernel", "box")
    result = srx("eval", *models, "-s 2 --data", pictures, "-v --json -")
    content = read(result)
    for text in (
        "protocol y", "mean of scale x scale", "rgb8", "border of 16", "bicubic", "2 of 2", "*",
        "difference to bicubic", "mine/a", "mine, median", "parameters",
    ):  # fmt: skip
        assert text in result.err
    assert content["scales"] == [2]
    assert content["costs"][0]["parameters"] == 0
    by_metric = {entry["metric"]: entry for entry in content["differences"]}
    assert set(by_metric) == {"psnr", "ssim", "ifc", "consistency"}
    difference = by_metric["psnr"]
    assert (difference["model"], difference["against"]) == ("rrlfn", "bicubic")
    assert difference["low"] < difference["mean"] < difference["high"]
    means = dict(map(itemgetter("model", "psnr"), content["means"]))
    assert difference["mean"] == pytest.approx(means["rrlfn"] - means["bicubic"])


def test_every_written_form_tells_the_same(srx, pictures, tmp_path):
    json_file = tmp_path / "out.json"
    markdown = tmp_path / "out.md"
    page = tmp_path / "out.html"
    outputs = ("--json", json_file, "--markdown", markdown, "--html", page)
    models = ("-m", "bicubic", "-m", "rrlfn")
    result = srx("eval", *models, "-s 4 --data", pictures, *outputs, "-q")
    assert (result.code, result.out, result.err) == (0, "", "")
    content = json.loads(json_file.read_text())
    assert len(content["pictures"]) == 4
    for mean in content["means"]:
        for file in (markdown, page):
            assert f"{mean['psnr']:.3f}" in file.read_text(encoding="utf-8")
    assert "<script src" not in page.read_text(encoding="utf-8")


def test_pictures_can_be_kept_and_measured_again_as_another_programs(
    srx, pictures, tmp_path
):
    before = srx(
        "eval -m rrlfn -s 2 --data", pictures, QUICK, "--json - --save-images", tmp_path / "sr",
    )  # fmt: skip
    folder = tmp_path / "sr" / "x2" / "mine" / "rrlfn"
    with Image.open(folder / "a.png") as saved:
        assert saved.size == (160, 128)
    again = srx(
        "eval --sr", folder, "--hr", pictures, "-s 2", QUICK, "--json -"
    )  # fmt: skip
    mean = read(before)["means"][0]
    mean_again = read(again)["means"][0]
    assert mean_again["psnr"] == mean["psnr"]
    assert mean_again["ssim"] == mean["ssim"]
    assert mean_again["seconds"] is None


def test_luma_of_other_programs_pictures_is_compared_by_the_chain_on_luma(
    srx, pictures, tmp_path, astronaut
):
    folder = tmp_path / "theirs"
    folder.mkdir()
    sets = Image.fromarray(astronaut).resize((80, 64)).resize((160, 128))
    sets.save(folder / "a.png")
    sets.resize((120, 128)).save(folder / "b.png")
    options = ("--sr", folder, "--hr", pictures, "-s 2 --metrics psnr --no-cost")
    plain = read(srx("eval", *options, "--json -"))
    luma = read(srx("eval", *options, "--chain luma-float --json -"))
    psnr = plain["pictures"][0]["psnr"]
    # Y is rounded there, and not here
    assert luma["pictures"][0]["psnr"] == pytest.approx(psnr, abs=0.05)


def test_a_folder_called_as_a_model_is_a_folder(srx, pictures, tmp_path, monkeypatch):
    shutil.copytree(pictures, tmp_path / "bicubic")
    monkeypatch.chdir(tmp_path)
    options = ("--sr bicubic --hr", pictures, "-s 2", QUICK, "--json -")
    (mean,) = read(srx("eval", *options))["means"]
    assert (mean["model"], mean["ssim"]) == ("bicubic", 1)
    together = read(srx("eval -m bicubic", *options))["means"]
    assert list(map(itemgetter("model"), together)) == [
        "bicubic",
        f"{tmp_path.name}/bicubic",
    ]
    assert together[0]["ssim"] < 1 == together[1]["ssim"]


def test_a_set_by_two_names_is_one_set(srx, pictures, monkeypatch):
    monkeypatch.chdir(pictures.parent)
    sets = ("--data", pictures, "--data", f"./{pictures.name}")
    content = read(srx("eval -m bicubic -s 2", *sets, QUICK, "--json -"))
    assert list(map(itemgetter("of"), content["means"])) == [2]


def test_other_programs_pictures_stand_beside_models(
    srx, pictures, tmp_path, astronaut
):
    folder = tmp_path / "theirs"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "a_x2_SR.png")  # perfect
    Image.fromarray(astronaut[:100]).save(folder / "b.png")
    options = ("-m bicubic --sr", folder, "--hr", pictures, "-s 2", QUICK)
    result = srx("eval", *options, "--json -", code=1)
    content = json.loads(result.out)
    counts = set(map(itemgetter("model", "pictures", "of"), content["means"]))
    assert counts == {("bicubic", 2, 2), ("theirs", 1, 2)}
    assert "160x100 does not fit its HR picture b, 120x128" in result.err
    (folder / "b.png").unlink()
    assert "b: no SR picture in" in srx("eval", *options).err
    (score,) = [s for s in content["pictures"] if s["model"] == "theirs"]
    assert score["psnr"] is None  # infinite, which JSON has no word for
    assert score["ssim"] == 1


def test_lr_files_are_used_as_they_are(srx, pictures, tmp_path, astronaut):
    folder = tmp_path / "pairs"
    (folder / "LR_bicubic/X2").mkdir(parents=True)
    shutil.copytree(pictures, folder / "HR")
    Image.fromarray(downscale(astronaut, 2)).save(folder / "LR_bicubic/X2/ax2.png")
    dark = downscale(astronaut[::-1, :120], 2) // 2
    Image.fromarray(dark).save(folder / "LR_bicubic/X2/bx2.png")
    options = ("-m bicubic -s 2", QUICK, "--json -")
    sets = read(srx("eval", *options, "--data", pictures))
    folders = read(srx("eval", *options, "--data", folder))
    assert "LR: read from files; chain" in folders["chain"]
    together = read(srx("eval", *options, "--data", folder, "--data", pictures))
    assert "HR, but read from files for pairs x2" in together["chain"]
    only = ("--metrics", "psnr", "--kernel", "box")
    refused = srx("eval", *options, *only, "--data", folder, code=2)
    assert "--kernel box: all LR is read from files" in refused.err
    assert folders["pictures"][0]["psnr"] == sets["pictures"][0]["psnr"]
    assert folders["pictures"][1]["psnr"] < sets["pictures"][1]["psnr"] - 5


def test_published_rows_stand_beside_ours_with_their_source(srx, pictures):
    folder = pictures.rename(pictures.with_name("Set5"))
    options = ("-m bicubic -s 4 --data", folder, QUICK)
    result = srx("eval", *options, "--published --json -")
    rows = read(result)["published"]
    assert [(row["method"].lower(), row["values"]["psnr"]) for row in rows] == [
        ("bicubic", 28.42)
    ]
    assert "28.42" in result.err
    every = read(srx("eval", *options, "--published all --json -"))["published"]
    assert len(every) > 20
    assert all(map(itemgetter("source"), every))


BAD: dict[str, tuple[np.ndarray | None, str]] = {
    "small.png": (np.zeros((40, 40, 3), np.uint8), "too small"),
    "floats.tif": (np.full((200, 200), 0.5, np.float32), "its values are float32"),
    "clear.png": (np.full((200, 200, 4), 90, np.uint8), "transparent"),
    "broken.png": (None, "broken.png"),
}


def test_bad_pictures_are_named_and_the_others_go_on(srx, pictures):
    for name, (pixels, _) in BAD.items():
        if pixels is None:
            (pictures / name).write_bytes((pictures / "a.png").read_bytes()[:2000])
        else:
            Image.fromarray(pixels).save(pictures / name)
    result = srx("eval -m bicubic -s 2 --data", pictures, "--no-cost", code=1)
    lines = "\n".join(re.findall(".*error.*", result.err))
    for name, (_, message) in BAD.items():
        (line,) = re.findall(f".*{re.escape(name)}.*", lines)
        assert message in line
    assert f"2 of {2 + len(BAD)}" in result.out


def test_nothing_measured_at_all_is_another_exit_code(srx, tmp_path):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "tiny.png")
    assert "tiny.png" in srx("eval -m bicubic --data", tmp_path, code=2).err


def test_a_model_without_a_scale_leaves_the_other_scales(srx, pictures, tmp_path):
    from srcli.models.weights import weights_path

    mine = tmp_path / "mine-x2.safetensors"
    shutil.copy(weights_path("g-idrn", 2), mine)
    options = ("-m bicubic -m", mine, "-s 2 -s 4 --data", pictures, QUICK)
    result = srx("eval", *options, "--json -", code=1)
    assert "mine-x2.safetensors: is for scale 2, not 4" in result.err
    content = json.loads(result.out)
    assert list(map(itemgetter("scale", "model"), content["means"])) == [
        (2, "bicubic"), (2, "mine-x2"), (4, "bicubic")
    ]  # fmt: skip


def test_a_network_is_trained_and_measured_for_8_times(srx, pictures, tmp_path):
    small = "--set network.channels=4 --set stages.0.patch=8 --device cpu --budget 1"
    srx("train srcnn-915 -s 8 --data", pictures, "--out", tmp_path, small)
    weights = tmp_path / "last.safetensors"
    options = ("-m", weights, "-s 8 --data", pictures, QUICK)
    (mean,) = read(srx("eval", *options, "--json -"))["means"]
    assert (mean["scale"], mean["pictures"]) == (8, 2)
    result = srx("eval -s 8 --data", pictures, code=2)
    assert (
        "model g-idrn has no weights for scale 8; it has: 2, 3, 4; give a file"
        in result.err
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--protocol z", "there are y"),
        ("--protocol y-clasic", "(did you mean y-classic?)"),
        ("--data Bilt-in", "(did you mean built-in?)"),
        ("-m nothing", "no model 'nothing'"),
        ("--chain luma-float", "g-idrn takes RGB"),
        ("--chain luma-float --jpeg 75", "drop --jpeg"),
        ("--json - --markdown -", "are both -"),
        ("--sr missing", "missing: no such folder"),
        ("--device cuda:77", "77"),
        ("--tile 96", "then srx eval --sr FOLDER"),
        ("--back-project -m bicubic", "then srx eval --sr FOLDER"),
    ],
)
def test_wrong_options_are_told_in_one_line(srx, pictures, options, message):
    result = srx("eval --data", pictures, "-s 2", *options.split(), code=2)
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_missing_set_says_where_it_was_looked_for(srx, monkeypatch):
    monkeypatch.delenv("SRX_DATA", raising=False)
    assert "SRX_DATA" in srx("eval -m bicubic --data Set5", code=2).err


def test_the_help_names_every_metric_of_the_table(srx):
    shown = " ".join(srx("eval", "--help").out.split())
    described = shown.partition("--metrics")[2].partition("--protocol")[0]
    missing = METRICS.keys() - {*re.findall(r"[a-z]+", described)}
    assert not missing
    assert f"default: {','.join(DEFAULT_METRICS)}]" in described
