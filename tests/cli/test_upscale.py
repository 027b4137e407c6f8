"""`srx upscale` as a user runs it: real pictures, broken files, resuming, refusals, exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from operator import itemgetter

import numpy as np
import pytest
from PIL import Image

from srcli.cli.main import run
from srcli.imaging.pixels.resize import resize
from tests.fixtures.files import hear_signals, wait_until
from tests.fixtures.geotiffs import FOUR_BANDS, WITH_NODATA
from tests.fixtures.pictures import size_of


@pytest.fixture
def photos(tmp_path, astronaut):
    """A folder with three small photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "one.png")
    Image.fromarray(astronaut[:61, :47]).save(folder / "zwei – Straße.jpg", quality=95)
    Image.fromarray(astronaut[:40, :40, 0]).save(folder / "gray.png")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_results_are_made_smaller_to_fit(srx, photos, geotiffs, tmp_path, astronaut):
    clear = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    clear[:64, :, 3] = 0
    Image.fromarray(clear).save(photos / "clear.png", dpi=(300, 300))
    out = tmp_path / "out"
    asked = ("upscale", photos, out, "-m", "bicubic", "-s", "3", "--fit", "300x200")
    foreseen = srx(*asked, "--dry-run", code=0)
    report = tmp_path / "report.jsonl"
    srx(*asked, "--report", report, code=0)
    told = {}
    for line in map(json.loads, report.read_text(encoding="utf-8").splitlines()):
        told[line["target"].split("/")[-1]] = (line["width"], line["height"])
    assert len(told) == 4
    for source in photos.iterdir():
        width, height = size_of(source)
        share = min(1, 300 / (3 * width), 200 / (3 * height))
        expected = (round(3 * width * share), round(3 * height * share))
        assert size_of(out / source.name) == expected == told[source.name]
        assert f"{source.name} ({expected[0]}x{expected[1]} " in foreseen.out
    with Image.open(out / "clear.png") as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        alpha = np.asarray(image)[:, :, 3]
    edge = round(64 * len(alpha) / len(astronaut))
    assert (alpha[: edge - 3] == 0).all()
    assert (alpha[edge + 3 :] == 255).all()
    with (
        Image.fromarray(resize(astronaut, 3)) as enlarged_image,
        Image.open(out / "one.png") as fitted,
    ):
        pillows = np.asarray(
            enlarged_image.resize(fitted.size, Image.Resampling.BICUBIC), np.float32
        )
        assert np.abs(np.asarray(fitted, np.float32) - pillows)[4:-4, 4:-4].mean() < 0.5

    raster = geotiffs / WITH_NODATA
    mixed = srx(*asked[:2], raster, *asked[2:])
    assert (mixed.code, "4 skipped" in mixed.out) == (1, True)
    assert f"{raster}: is a raster (" in mixed.err


def test_a_second_run_skips_what_is_finished(srx, photos, tmp_path):
    out = tmp_path / "out"
    srx("upscale", photos, out, "-m bicubic", code=0)
    time_of_gray = (out / "gray.png").stat().st_mtime_ns
    (out / "one.png").unlink()
    # what has become unreadable since is told, and its enlargement stays
    (photos / "gray.png").write_bytes(b"no longer a picture")
    result = srx("upscale", photos, out, "-m bicubic", code=1)
    assert "1 done, 1 skipped" in result.out
    assert "gray.png: not a picture" in result.err
    assert (out / "gray.png").stat().st_mtime_ns == time_of_gray
    again = srx("upscale", photos / "one.png", out, "-m bicubic --overwrite -s 2")
    assert "1 done" in again.out
    assert size_of(out / "one.png") == (320, 256)


def test_one_bad_file_is_named_and_the_rest_goes_on(srx, photos, tmp_path):
    (photos / "broken.png").write_bytes((photos / "one.png").read_bytes()[:2000])
    (photos / "text.jpg").write_text("not a picture")
    (photos / "empty.png").write_bytes(b"")
    srx("upscale", photos / "text.jpg", tmp_path / "out", "-m bicubic", code=2)
    report = tmp_path / "report.jsonl"
    result = srx(
        "upscale", photos, tmp_path / "out", "-m bicubic --report", report, code=1
    )
    assert "3 done, 3 failed" in result.out
    for name in ("broken.png", "text.jpg", "empty.png"):
        (line,) = re.findall(f".*{name}.*", result.err)
        assert line.startswith("error: ")
        assert not (tmp_path / "out" / name).exists()
    lines = map(json.loads, report.read_text().splitlines())
    states = map(itemgetter("state"), lines)
    assert sorted(states) == ["done"] * 3 + ["failed"] * 3
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{one}", "no output given"),
        ("{one} {one}", "last argument is the output"),
        ("{one} {gray} {gray}", "last argument is the output"),
        (
            "{photos} out -m nonsense",
            "no model 'nonsense'; give one that 'srx models' lists",
        ),
        (
            "{photos}/gray.png {photos}/one.png '{photos}/zwei – Straße.jpg'",
            "last argument",
        ),
        ("{photos} out -s 50", "is not in the range"),
        ("{photos} out -s nan", "nan is no number"),
        ("{photos} out --denoise nan", "nan is no number"),
        ("{photos} out --read-timeout inf", "inf is no number"),
        ("{photos} out --mosaic -f mbtiles", "drop --format mbtiles"),
        ("{photos} out --fit 0", "3840x2160"),
        ("{photos} out --fit 0x5", "3840x2160"),
        ("{photos} out --fit x", "3840x2160"),
        ("{photos} out --fit 9x --cog", "--cog"),
        ("{photos} out -t 4", "16"),
        ("{photos} out -t 32 --overlap 16", "below half"),
        ("missing/ out", "no such file"),
        ("{photos} {photos}", "--suffix"),
        ("{photos} out --device cuda:7", "CUDA"),
        ("{photos} out --executor spark", "give local, ray or ray://HOST:PORT"),
        ("{photos} out --device cpu,tpu", "--device tpu: give auto, cpu, cuda, cuda:N"),
        ("{photos} out --devices cuda:7,cpu", "--device cuda:7: this machine has"),
        (
            "{photos} out --executor ray --device cuda:1",
            "--device cuda:1: Ray chooses the GPU",
        ),
        ("{photos} out -m missing.safetensors", "no such weights"),
        ("{photos} out --device cpu --precision fp16", "needs a GPU"),
        ("{photos} out --frobnicate", "No such option"),
        ("{photos} out -f tiff8", "--format tiff8"),
        ("{one} out --back-project cubic", "cubic: give bicubic or area"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_code_two(
    srx, photos, monkeypatch, arguments, message
):
    monkeypatch.chdir(photos.parent)
    places = {"one": photos / "one.png", "gray": photos / "gray.png", "photos": photos}
    words = [word.format(**places) for word in shlex.split(arguments)]
    before = contents(photos)
    result = srx("upscale", *words, code=2)
    assert message in result.err
    assert "Traceback" not in result.err
    assert contents(photos) == before
    srx("upscale", *words, "--dry-run", code=2)


@pytest.mark.posix
def test_dry_run_tells_sizes_and_problems_and_does_nothing(
    photos, tmp_path, monkeypatch
):
    (photos / "bad.png").write_text("x")
    name = os.fsdecode(b"caf\xe9.png")
    try:
        with (photos / name).open("wb") as file:
            Image.new("L", (8, 8)).save(file, "PNG")
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    raw = io.BytesIO()
    strict = io.TextIOWrapper(
        raw, encoding="utf-8", errors="strict", write_through=True
    )
    monkeypatch.setattr(sys, "stdout", strict)
    assert (
        run(["upscale", str(photos), str(tmp_path / "out"), "--dry-run", "-s", "2"])
        == 1
    )
    told = raw.getvalue().decode()
    assert "one.png (320x256 png, " in told
    assert "would fail: " in told
    assert "bad.png" in told
    assert r"caf\udce9.png" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.posix
def test_ctrl_c_leaves_no_half_written_file_and_the_next_run_goes_on(srx, tmp_path):
    folder = tmp_path / "in"
    out = tmp_path / "out"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (16, 160, 160, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    words = ["upscale", folder, out, "-m", "bicubic"]
    running = subprocess.Popen(
        [sys.executable, "-m", "srcli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=hear_signals,
    )
    wait_until(lambda: list(out.glob("*.png")), running)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert running.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    finished = list(out.iterdir())
    assert 0 < len(finished) < 16
    for path in finished:
        assert path.suffix == ".png"
        assert not path.name.startswith(".")
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
            assert image.size == (640, 640)
    assert f"{16 - len(finished)} done, {len(finished)} skipped" in srx(*words).out


def test_a_photograph_is_enlarged_without_libraries_that_take_long_to_import(
    photos, tmp_path
):
    """Training does without rasterio too, but needs some of the others."""
    for path in photos.iterdir():
        Image.open(path).crop((0, 0, 24, 20)).save(path)
    left_out = [
        "torch.onnx",
        "torch._dynamo",
        "scipy",
        "skimage",
        "matplotlib",
        "rasterio",
    ]
    code = (
        "import sys; sys.modules['rasterio'] = None\n"
        "import srcli.cli.train, srcli.pipelines.train.run, srcli.training.loop\n"
        f"sys.modules.update(dict.fromkeys({left_out!r}))\n"
        "from srcli.cli.main import run\n"
        f"print(run(['upscale', {str(photos)!r}, {str(tmp_path / 'out')!r}, '-s', '2']))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.stdout.endswith("\n0\n"), result.stdout + result.stderr
    assert len([*(tmp_path / "out").iterdir()]) == len([*photos.iterdir()])


def test_nothing_but_upscaling_needs_torch(photos, geotiffs, tmp_path):
    raster = geotiffs / FOUR_BANDS
    Image.new("RGB", (32, 32)).save(tmp_path / raster.name)  # is finished by its size
    code = (
        "import sys; sys.modules['torch'] = None; from srcli.cli.main import run\n"
        f"print([run(['upscale', {str(photos)!r}, 'out', '--dry-run', '-s', '3']),"
        f"run(['upscale', {str(raster)!r}, 'out', '--dry-run']),"
        f"run(['upscale', {str(raster)!r}, {str(tmp_path)!r}, '--srcwin', '0', '0', '8', '8'])])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300
    )
    assert "[0, 0, 0]" in result.stdout, result.stderr
    assert "4.2 megapixels to write, 0 problems" in result.stdout
    assert "1 skipped" in result.stdout
