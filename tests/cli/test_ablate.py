"""`srx ablate`: list, show and run, by the command line."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from operator import itemgetter
from pathlib import Path

import pytest
from PIL import Image

from srcli.pipelines.ablate import run as runs
from srcli.recipes.ablations import ABLATIONS

MINE = """
[[ablation]]
name = "mine"
question = "Is less enough?"
recipe = "nested-attn-short"
scale = 4
base = "two"
memory_sizes = [[16, 24]]

[ablation.changes]
"network.channels" = 16
"network.levels" = 2
"stages.0.batch" = 1
"stages.0.patch" = 8

[[ablation.variants]]
name = "one"
changes = { "network.branches" = 1 }
sentence = "one branch"
published = { "small.psnr" = 20.0 }

[[ablation.variants]]
name = "two"
changes = { "network.branches" = 2 }
sentence = "two branches"
published = { "small.psnr" = 20.5 }
"""


@pytest.fixture
def mine(tmp_path):
    """A file with an ablation of two tiny networks."""
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    return file


@pytest.fixture
def pictures(tmp_path, astronaut):
    """Folders of small photographs: to train on, and to measure on (``small``)."""
    for folder, crops in (("photos", 3), ("small", 2)):
        (tmp_path / folder).mkdir()
        for i in range(crops):
            crop = astronaut[16 * i : 64 + 16 * i, 8 * i : 72 + 8 * i]
            Image.fromarray(crop).save(tmp_path / folder / f"{folder}{i}.png")
    return tmp_path


def text_of(result):
    """What was printed, without its line breaks."""
    return " ".join(result.out.split())


def test_the_list_has_a_line_for_every_ablation(srx, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = srx("ablate list", code=0).out.splitlines()
    assert max(map(len, lines)) <= 80
    starts = {line.split()[0]: line for line in lines if line.split()}
    for name, entry in ABLATIONS.items():
        assert starts[name].split()[-2:] == [
            f"x{entry.scale}",
            str(len(entry.variants)),
        ]
    assert starts["g-idrn/hp-sigma"].split()[-4:-2] == ["our", "own"]
    plain = json.loads(srx("ablate list --json -").out)
    assert list(map(itemgetter("name"), plain)) == list(ABLATIONS)
    assert plain[0]["variants"][0]["published"] == {
        "parameters": 534.0,
        "Set5.psnr": 37.893,
    }


def test_an_ablation_shows_changes_and_printed_figures(srx):
    text = text_of(srx("ablate show g-idrn/blocks", code=0))
    for words in (
        "Source: g-idrn paper, Table 1",
        "Recipe: g-idrn-short, x2",
        "All variants change: start_from_bicubic=false, network.num_blocks=6",
        "RFDB (base)",
        "RFDB+dual+DS+ANRB 500.5 37.940",  # with the zero that is printed
        "G-IDB+dual+DS+ANRB: the printed count holds only with",
        "Not run yet: srx ablate run g-idrn/blocks",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("g-idrn/anrb-pooling", "no pooling 37.883 – 2266 8431"),
        (
            "g-idrn/anrb-pooling",
            "of LR inputs of 128x128, 180x180, with gradients recorded",
        ),
        ("ddsr/depth", "printed DDSR-6 DDSR-12 DDSR-18"),
        ("ddsr/depth", "Set5.ssim 0.9149 0.9163 0.9174"),
        ("ddsr/optimizer", "SGD, residual -0.63"),
        ("g-idrn/groups", "training.seconds – 12.7 – – 8.5"),
        ("g-idrn/groups", "72: 2047 K is the count of the x2 network"),
        ("nested-attn", "nested-attn/pooling: Which global pooling"),
    ],
)
def test_printed_figures_are_shown_as_printed(srx, monkeypatch, name, words):
    monkeypatch.setenv("COLUMNS", "120")
    assert words in text_of(srx("ablate show", name, code=0))


def test_costs_alone_need_no_pictures(srx, mine, tmp_path):
    files = [tmp_path / "a.md", tmp_path / "a.json"]
    targets = ["--markdown", files[0], "--json", files[1]]
    other_file = mine.with_name("other.toml")
    other_file.write_text(MINE.replace('"mine"', '"yours/own"'))
    result = srx(
        "ablate run", mine, other_file, "--no-train --out", tmp_path / "out", *targets
    )
    assert result.code == 0, result.err
    assert "yours/own: cost" in result.out
    assert (tmp_path / "out/yours/own/ablation.json").is_file()
    # head, 1 or 2 blocks, the loop's two convolutions, two steps up, the last: by hand,
    # 16 channels
    block = 2 * (16 * 16 * 9 + 16) + (2 * 3 + 1) + (16 + 1) + (16 + 16)
    fixed_bytes = (
        (3 * 16 * 9 + 16)
        + 2 * (16 * 64 * 9 + 64)
        + (16 * 3 * 9 + 3)
        + (16 * 16 * 9 + 16)
    )
    counts = [n * block + 16 * 16 * (n + 1) + 16 + fixed_bytes for n in (1, 2)]
    plain, _ = json.loads(files[1].read_text())
    for entry, count in zip(plain["variants"], counts, strict=True):
        assert entry["cost"]["parameters"] == count
        assert "16x24" in entry["cost"]["memory"]
    for count in counts:
        assert f"{count:,}" in result.out
        assert f"{count:,}" in files[0].read_text(encoding="utf-8")


def test_a_run_trains_measures_and_is_reported_later(srx, mine, pictures):
    run = [*command_of(mine, pictures), "--set", "ema_decay=0.5"]
    first_run = srx(*run, "--json -", code=0)
    (plain,) = json.loads(first_run.out)
    base, variant = plain["variants"]
    base_scores = base["seeds"][0]["scores"]["small"]["pictures"]
    variant_scores = variant["seeds"][0]["scores"]["small"]["pictures"]
    assert set(base_scores) == set(variant_scores)
    assert len(base_scores) == 2
    difference = (
        sum(
            base_scores[name]["psnr"] - variant_scores[name]["psnr"]
            for name in base_scores
        )
        / 2
    )
    compared = {entry["variant"]: entry for entry in plain["comparisons"]}
    assert compared["one"]["found"]["mean"] == pytest.approx(difference)
    assert compared["one"]["printed"] == -0.5
    assert compared["two"]["verdict"] == "base"
    assert compared["one"]["verdict"] == "none: one seed"
    assert compared["one"]["found"]["seeds"] == 1
    assert "mine: difference to two" in first_run.err

    assert plain["conditions"]["overrides"] == ["ema_decay=0.5"]

    out = ["--out", pictures / "out"]
    file = pictures / "a.md"
    for name in ([], ["mine"], [mine]):  # all there are, by name, by file
        again = srx("ablate show", *name, *out, "--json -")
        assert json.loads(again.out) == [plain]
    shown = srx("ablate show", mine, *out, "--markdown", file)
    assert "mine: quality" in shown.out
    assert "Not run yet" not in shown.out
    assert f"{difference:+.3f} [" in text_of(shown)
    assert f"{difference:+.3f}" in file.read_text(encoding="utf-8")
    srx("train --resume", pictures / "out/mine/one/seed-0", "--budget 4", code=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run ddsr/dept --no-train", "did you mean 'ddsr/depth'"),
        ("show none.toml", "none.toml: cannot be read"),
        ("run ddsr/depth --no-train --set network.depth=9", "changes network.depth"),
        ("run ddsr/depth", "--data: give pictures to train on, or --no-train"),
        ("run ddsr/depth --data nowhere", "nowhere"),
        ("run ddsr/depth --no-train --json no/a", "--json no/a: cannot"),
        ("run ddsr/depth --no-train --budget '5 miles'", "5 miles"),
        ("run ddsr/depth --no-train --set stages.0.bach=4", "did you mean 'batch'"),
        ("run ddsr/depth --data .. --device abacus", "--device abacus"),
        ("run ddsr/depth --data .. --precision fp16", "--precision fp16"),
        ("show", "no results in ablations; 'srx ablate run' makes them"),
    ],
)
def test_mistakes_are_told_in_a_line(srx, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = srx("ablate", *shlex.split(arguments), code=2)
    assert message in result.err
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def command_of(file, pictures):
    """The command that runs the ablation of a file with a tiny budget."""
    data = ["--data", pictures / "photos", "--sets", pictures / "small"]
    options = ["--hold-out none --budget 2 --out", pictures / "out"]
    return ["ablate run", file, *data, *options]


def test_a_damaged_result_is_told_once_and_left_out(srx, mine, pictures):
    srx(*command_of(mine, pictures), code=0)
    out = ["--out", pictures / "out"]
    (pictures / "out/other").mkdir()
    (pictures / "out/other/ablation.json").write_text("xx\n")
    shown = srx("ablate show", *out, code=0)
    assert "mine: quality" in shown.out
    (line,) = shown.err.splitlines()
    assert "warning: left out: " in line
    assert "remove it: what is trained stays" in line
    result = pictures / "out/mine/ablation.json"
    weights = pictures / "out/mine/one/seed-0/last.safetensors"
    before = result.read_bytes()
    trained = weights.stat().st_mtime_ns
    plain = json.loads(before)
    no_scores = json.loads(before)
    no_scores["variants"][0]["seeds"][0]["scores"]["small"]["pictures"] = {"a": {}}
    damages = [
        {"x": 1},
        plain | {"conditions": {}},
        plain | {"variants": []},
        no_scores,
    ]
    for damaged in map(json.dumps, damages):
        result.write_text(damaged)
        refused = srx(*command_of(mine, pictures), code=2)
        assert f"{result}: not a result of this version" in refused.err
    result.unlink()
    srx(*command_of(mine, pictures), code=0)
    assert (result.read_bytes(), weights.stat().st_mtime_ns) == (before, trained)


@pytest.mark.slow
def test_two_processes_come_to_the_same(srx, mine, pictures):
    run = [*command_of(mine, pictures), "--threads", 1]
    trained = pictures / "out/mine/two/seed-0"
    srx(*run, code=0)
    alone = (trained / "last.safetensors").read_bytes()
    shutil.rmtree(trained)
    told = srx(*run, "--processes 2", code=0).err
    assert "1 of 2 trainings are there already" in told
    assert (trained / "last.safetensors").read_bytes() == alone


def test_a_picture_that_cannot_be_read_fails_its_set_and_no_training(
    srx, mine, pictures
):
    (pictures / "small" / "bad.png").write_bytes(b"nothing")
    result = srx(*command_of(mine, pictures), code=1)
    assert "one, seed 0: small: every picture must be measured" in result.err
    assert f"{pictures / 'small/bad.png'}" in result.err
    (pictures / "small" / "bad.png").unlink()
    assert (
        "2 of 2 trainings are there already"
        not in srx(*command_of(mine, pictures), code=0).err
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            '"network.branches" = 2',
            '"stages.0.losses.0.name" = "l9"',
            "'two': no loss 'l9'",
        ),
        ("network.branches", "network.branchs", "'one': no option 'branchs'"),
    ],
)
def test_a_variant_that_cannot_be_trained_is_named_at_once(
    srx, mine, pictures, old, new, words
):
    mine.write_text(MINE.replace(old, new))
    result = srx(*command_of(mine, pictures), code=2)
    assert f"mine, variant {words}" in result.err
    assert result.err.count("\n") == 1
    assert not (pictures / "out").exists()


OWN = """
[[ablation]]
name = "blocks"
question = "Is my block better?"
recipe = "g-idrn-muon"
scale = 2
base = "g-idb"
changes = { "network.channels" = 16, "network.num_blocks" = 2, "network.num_groups" = 1 }
[[ablation.variants]]
name = "g-idb"
sentence = "as published"
[[ablation.variants]]
name = "mine"
sentence = "my block"
changes = { "network.block" = "mine.py:Block" }
[[ablation.variants]]
name = "net"
sentence = "my network"
changes = { model = "mine.py:Net", "network" = {} }
[[ablation.variants]]
name = "broken"
sentence = "a group too many"
changes = { "network.num_groups" = 3 }
"""
CODE = """
from torch import nn
import torch.nn.functional as F

class Block(nn.Conv2d):
    def __init__(self, channels):
        super().__init__(channels, channels, 1)

class Net(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        self.body = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        return F.interpolate(self.body(x), scale_factor=self.scale)
"""


def test_own_blocks_and_networks_stand_beside_ours_and_a_broken_one_stops_none(
    srx, pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(OWN)
    Path("mine.py").write_text(CODE)
    command = command_of(Path("own.toml"), pictures)
    small = "--set stages.0.batch=1 --set stages.0.patch=8"
    unnamed = srx(*command, small, "--json unnamed.json", code=1)
    words = "mine.py:Block is code that only a file names.*--set model=mine.py:Block"
    assert re.search(f"blocks: mine, costs, seed 0: {words}", unnamed.err)
    named = "--set network.block=mine.py:Block --set model=mine.py:Net"
    targets = "--json named.json --latex paper.tex --seeds 2"
    result = srx(*command, small, named, targets, code=1)
    assert (
        "blocks: broken, costs, seed 0, seed 1: model g-idrn: num_blocks=2"
        in result.err
    )
    for file, trained in (
        ("unnamed.json", {"g-idb"}),
        ("named.json", {"g-idb", "mine", "net"}),
    ):
        (ablation,) = json.loads(Path(file).read_text())
        with_scores = set()
        for variant in ablation["variants"]:
            if variant["seeds"][0]["scores"]:
                with_scores.add(variant["variant"]["name"])
        assert with_scores == trained
        assert "model=mine.py:Net" not in ablation["conditions"]["overrides"]
    table = Path("paper.tex").read_text()
    assert table.count(r"$\pm$") == 6  # PSNR and SSIM of three variants, two seeds
    assert r"broken & -- & -- & -- & -- \\" in table
    assert r"\underline{" in table
    assert r"\usepackage" not in table
    assert "Is my block better?" in table
    assert "1 of 6 trainings are there already" in result.err


def test_the_command_below_an_ablation_runs_that_one(srx, tmp_path, mine):
    text = text_of(srx("ablate show ddsr --out", tmp_path / "out"))
    names = [name for name in ABLATIONS if name.startswith("ddsr/")]
    assert len(names) > 1
    for name in names:
        assert f"Not run yet: srx ablate run {name} --data" in text
    text = text_of(srx("ablate show", mine, "--out", tmp_path / "out"))
    for words in ("Source: our own", "two (base) two branches network.branches=2"):
        assert words in text
    assert "Not run yet: srx ablate run FILE --data" in text


@pytest.mark.posix
def test_a_signal_keeps_what_is_done_and_says_so(srx, mine, tmp_path, monkeypatch):
    true = runs.run_ablations

    def interrupted(ablations, options, *, progress, stop, executor):
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        return true(ablations, options, progress=progress, stop=stop)

    monkeypatch.setattr(runs, "run_ablations", interrupted)
    result = srx("ablate run", mine, "--no-train --out", tmp_path / "out", code=130)
    assert "the same command does what is missing" in result.err
    assert "mine: cost" in result.out
