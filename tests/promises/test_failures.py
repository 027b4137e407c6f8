"""Whatever a library raises on one file, that file fails with a line, and all others are made."""

from __future__ import annotations

import json
import pkgutil
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.data.training_set import DataSelection
from srcli.inference.engine import TorchEngine
from srcli.inference.raster_engine import RasterEngine
from srcli.pipelines.ablate import run as ablate_run
from srcli.pipelines.train.data import load_data
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.run import upscale_files
from srcli.recipes.degradation import BICUBIC
from tests.fixtures.ablations import ABLATION_FILE
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.workers import SimulatedExecutor


class OddError(Exception):
    """What some library makes for itself."""


ERRORS = [
    IndexError("list index out of range"),
    struct.error("unpack requires a buffer of 4 bytes"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RecursionError("maximum recursion depth exceeded"),
    KeyError("a"),
    MemoryError(),
    Image.DecompressionBombError("a bomb"),
    OddError("two\nlines"),
]
BAD, GOOD = [f"bad{i}" for i in range(len(ERRORS))], ["good8", "good9"]
LEVELS = {name: 60 + 20 * i for i, name in enumerate([*BAD, *GOOD])}
"""The colour of each picture, which is all that an engine sees of it."""
DEFECT = "this is a defect of srx: please report it"
UPSCALE = "srcli.pipelines.upscale."


def write_picture(path, level):
    Image.new("RGB", (9, 8), (level, 30, 30)).save(path)


def write_animation(path, level):
    frames = [
        Image.new("RGB", (9, 8), colour)
        for colour in [(level, 30, 30), (level, 40, 30)]
    ]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


def write_raster(path, level):
    write_by_gdal(path, np.full((16, 18, 3), (level, 30, 30), np.uint8), **PLACE)


KINDS = {
    "photograph": (".png", write_picture),
    "animation": (".gif", write_animation),
    "raster": (".tif", write_raster),
}
OPENING = UPSCALE + "photographs.open_picture"
PHOTOGRAPHS, RASTERS = UPSCALE + "photographs.", UPSCALE + "rasters."
PHOTOGRAPH = {
    "open": OPENING,
    "plan": PHOTOGRAPHS + "check_output",
    "read": PHOTOGRAPHS + "read_photograph",
    "write": PHOTOGRAPHS + "write_photograph",
}
ANIMATION = {
    "read": PHOTOGRAPHS + "read_frames",
    "write": PHOTOGRAPHS + "write_animation",
}
SEAMS = {
    "photograph": PHOTOGRAPH,
    "animation": PHOTOGRAPH | ANIMATION,
    "raster": {
        "open": OPENING,
        "plan": RASTERS + "plan_raster",
        "read": "srcli.imaging.rasters.reading.RasterSource.read",
        "write": "srcli.imaging.rasters.writing.PartWriter.write",
        "merge": RASTERS + "merge_parts",
    },
}


@pytest.fixture
def break_at(monkeypatch):
    """Let a function raise, for each of the bad files, another error."""

    def patch(name):
        place, _, attribute = name.rpartition(".")
        owner = pkgutil.resolve_name(place)
        real = getattr(owner, attribute)

        def breaking(*values, **keywords):
            seen = repr([getattr(value, "__dict__", value) for value in values])
            if found := re.search(r"bad(\d)", seen):
                raise ERRORS[int(found[1])]
            return real(*values, **keywords)

        monkeypatch.setattr(owner, attribute, breaking)

    return patch


@pytest.fixture
def broken_engine(monkeypatch):
    """Let engines fail on a batch in which there is one of the bad pictures."""
    for kind in (TorchEngine, RasterEngine):
        real = kind.start

        def start(self, tiles, *more, real=real):
            for name, error in zip(BAD, ERRORS, strict=True):
                if any((tile[..., 0] == LEVELS[name]).any() for tile in tiles):
                    raise error
            return real(self, tiles, *more)

        monkeypatch.setattr(kind, "start", start)


def make_files(folder, kind):
    suffix, write = KINDS[kind]
    folder.mkdir(exist_ok=True)
    for name, level in LEVELS.items():
        write(folder / f"{name}{suffix}", level)


def check_errors(errors):
    """Check one line for each bad file, by its name."""
    assert sorted(errors) == BAD
    for name, error in zip(BAD, ERRORS, strict=True):
        line, kind = errors[name], type(error).__name__
        assert name in line
        assert "\n" not in line
        if isinstance(error, MemoryError):
            assert "memory" in line.lower()  # known in most places, and no defect there
        else:
            assert f"{kind}: " in line
            assert line.endswith(f"; {DEFECT}")


@pytest.mark.parametrize(
    ("kind", "seam"),
    [(kind, seam) for kind in KINDS for seam in [*SEAMS[kind], "infer"]],
)
def test_upscaling_makes_all_others(srx, tmp_path, break_at, request, kind, seam):
    make_files(tmp_path / "in", kind)
    if seam == "infer":
        request.getfixturevalue("broken_engine")
    else:
        break_at(SEAMS[kind][seam])
    report = tmp_path / "report.jsonl"
    out = tmp_path / "out"
    words = [
        "upscale",
        tmp_path / "in",
        out,
        "-m",
        "bicubic",
        "-s",
        2,
        "--report",
        report,
    ]
    done = srx(*words, code=1)
    assert "Traceback" not in done.err
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    check_errors(
        {Path(one["source"]).stem: one["error"] for one in lines if one["error"]}
    )
    assert (
        sorted(Path(one["source"]).stem for one in lines if one["state"] == "done")
        == GOOD
    )
    made = {path.stem: path for path in out.iterdir() if path.name[0] != "."}
    assert sorted(made) == GOOD
    if kind != "raster":  # whose finished parts wait for the next run
        assert len(list(out.iterdir())) == len(GOOD)
    for name, path in made.items():
        with Image.open(path) as image:
            assert image.size == ((36, 32) if kind == "raster" else (18, 16))
            assert np.asarray(image.convert("RGB"))[:, :, 0].max() == LEVELS[name]


def test_the_traceback_is_for_verbose(srx, tmp_path, break_at):
    for kind in KINDS:
        make_files(tmp_path / "in", kind)
    for name in (UPSCALE + "photographs.prepare", UPSCALE + "plans.choose_window"):
        break_at(name)
    break_at(UPSCALE + "photographs.read_photograph")
    break_at(UPSCALE + "photographs.read_frames")
    done = srx(
        "upscale",
        tmp_path / "in",
        tmp_path / "out",
        "-m",
        "bicubic",
        "-s",
        2,
        "-v",
        code=1,
    )
    raised = [
        line for line in done.err.splitlines() if line.startswith("  KeyError: 'a'")
    ]
    assert len(raised) == len(KINDS)
    assert done.err.count("Traceback (most recent call last):") >= len(KINDS) * (
        len(ERRORS) - 1
    )


def test_an_output_that_cannot_be_looked_at_is_told(srx, tmp_path, break_at):
    make_files(tmp_path / "in", "photograph")
    asked = ("upscale", tmp_path / "in", tmp_path / "out", "-m", "bicubic", "-s", 2)
    srx(*asked, code=0)  # outputs exist, and may have unfinished work beside them
    break_at("srcli.imaging.rasters.parts.hidden_name")
    done = srx(*asked)
    assert (done.code, f"{len(BAD)} failed" in done.out) == (1, True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seam", ["open", "plan"])
def test_a_dry_run_counts_them_as_problems(srx, tmp_path, break_at, kind, seam):
    make_files(tmp_path / "in", kind)
    plans = {"raster": "run.plan_raster"}
    break_at(
        OPENING if seam == "open" else UPSCALE + plans.get(kind, "run.check_output")
    )
    done = srx(
        "upscale",
        tmp_path / "in",
        tmp_path / "out",
        "-m",
        "bicubic",
        "-s",
        2,
        "--dry-run",
    )
    assert done.code == 1
    assert f"{len(BAD)} problems" in done.out
    problems = [
        line for line in done.out.splitlines() if line.startswith("would fail: ")
    ]
    check_errors({f"bad{line.partition('bad')[2][0]}": line for line in problems})


def test_workers_send_failures_with_their_tracebacks(tmp_path, broken_engine):
    for kind in KINDS:
        make_files(tmp_path / "in", kind)
    options = UpscaleOptions(model="bicubic", scale=2)
    executor = SimulatedExecutor()
    summary = upscale_files(
        [tmp_path / "in"], tmp_path / "out", options, executor=executor
    )
    assert summary.counts["done"] == len(KINDS) * len(GOOD)
    for suffix, _ in KINDS.values():
        failed = [
            file
            for file in summary.files
            if file.error and file.source.suffix == suffix
        ]
        check_errors({file.source.stem: file.error for file in failed})
        keys = next(file for file in failed if file.source.stem == "bad4")
        assert keys.details[-1] == "KeyError: 'a'"


def test_an_engine_that_cannot_be_made_is_told_for_each_file(
    srx, tmp_path, monkeypatch
):
    for kind in KINDS:
        make_files(tmp_path / "in", kind)

    def fail(*_, **__):
        raise OddError("no kernel")

    monkeypatch.setattr("srcli.inference.building.make_engine", fail)
    done = srx(
        "upscale", tmp_path / "in", tmp_path / "out", "-m", "bicubic", "-s", 2, code=2
    )
    lines = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(KINDS) * len(LEVELS)
    assert all(line.endswith(f": OddError: no kernel; {DEFECT}") for line in lines)


def test_a_library_that_is_missing_is_told(srx, tmp_path, monkeypatch):
    write_picture(tmp_path / "a.jpg", 9)
    monkeypatch.setitem(sys.modules, "pyvips", None)
    done = srx(
        "upscale", tmp_path / "a.jpg", tmp_path / "b.png", "-m", "bicubic", code=2
    )
    assert "a.jpg: import of pyvips halted" in done.err
    assert DEFECT not in done.err


EVALUATE = "srcli.pipelines.evaluate."


@pytest.mark.parametrize("seam", ["read", "infer", "score", "write"])
def test_evaluating_measures_all_others(srx, tmp_path, break_at, request, seam):
    make_files(tmp_path / "in", "photograph")
    write_picture(tmp_path / "in" / "good9.png", LEVELS["good9"])
    if seam == "infer":
        request.getfixturevalue("broken_engine")
    else:
        names = {"read": "run.read_pair", "write": "report.write_photograph"}
        break_at(EVALUATE + names.get(seam, "run.measure"))
    words = [
        "eval",
        "-m",
        "bicubic",
        "-s",
        2,
        "--data",
        tmp_path / "in",
        "--metrics",
        "psnr",
    ]
    words += ["--no-cost", "--json", "-", "--save-images", tmp_path / "out"]
    done = srx(*words, code=1)
    assert "Traceback" not in done.err
    found = json.loads(done.out)
    check_errors({each["picture"]: each["reason"] for each in found["failures"]})
    measured = [each["picture"] for each in found["pictures"]]
    assert measured == (sorted(LEVELS) if seam == "write" else GOOD)
    again = srx(*words, "-v")
    assert "Traceback (most recent call last):" in again.err


def test_training_leaves_their_pictures_out(tmp_path, break_at, notes):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, level in LEVELS.items():
        Image.new("RGB", (48, 40), (level, 30, 30)).save(folder / f"{name}.png")
    break_at("srcli.data.pictures._encoded")
    data = load_data(DataSelection(data=(folder,), hold_out=()), 2, BICUBIC, notes)
    assert [picture[0, 0, 0] for picture in data.train.hr] == [
        LEVELS[name] for name in GOOD
    ]
    assert notes.warnings[-1] == f"{len(BAD)} pictures were left out in all"
    first = notes.warnings[0]
    assert first.startswith(f"left out: {folder / 'bad0.png'}: IndexError: ")
    assert first.endswith(DEFECT)
    assert notes.details[-1] == "KeyError: 'a'"  # of the five that are named


def test_ablating_goes_on_with_the_other_units(srx, tmp_path, monkeypatch):
    def breaking(unit, device):
        if unit.label.endswith("a"):
            raise KeyError("a")
        return {"parameters": 1, "macs": 1, "memory": {"256x256": 1}}

    file = tmp_path / "mine.toml"
    file.write_text(
        ABLATION_FILE.replace('"stages.0.losses.0.name" = "l1"', '"network.depth" = 3')
    )
    words = [
        "ablate",
        "run",
        file,
        "--no-train",
        "--json",
        "-",
        "--out",
        tmp_path / "out",
    ]
    monkeypatch.setattr(ablate_run, "measure_cost", breaking)
    done = srx(*words)
    again = srx(*words, "-v")
    assert (done.code, again.code) == (1, 1)
    assert f"failed: KeyError: 'a'; {DEFECT}" in done.err
    assert "Traceback" not in done.err
    assert "Traceback (most recent call last):" in again.err
    (result,) = json.loads(done.out)
    assert [bool(each["cost"]) for each in result["variants"]] == [False, True]
