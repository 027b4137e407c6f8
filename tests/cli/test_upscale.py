"""`srx upscale` as a user runs it: real pictures, broken files, resuming, refusals, exit codes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
import rasterio
from PIL import Image

import srcli
from srcli.cli.main import run
from srcli.imaging.photograph import Metadata, Photograph, mark_source
from srcli.imaging.resize import mod_crop, resize
from srcli.imaging.writing import write_photograph
from srcli.metrics.fidelity import psnr
from srcli.models import build_network
from srcli.models.storage import WeightsInfo, save_weights
from srcli.models.weights import weights_path
from tests.fixtures.geotiffs import FOUR_BANDS, WITH_NODATA
from tests.fixtures.photographs import PLACE, SRGB, write_by_gdal


@pytest.fixture
def photos(tmp_path, astronaut):
    """A folder with three small photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "one.png")
    Image.fromarray(astronaut[:61, :47]).save(folder / "zwei – Straße.jpg", quality=95)
    Image.fromarray(astronaut[:40, :40, 0]).save(folder / "gray.png")
    return folder


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_a_folder_of_pictures_with_the_flagship(srx, photos, tmp_path):
    result = srx(
        "upscale", photos, tmp_path / "out", "--model", "g-idrn", "-s", "4", code=0
    )
    assert "3 done" in result.out
    for source in photos.iterdir():
        width, height = size_of(source)
        assert size_of(tmp_path / "out" / source.name) == (4 * width, 4 * height)
    with Image.open(tmp_path / "out" / "gray.png") as gray:
        assert gray.mode == "L"


def test_results_are_made_smaller_to_fit(srx, photos, geotiffs, tmp_path, astronaut):
    clear = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    clear[:64, :, 3] = 0
    Image.fromarray(clear).save(photos / "clear.png", dpi=(300, 300))
    out = tmp_path / "out"
    asked = ("upscale", photos, out, "-m", "bicubic", "-s", "3", "--fit", "300x200")
    foreseen = srx(*asked, "--dry-run", code=0)
    report = tmp_path / "report.jsonl"
    srx(*asked, "--report", report, code=0)
    lines = [
        json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()
    ]
    told = {
        line["target"].split("/")[-1]: (line["width"], line["height"]) for line in lines
    }
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
        Image.fromarray(resize(astronaut, 3)) as whole,
        Image.open(out / "one.png") as fitted,
    ):
        pillows = np.asarray(
            whole.resize(fitted.size, Image.Resampling.BICUBIC), np.float32
        )
        assert np.abs(np.asarray(fitted, np.float32) - pillows)[4:-4, 4:-4].mean() < 0.5

    raster = geotiffs / WITH_NODATA
    mixed = srx(*asked[:2], raster, *asked[2:])
    assert (mixed.code, "4 skipped" in mixed.out) == (1, True)
    assert f"{raster}: is a raster (" in mixed.err


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_scale_is_sharper_and_closer_than_bicubic(
    srx, tmp_path, astronaut, scale
):
    original = mod_crop(astronaut[:100, :120], scale)
    Image.fromarray(resize(original, Fraction(1, scale))).save(tmp_path / "small.png")
    quality = {}
    for model in ("g-idrn", "bicubic"):
        out = tmp_path / f"{model}.png"
        srx("upscale", tmp_path / "small.png", out, "-m", model, "-s", scale, code=0)
        quality[model] = psnr(np.asarray(Image.open(out)), original)
    assert quality["g-idrn"] > quality["bicubic"] + 1.0


def test_a_second_run_skips_what_is_finished(srx, photos, tmp_path):
    out = tmp_path / "out"
    srx("upscale", photos, out, "-m", "bicubic", code=0)
    kept = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    (out / "one.png").unlink()
    # what has become unreadable since is told, and its enlargement stays
    (photos / "gray.png").write_bytes(b"no longer a picture")
    result = srx("upscale", photos, out, "-m", "bicubic", code=1)
    assert "1 done, 1 skipped" in result.out
    assert "gray.png: not a picture" in result.err
    assert (out / "gray.png").stat().st_mtime_ns == kept["gray.png"]
    again = srx(
        "upscale", photos / "one.png", out, "-m", "bicubic", "--overwrite", "-s", "2"
    )
    assert "1 done" in again.out
    assert size_of(out / "one.png") == (320, 256)


def test_one_bad_file_is_named_and_the_rest_goes_on(srx, photos, tmp_path):
    (photos / "broken.png").write_bytes((photos / "one.png").read_bytes()[:2000])
    (photos / "text.jpg").write_text("not a picture")
    (photos / "empty.png").write_bytes(b"")
    srx("upscale", photos / "text.jpg", tmp_path / "out", "-m", "bicubic", code=2)
    report = tmp_path / "report.jsonl"
    result = srx(
        "upscale", photos, tmp_path / "out", "-m", "bicubic", "--report", report, code=1
    )
    assert "3 done, 3 failed" in result.out
    for name in ("broken.png", "text.jpg", "empty.png"):
        (line,) = [line for line in result.err.splitlines() if name in line]
        assert line.startswith("error: ")
        assert not (tmp_path / "out" / name).exists()
    states = [json.loads(line)["state"] for line in report.read_text().splitlines()]
    assert sorted(states) == ["done"] * 3 + ["failed"] * 3
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{one}"], "no output given"),
        (["{one}", "{one}"], "last argument is the output"),
        (["{one}", "{gray}", "{gray}"], "last argument is the output"),
        (
            ["{photos}", "out", "-m", "nonsense"],
            "no model 'nonsense'; there are: g-idrn",
        ),
        (
            ["{photos}/gray.png", "{photos}/one.png", "{photos}/zwei – Straße.jpg"],
            "last argument",
        ),
        (["{photos}", "out", "-s", "50"], "is not in the range"),
        *(
            (["{photos}", "out", "--fit", fit], "3840x2160")
            for fit in ("300", "0x5", "x")
        ),
        (["{photos}", "out", "--fit", "9x", "--cog"], "--cog"),
        (["{photos}", "out", "-t", "4"], "16"),
        (["{photos}", "out", "-t", "32", "--overlap", "16"], "below half"),
        (["missing/", "out"], "no such file"),
        (["{photos}", "{photos}"], "--suffix"),
        (["{photos}", "out", "--device", "cuda:7"], "CUDA"),
        (
            ["{photos}", "out", "--executor", "spark"],
            "give local, ray or ray://HOST:PORT",
        ),
        (
            ["{photos}", "out", "--device", "cpu,tpu"],
            "--device tpu: give auto, cpu, cuda, cuda:N",
        ),
        (
            ["{photos}", "out", "--devices", "cuda:7,cpu"],
            "--device cuda:7: this machine has",
        ),
        (
            ["{photos}", "out", "--executor", "ray", "--device", "cuda:1"],
            "--device cuda:1: Ray chooses the GPU",
        ),
        (["{photos}", "out", "-m", "missing.safetensors"], "no such weights"),
        (["{photos}", "out", "--device", "cpu", "--precision", "fp16"], "needs a GPU"),
        (["{photos}", "out", "--frobnicate"], "No such option"),
        (["{photos}", "out", "-f", "tiff8"], "--format tiff8"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_code_two(
    srx, photos, monkeypatch, arguments, message
):
    monkeypatch.chdir(photos.parent)
    places = {"one": photos / "one.png", "gray": photos / "gray.png", "photos": photos}
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    result = srx("upscale", *(a.format(**places) for a in arguments), code=2)
    assert message in result.err
    assert "Traceback" not in result.err
    assert {p.name: p.read_bytes() for p in photos.iterdir()} == before
    srx("upscale", *(a.format(**places) for a in arguments), "--dry-run", code=2)


def test_replacing_a_file_has_to_be_meant(srx, photos):
    one = photos / "one.png"
    srx("upscale", one, "-o", one, "-m", "bicubic", "-s", "2", code=2)
    assert size_of(one) == (160, 128)
    srx("upscale", one, "-o", one, "--overwrite", "-m", "bicubic", "-s", "2", code=0)
    assert size_of(one) == (320, 256)


@pytest.mark.parametrize("fmt", ["png", "tif"])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_sixteen_bit_colour_stays_sixteen_bit_with_its_profile(
    srx, tmp_path, astronaut, fmt
):
    pixels = astronaut[:40, :48].astype(np.uint16) * 257 + 13
    source, target = tmp_path / f"deep.{fmt}", tmp_path / f"out.{fmt}"
    photograph = Photograph(pixels=pixels, alpha=None, metadata=Metadata(icc=SRGB))
    write_photograph(source, photograph, fmt=fmt)
    srx("upscale", source, target, "-s", "2", code=0)
    with rasterio.open(target) as raster:
        deep = raster.read().transpose(1, 2, 0)
    assert deep.dtype == np.uint16
    assert deep.shape == (80, 96, 3)
    assert len(np.unique(deep % 257)) > 50  # the low bits carry information
    with Image.open(target) as image:
        assert image.info.get("icc_profile") == SRGB


@pytest.mark.parametrize("size", [(1, 1), (37, 1), (2, 15)])
def test_tiny_pictures(srx, tmp_path, size):
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "t.png")
    srx("upscale", tmp_path / "t.png", tmp_path / "o.png", "-s", "3", code=0)
    big = np.asarray(Image.open(tmp_path / "o.png")).astype(int)
    assert big.shape == (size[1] * 3, size[0] * 3, 3)
    assert np.abs(big - (10, 200, 30)).max() <= 12


@pytest.mark.posix
def test_dry_run_tells_sizes_and_problems_and_does_nothing(
    srx, photos, tmp_path, monkeypatch
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
    assert "one.png (320x256 png)" in told
    assert "would fail: " in told
    assert "bad.png" in told
    assert r"caf\udce9.png" in told
    assert not (tmp_path / "out").exists()


def test_self_ensemble_changes_the_result_a_little(srx, tmp_path, astronaut):
    Image.fromarray(astronaut[:32, :40]).save(tmp_path / "a.png")
    for name, extra in (("plain", []), ("tta", ["--tta"])):
        out = tmp_path / f"{name}.png"
        srx("upscale", tmp_path / "a.png", out, "-s", "2", *extra, code=0)
    plain, tta = (
        np.asarray(Image.open(tmp_path / f"{n}.png")).astype(int)
        for n in ("plain", "tta")
    )
    assert 0 < np.abs(plain - tta).mean() < 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
def test_a_back_projected_picture_made_smaller_is_the_input(
    srx, tmp_path, astronaut, mode
):
    picture = Image.fromarray(astronaut[:24, :33]).convert(
        "RGBA" if mode == "RGBA" else "RGB"
    )
    if mode == "I;16":
        picture = Image.fromarray(
            np.asarray(picture.convert("L")).astype(np.uint16) * 257
        )
    picture.save(tmp_path / "a.png")
    apart = []
    for extra in ([], ["--back-project"]):
        out = tmp_path / f"{len(extra)}.png"
        arguments = ("-m", "attentive-gan", "-s", "4", *extra)
        srx("upscale", tmp_path / "a.png", out, *arguments, code=0)
        made = np.asarray(Image.open(out)).astype(float)
        apart.append(np.abs(resize(made, Fraction(1, 4)) - np.asarray(picture)).mean())
    assert apart[1] < 0.4 * apart[0]


def test_strength_goes_from_the_faithful_to_the_crisp_model(srx, tmp_path, astronaut):
    source = tmp_path / "a.jpg"
    Image.fromarray(astronaut[:48, :48]).save(source, quality=30)

    def enlarged(model, *options):
        out = tmp_path / "out.png"
        said = srx("upscale", source, out, "-s", "4", "-m", model, *options, code=0).err
        return np.asarray(Image.open(out), int), said

    photo, crisp = (
        enlarged(name)[0] for name in ("g-idrn-photo", "g-idrn-photo-crisp")
    )
    assert (photo != crisp).any()
    for strength, expected in (("0", photo), ("1", crisp)):
        found, _ = enlarged("g-idrn-photo", "--strength", strength)
        np.testing.assert_array_equal(found, expected)
    apart = []
    for strength in ("0.3", "0.7"):
        found, said = enlarged("g-idrn-photo", "--strength", strength)
        assert "made with other options" in said
        apart.append(np.abs(found - photo).mean())
    assert 0 < apart[0] < apart[1] < np.abs(crisp - photo).mean()
    assert "made with" not in enlarged("g-idrn-photo", "--strength", "0.7")[1]
    half = enlarged("g-idrn-photo", "--strength", "0.5")[0]
    np.testing.assert_array_equal(enlarged("auto")[0], half)
    np.testing.assert_array_equal(np.asarray(srcli.upscale(source, "auto")), half)
    np.testing.assert_array_equal(enlarged("auto", "--strength", "0")[0], photo)


def test_rasters_take_any_scale_that_a_file_has(srx, tmp_path, astronaut):
    network, weights = build_network("fsrcnn", scale=8), tmp_path / "x8.safetensors"
    save_weights(weights, network.state_dict(), WeightsInfo(model="fsrcnn", scale=8))
    write_by_gdal(tmp_path / "a.tif", astronaut[:30, :20], **PLACE)
    srx("upscale", tmp_path / "a.tif", tmp_path / "b.tif", "-s", "8", "-m", weights,
        "--value-range", "1", code=0)  # fmt: skip
    with rasterio.open(tmp_path / "b.tif") as raster:
        assert (raster.height, raster.width) == (240, 160)


def test_a_scale_that_a_model_lacks_is_made_from_a_larger_one(srx, tmp_path, astronaut):
    source, out = tmp_path / "a.jpg", tmp_path / "out.png"
    Image.fromarray(astronaut[:48, :40]).save(source, quality=30)
    made = []
    for scale in (4, 2):
        srx(
            "upscale",
            source,
            out,
            "-m",
            "attentive-gan",
            "-s",
            scale,
            "--overwrite",
            code=0,
        )
        made.append(np.asarray(Image.open(out)))
    whole, half = made
    assert half.shape == (96, 80, 3)
    assert np.abs(half - resize(whole, Fraction(1, 2))).max() <= 1
    in_python = srcli.upscale(source, "attentive-gan", 2)
    np.testing.assert_array_equal(half, np.asarray(in_python))
    srx(
        "compare",
        source,
        tmp_path / "sheet.png",
        "-m",
        "attentive-gan",
        "-s",
        2,
        code=0,
    )


def test_python_chooses_models_and_makes_scales_in_two_passes_as_the_command_does(
    srx, tmp_path, astronaut
):
    fine = tmp_path / "fine.jpg"  # by its pixels it is clean
    Image.fromarray(astronaut[:48, :40]).save(fine, quality=98)
    srx("upscale", fine, tmp_path / "fine.png", "-s", 2, code=0)
    for given in (fine, Image.open(fine)):
        made = np.asarray(srcli.upscale(given, "auto", 2))
        np.testing.assert_array_equal(
            made, np.asarray(Image.open(tmp_path / "fine.png"))
        )
    grain = (
        np.random.default_rng(0)
        .normal(128, 20, (20, 24, 3))
        .clip(0, 255)
        .astype(np.uint8)
    )
    Image.fromarray(grain).save(tmp_path / "a.png")
    srx("upscale", tmp_path / "a.png", tmp_path / "b.png", "-s", 5, code=0)
    told: list[float] = []
    made = srcli.upscale(grain, "auto", 5, progress=told.append)
    np.testing.assert_array_equal(made, np.asarray(Image.open(tmp_path / "b.png")))
    assert (made.shape, told) == ((100, 120, 3), [0.5, 1])
    with pytest.raises(srcli.errors.UsageError, match="scale=17: give 1 to 16"):
        srcli.upscale(grain, scale=17)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--strength", "2"], "0<=x<=1"),
        (["--strength", "0.5", "-m", "rrlfn"], "--strength changes g-idrn-photo alone"),
        (["--denoise", "1.5"], "0<=x<=1"),
        (["--denoise", "0.5", "--back-project"], "drop --denoise"),
    ],
)
def test_strength_and_denoise_are_refused_where_it_means_nothing(
    srx, tmp_path, options, words
):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    assert (
        words
        in srx("upscale", tmp_path / "a.png", tmp_path / "out", *options, code=2).err
    )


@pytest.mark.parametrize("name", ["grain.png", "grain.tif"])
def test_denoise_gives_grain_back_as_soft_as_interpolation_makes_it(
    srx, tmp_path, name
):
    grain = np.random.default_rng(0).normal(0, 10, (48, 48, 3))
    source, out = tmp_path / name, tmp_path / f"out-{name}"
    Image.fromarray((128 + grain).round().astype(np.uint8)).save(source)

    def enlarged(*options):
        said = srx(
            "upscale", source, out, "-s", "4", "-m", "g-idrn-photo", *options, code=0
        ).err
        return np.asarray(Image.open(out), float), said

    plain, _ = enlarged()
    np.testing.assert_array_equal(enlarged("--denoise", "1", "--overwrite")[0], plain)
    soft = resize(np.asarray(Image.open(source), float), 4)
    left, alike = [], []
    for share in ("0.5", "0"):
        found, said = enlarged("--denoise", share)
        assert "made with other options" in said
        left.append(found.std())
        alike.append(np.corrcoef((found - plain).ravel(), (soft - plain).ravel())[0, 1])
    assert plain.std() < 0.5 * left[1]
    assert plain.std() < left[0] < left[1] < 1.1 * soft.std()
    assert min(alike) > 0.9


@pytest.mark.parametrize("option", ["strength", "denoise"])
def test_a_share_beyond_one_is_refused_in_python_too(option):
    with pytest.raises(srcli.errors.UsageError, match=f"{option}=1.5"):
        srcli.upscale(np.zeros((8, 8, 3), np.uint8), **{option: 1.5})


@pytest.mark.parametrize("georeferenced", [False, True])
def test_strip_metadata_keeps_colours_and_georeference(
    srx, tmp_path, astronaut, georeferenced
):
    source, out = tmp_path / "a.tif", tmp_path / "out.tif"
    if georeferenced:

        def describe(file):
            file.update_tags(OWNER="Secret", AREA_OR_POINT="Point")
            file.update_tags(1, NOTE="Secret")

        write_by_gdal(source, astronaut[:16, :16], then=describe, **PLACE)
    else:
        exif = Image.Exif()
        exif[0x010F] = "Secret"
        Image.fromarray(astronaut[:16, :16]).save(source, exif=exif, icc_profile=SRGB)
    for strip in ((), ("--strip-metadata",)):
        srx("upscale", source, out, "-m", "bicubic", "-s", 2, *strip, code=0)
        content = out.read_bytes()
        assert (b"Secret" in content) != bool(strip)
        assert (b"srx " in content) != bool(strip)
        if georeferenced:
            with rasterio.open(out) as file:
                assert file.crs.to_epsg() == 32632
                assert file.tags()["AREA_OR_POINT"] == "Point"
        else:
            with Image.open(out) as image:
                assert image.info["icc_profile"] == SRGB
        out.unlink()


@pytest.mark.parametrize("fmt", ["jpg", "tif", "png"])
def test_photographs_say_which_software_and_model_made_them(
    srx, tmp_path, astronaut, fmt
):
    exif = Image.Exif()
    exif[0x010F], exif[0x0131] = "Maker", "Camera 1.0"
    exif.get_ifd(0x8769)[0x927C] = b"note" * 9
    source, out = tmp_path / "a.jpg", tmp_path / f"out.{fmt}"
    Image.fromarray(astronaut[:16, :16]).save(source, exif=exif)
    asked = ("upscale", source, "-o", out, "-m", "rrlfn", "-s", 2, "--overwrite")
    srx(*asked, "--strip-provenance", code=0)
    with Image.open(out) as image:
        plain = image.getexif()
        assert plain[0x0131] == "Camera 1.0"
        assert "srx" not in str(image.info)
    digest = hashlib.sha256(weights_path("rrlfn", 2).read_bytes()).hexdigest()[:16]
    made_by = f"rrlfn x2, weights {digest}, source {mark_source(source)}"
    expected = f"Camera 1.0; srx {srcli.__version__} ({made_by})"
    made = []
    for _ in range(2):
        srx(*asked, code=0)
        made.append(out.read_bytes())
        with Image.open(out) as image:
            found = image.getexif()
            text = image.info["Software"] if fmt == "png" else found[0x0131]
            assert text == expected
            assert found[0x010F] == "Maker"
            assert found.get_ifd(0x8769)[0x927C] == b"note" * 9
    assert made[0] == made[1]  # no dates
    # the history goes on, whatever the format
    last = tmp_path / "last.jpg"
    srx("upscale", out, last, "-m", "bicubic", "-s", 2, code=0)
    with Image.open(last) as image:
        history = image.getexif()[0x0131]
    assert history.startswith(
        f"{expected}; srx {srcli.__version__} (bicubic x2, source {fmt} "
    )


@pytest.mark.posix
def test_ctrl_c_leaves_no_half_written_file_and_the_next_run_goes_on(srx, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (24, 160, 160, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    words = ["upscale", folder, out, "-m", "bicubic"]
    running = subprocess.Popen(
        [sys.executable, "-m", "srcli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # shells start background jobs with SIGINT ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(out.glob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    finished = list(out.iterdir())
    assert 0 < len(finished) < 24
    for path in finished:
        assert path.suffix == ".png"
        assert not path.name.startswith(".")
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
            assert image.size == (640, 640)
    assert f"{24 - len(finished)} done, {len(finished)} skipped" in srx(*words).out


def test_rasters_go_with_pictures_and_say_what_was_decided(srx, geotiffs, tmp_path):
    words = ["-m", "bicubic", "-s", 2, "--srcwin", 0, 0, 64, 48, "-v"]
    done = srx("upscale", geotiffs, tmp_path / "out", *words, code=0)
    assert "3 done" in done.out
    assert "bands 1,2,3 are taken for red, green, blue; --rgb names others" in done.err
    assert "are black to white" in done.err
    assert len(list((tmp_path / "out").iterdir())) == 3
    foreseen = srx("upscale", geotiffs, tmp_path / "other", *words, "--dry-run").out
    assert any(
        "black to white" in line for line in foreseen.splitlines() if line[:2] == "  "
    )
    again = srx("upscale", geotiffs, tmp_path / "out", *words)
    assert "3 skipped" in again.out


@pytest.mark.parametrize("words", [(), ("--cog",), ("-f", "jpg"), ("-f", "png")])
def test_rasters_say_which_software_and_model_made_them(
    srx, astronaut, tmp_path, words
):
    source, tags = (
        tmp_path / "in.tif",
        {"TIFFTAG_SOFTWARE": "Mosaic 3", "AREA": "Bahamas"},
    )
    write_by_gdal(
        source, astronaut[:16, :24], then=lambda file: file.update_tags(**tags), **PLACE
    )
    asked = (
        "upscale",
        source,
        tmp_path,
        "--suffix",
        "_big",
        "-m",
        "bicubic",
        "-s",
        2,
        *words,
    )
    suffix = words[-1] if "-f" in words else "tif"
    key = {"jpg": "EXIF_Software", "png": "Software", "tif": "TIFFTAG_SOFTWARE"}[suffix]
    for strip in ((), ("--strip-provenance",)):
        srx(*asked, "--overwrite", *strip, code=0)
        with rasterio.open(tmp_path / f"in_big.{suffix}") as dataset:
            tags = dataset.tags()
        assert tags["AREA"] == "Bahamas"
        own = {name: text for name, text in tags.items() if name.startswith("SRX_")}
        if strip:
            assert not own
            assert tags["TIFFTAG_SOFTWARE"] == "Mosaic 3"
            continue
        made_by = f"Mosaic 3; srx {srcli.__version__} (bicubic x2, "
        assert tags[key].startswith(made_by)
        made = {
            "SRX_VERSION": srcli.__version__,
            "SRX_MODEL": "bicubic",
            "SRX_SCALE": "2",
        }
        assert own == made
        if suffix == "jpg":
            with Image.open(tmp_path / "in_big.jpg") as image:
                assert image.getexif()[0x0131] == tags[key]


@pytest.mark.parametrize("cog", [(), ("--cog",)])
def test_jpeg_inside_a_geotiff_has_the_quality_of_our_jpegs(
    srx, geotiffs, tmp_path, cog
):
    source = geotiffs / WITH_NODATA
    asked = (
        "upscale",
        source,
        "-m",
        "bicubic",
        "-s",
        2,
        "--srcwin",
        200,
        200,
        64,
        64,
        *cog,
    )
    best = ("--co", f"{'QUALITY' if cog else 'JPEG_QUALITY'}=95")

    def made(*words):
        out = tmp_path / "out.tif"
        srx(*asked, "-o", out, "--overwrite", "--co", "COMPRESS=JPEG", *words, code=0)
        with rasterio.open(out) as dataset:
            assert dataset.compression.name == "jpeg"
            return dataset.read()

    np.testing.assert_array_equal(made(), made(*best))
    np.testing.assert_array_equal(made("--quality", 50, *best), made(*best))
    assert not np.array_equal(made("--quality", 50), made(*best))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--srcwin", 0, 0, 0, 5], 2, "srcwin"),
        (["--bounds", 1, 2, 3, 4], 2, "--bounds lies outside the file"),
        (
            ["--bounds", 1, 2, 3, "nan"],
            2,
            "--bounds 1,2,3,nan: give left,bottom,right,top",
        ),
        (["--bidx", "7"], 2, "7"),
        (["--rgb", "1,2,9"], 2, "9"),
        (["--co", "COMPRESS=NONSENSE"], 2, "NONSENSE"),
        (["--co", "FOO=1"], 2, "--co: GDAL says"),
        (["--co", "TARGET_SRS=EPSG:4326", "--cog"], 2, "change --co"),
        (["--nodata", -5], 2, "uint8"),
        (["-f", "webp"], 2, "take --format tif"),
        (["--srcwin", 0, 0, 5, 5, "--bounds", "1 2 3 4"], 2, "give one of them"),
    ],
)
def test_wrong_raster_options_leave_one_line_and_nothing_else(
    srx, geotiffs, tmp_path, words, code, message
):
    source = geotiffs / FOUR_BANDS
    done = srx("upscale", source, tmp_path / "out", "-m", "bicubic", "-s", 2, *words)
    assert done.code == code
    lines = [line for line in done.err.splitlines() if "error: " in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    foreseen = srx(
        "upscale",
        source,
        tmp_path / "out",
        "-m",
        "bicubic",
        "-s",
        2,
        *words,
        "--dry-run",
    )
    assert foreseen.code in (1, 2)
    assert message in foreseen.out + foreseen.err


def test_a_photograph_is_enlarged_without_libraries_that_take_long_to_import(
    photos, tmp_path
):
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
        f"import sys; sys.modules.update(dict.fromkeys({left_out!r}))\n"
        "from srcli.cli.main import run\n"
        f"print(run(['upscale', {str(photos)!r}, {str(tmp_path / 'out')!r}, '-s', '2']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.endswith("\n0\n"), done.stdout + done.stderr
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
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300
    )
    assert "[0, 0, 0]" in done.stdout, done.stderr
    assert "4.2 megapixels to write, 0 problems" in done.stdout
    assert "1 skipped" in done.stdout
