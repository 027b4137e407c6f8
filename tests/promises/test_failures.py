"""Whatever a library raises on one file, that file fails with a line, and all others are made."""

from __future__ import annotations

import json
import pkgutil
import re
import struct
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.data.training_set import DataSelection
from srcli.inference.engine import TorchEngine
from srcli.inference.raster_engine import RasterEngine
from srcli.pipelines.ablate import run as ablate_run
from srcli.pipelines.ablate.results import VariantCost
from srcli.pipelines.train.data import load_data
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from srcli.recipes.degradation import BICUBIC
from tests.fixtures.ablations import ABLATION_FILE
from tests.fixtures.files import json_lines, names_in
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.pictures import flat_frames, save_frames
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
BAD = [f"bad{i}" for i in range(len(ERRORS))]
GOOD = ["good8", "good9"]
LEVELS = {name: 60 + 20 * i for i, name in enumerate([*BAD, *GOOD])}
"""The colour of each picture, which is all that an engine sees of it."""
DEFECT = "this is a defect of srx: please report it"
UPSCALE = "srcli.pipelines.upscale."


def write_picture(path, level):
    Image.new("RGB", (9, 8), (level, 30, 30)).save(path)


def write_animation(path, level):
    frames = flat_frames((9, 8), [(level, 30, 30), (level, 40, 30)])
    save_frames(path, frames, duration=100)


def write_raster(path, level):
    write_by_gdal(path, np.full((16, 18, 3), (level, 30, 30), np.uint8), **PLACE)


KINDS = {
    "photograph": (".png", write_picture),
    "animation": (".gif", write_animation),
    "raster": (".tif", write_raster),
}
OPENING = UPSCALE + "kinds.open_picture"
PHOTOGRAPHS = UPSCALE + "photographs."
ANIMATIONS = UPSCALE + "single_photographs."
RASTERS = UPSCALE + "rasters."
PHOTOGRAPH = {
    "open": OPENING,
    "plan": PHOTOGRAPHS + "check_output",
    "read": PHOTOGRAPHS + "read_photograph",
    "write": PHOTOGRAPHS + "write_photograph",
}
ANIMATION = {
    "plan": ANIMATIONS + "check_output",
    "read": ANIMATIONS + "read_frames",
    "write": ANIMATIONS + "new_file",
}
SEAMS = {
    "photograph": PHOTOGRAPH,
    "animation": PHOTOGRAPH | ANIMATION,
    "raster": {
        "open": OPENING,
        "plan": RASTERS + "plan_raster",
        "read": "srcli.imaging.rasters.source.RasterSource.read",
        "write": "srcli.imaging.rasters.part_writer.PartWriter.write",
        "merge": RASTERS + "publish",
    },
}


@pytest.fixture
def break_at(monkeypatch):
    """Let a function raise, for each of the bad files, another error."""

    def patch(name):
        module_name, _, attribute = name.rpartition(".")
        owner = pkgutil.resolve_name(module_name)
        real = getattr(owner, attribute)

        def breaking(*values, **keywords):
            seen = repr([getattr(value, "__dict__", value) for value in values])
            if match := re.search(r"\bbad(\d)\b", seen):
                raise ERRORS[int(match[1])]
            return real(*values, **keywords)

        monkeypatch.setattr(owner, attribute, breaking)

    return patch


@pytest.fixture
def broken_engine(monkeypatch):
    """Let engines fail on a batch in which there is one of the bad pictures."""
    for engine_class in (TorchEngine, RasterEngine):
        real = engine_class.start

        def start(self, tiles, *arguments, real=real):
            for name, error in zip(BAD, ERRORS, strict=True):
                if any((tile[..., 0] == LEVELS[name]).any() for tile in tiles):
                    raise error
            return real(self, tiles, *arguments)

        monkeypatch.setattr(engine_class, "start", start)


def make_files(folder, form):
    folder = Path(folder)
    suffix, write = KINDS[form]
    folder.mkdir(exist_ok=True)
    for name, level in LEVELS.items():
        write(folder / f"{name}{suffix}", level)


def check_errors(errors):
    """Check one line for each bad file, by its name."""
    assert sorted(errors) == BAD
    for name, error in zip(BAD, ERRORS, strict=True):
        line = errors[name]
        class_name = type(error).__name__
        assert name in line
        assert "\n" not in line
        if isinstance(error, MemoryError):
            assert "memory" in line.lower()  # known in most places, and no defect there
        else:
            assert f"{class_name}: " in line
            assert line.endswith(f"; {DEFECT}")


PLACES: list[tuple[str, str]] = []
for _kind, _seams in SEAMS.items():
    PLACES += product([_kind], [*_seams, "infer"])


@pytest.mark.parametrize(("kind", "seam"), PLACES)
def test_upscaling_makes_all_others(srx, break_at, request, kind, seam):
    make_files("in", kind)
    if seam == "infer":
        request.getfixturevalue("broken_engine")
    else:
        break_at(SEAMS[kind][seam])
    result = srx("upscale in out -m bicubic -s 2 --report report.jsonl", code=1)
    assert "Traceback" not in result.err
    errors = {}
    finished = []
    for entry in json_lines("report.jsonl"):
        name = Path(entry["source"]).stem
        if entry["error"]:
            errors[name] = entry["error"]
        if entry["state"] == "done":
            finished.append(name)
    check_errors(errors)
    assert sorted(finished) == GOOD
    outputs = {path.stem: path for path in Path("out").glob("[!.]*")}
    assert sorted(outputs) == GOOD
    # finished parts and frames wait for the next run
    if kind != "raster" and (kind, seam) != ("animation", "write"):
        assert len(names_in("out")) == len(GOOD)
    for name, path in outputs.items():
        with Image.open(path) as image:
            assert image.size == ((36, 32) if kind == "raster" else (18, 16))
            assert np.asarray(image.convert("RGB"))[:, :, 0].max() == LEVELS[name]


@pytest.fixture
def files_of_all_kinds():
    """A folder of photographs, animations and rasters."""
    for kind in KINDS:
        make_files("in", kind)


@pytest.mark.usefixtures("files_of_all_kinds")
def test_the_traceback_is_for_verbose(srx, break_at):
    for name in (UPSCALE + "photographs.prepare", UPSCALE + "looking.choose_window"):
        break_at(name)
    break_at(UPSCALE + "photographs.read_photograph")
    break_at(ANIMATIONS + "read_frames")
    result = srx("upscale in out -m bicubic -s 2 -v", code=1)
    assert result.err.count("\n  KeyError: 'a'") == len(KINDS)
    tracebacks = result.err.count("Traceback (most recent call last):")
    assert tracebacks >= len(KINDS) * (len(ERRORS) - 1)


def test_an_output_that_cannot_be_looked_at_is_told(srx, break_at):
    make_files("in", "photograph")
    asked = "upscale in out -m bicubic -s 2"
    srx(asked, code=0)  # outputs exist, and may have unfinished work beside them
    break_at("srcli.imaging.files.stored_parts.hidden_name")
    assert f"{len(BAD)} failed" in srx(asked, code=1).out


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("seam", ["open", "plan"])
def test_a_dry_run_counts_them_as_problems(srx, break_at, suffix, seam):
    make_files("in", suffix)
    plans = {"raster": "plans.plan_raster"}
    break_at(
        OPENING if seam == "open" else UPSCALE + plans.get(suffix, "run.check_output")
    )
    result = srx("upscale in out -m bicubic -s 2 --dry-run", code=1)
    assert f"{len(BAD)} problems" in result.out
    problems = [
        line for line in result.out.splitlines() if line.startswith("would fail: ")
    ]
    check_errors({f"bad{line.partition('bad')[2][0]}": line for line in problems})


@pytest.mark.usefixtures("files_of_all_kinds", "broken_engine")
def test_workers_send_failures_with_their_tracebacks(tmp_path):
    options = settle(Asked(model="bicubic", scale=2))
    executor = SimulatedExecutor()
    summary = upscale_files([tmp_path / "in"], Path("out"), options, executor=executor)
    assert summary.counts["done"] == len(KINDS) * len(GOOD)
    for suffix, _ in KINDS.values():
        failed = {}
        for file in summary.files:
            if file.error and file.source.suffix == suffix:
                failed[file.source.stem] = file
        check_errors({name: file.error for name, file in failed.items()})
        assert failed["bad4"].details[-1] == "KeyError: 'a'"


@pytest.mark.usefixtures("files_of_all_kinds")
def test_an_engine_that_cannot_be_made_is_told_for_each_file(srx, monkeypatch):
    def fail(*_, **__):
        raise OddError("no kernel")

    monkeypatch.setattr("srcli.inference.engines.EnginePool.engine", fail)
    result = srx("upscale in out -m bicubic -s 2", code=2)
    for line in result.errors:
        assert line.endswith(f": OddError: no kernel; {DEFECT}")
    assert len(result.errors) == len(KINDS) * len(LEVELS)


def test_a_library_that_is_missing_is_told(srx, monkeypatch):
    write_picture("a.jpg", 9)
    monkeypatch.setitem(sys.modules, "pyvips", None)
    result = srx("upscale a.jpg b.png -m bicubic", code=2)
    assert "a.jpg: import of pyvips halted" in result.err
    assert DEFECT not in result.err


EVALUATE = "srcli.pipelines.evaluate."


@pytest.mark.parametrize(
    ("seam", "option"), [("read", ""), ("infer", "-v"), ("score", ""), ("write", "-v")]
)
def test_evaluating_measures_all_others(srx, break_at, seam, option):
    make_files("in", "photograph")
    write_picture("in/good9.png", LEVELS["good9"])
    names = {
        "read": "scoring.read_pair",
        "infer": "run.enlarge_whole",
        "score": "scoring.measure_metric",
        "write": "report.write_png",
    }
    break_at(EVALUATE + names[seam])
    command = "eval -m bicubic -s 2 --data in --metrics psnr --no-cost --json -"
    result = srx(command, f"--save-images out {option}", code=1)
    assert ("Traceback" in result.err) == bool(option)
    scores = json.loads(result.out)
    check_errors({score["picture"]: score["reason"] for score in scores["failures"]})
    measured = [score["picture"] for score in scores["pictures"]]
    assert measured == (sorted(LEVELS) if seam == "write" else GOOD)


def test_training_leaves_their_pictures_out(tmp_path, break_at, notes):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, level in LEVELS.items():
        Image.new("RGB", (48, 40), (level, 30, 30)).save(folder / f"{name}.png")
    break_at("srcli.data.pictures._encoded")
    data = load_data(DataSelection(data=(folder,), hold_out=()), 2, BICUBIC, notes)
    reds = [picture[0, 0, 0] for picture in data.train.hr]
    assert reds == [LEVELS[name] for name in GOOD]
    assert notes.warnings[-1] == f"{len(BAD)} pictures were left out in all"
    warning = notes.warnings[0]
    assert warning.startswith(f"left out: {folder / 'bad0.png'}: IndexError: ")
    assert warning.endswith(DEFECT)
    assert notes.details[-1] == "KeyError: 'a'"  # of the five that are named


def test_ablating_goes_on_with_the_other_units(srx, monkeypatch):
    def breaking(unit, device):
        if unit.label.endswith("a"):
            raise KeyError("a")
        return VariantCost(parameters=1, macs=1, memory={"256x256": 1})

    changes = '"stages.0.losses.0.name" = "l1"', '"network.depth" = 3'
    Path("mine.toml").write_text(ABLATION_FILE.replace(*changes))
    command = "ablate run mine.toml --no-train --json - --out out"
    monkeypatch.setattr(ablate_run, "measure_cost", breaking)
    outcome = srx(command, code=1)
    again = srx(command, "-v", code=1)
    assert f"failed: KeyError: 'a'; {DEFECT}" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback (most recent call last):" in again.err
    (result,) = json.loads(outcome.out)
    assert [bool(variant["cost"]) for variant in result["variants"]] == [False, True]
