"""`srcli.upscale`: numpy and PIL in, the same kind out."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

import srcli
from srcli.errors import ModelError, PictureError, UsageError
from srcli.inference.engines import _kept_pool
from srcli.models import build_network
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo, weights_path
from tests.fixtures.photographs import SRGB

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000


def bicubic(picture: Any, scale: int = 2, **options: Any) -> Any:
    return srcli.upscale(picture, "bicubic", scale, **options)


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [("u1", 4), ("u2", None), ("u2", 2), ("f8", 1)],
)
def test_arrays_keep_kind_type_and_channels(astronaut, dtype, channels):
    picture = np.dstack([astronaut, np.full((128, 160), 255)])[:20, :30]
    top = 1.0 if dtype[0] == "f" else np.iinfo(dtype).max
    picture = (picture / 255 * top).astype(dtype)
    pick = {None: picture[..., 0], 1: picture[..., :1], 2: picture[..., [0, 3]]}
    picture = pick.get(channels, picture[..., :channels])
    before = picture.copy()
    big = srcli.upscale(picture, model="g-idrn", scale=2)
    assert big.dtype == picture.dtype
    assert big.shape == (40, 60, *picture.shape[2:])
    np.testing.assert_array_equal(picture, before)
    small = big[::2, ::2].astype(float) / top
    assert np.abs(small - picture.astype(float) / top).mean() < 0.06


def test_heights_are_interpolated_in_both_passes():
    y, x = np.mgrid[:96, :128]
    heights = (30000 + 20000 * np.sin(x / 30) * np.cos(y / 25)).astype(np.uint16)
    np.testing.assert_array_equal(srcli.upscale(heights, scale=6), bicubic(heights, 6))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("RGB", "RGB"),
        ("P", "RGB"),
    ],
)
def test_pil_images_keep_their_mode(astronaut, mode, expected):
    big = bicubic(Image.fromarray(astronaut[:16, :18]).convert(mode), 3)
    assert (big.mode, big.size) == (expected, (54, 48))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-50.0, 3000.0), (7.0, 7.0)])
def test_float_values_come_back_in_their_own_range(low, high):
    values = np.linspace(low, high, 48, dtype=np.float32).reshape(4, 4, 3)
    big = bicubic(values)
    assert big.mean() == pytest.approx(values.mean(), rel=1e-3, abs=1e-5)
    differences = big[3:5, 3:5].mean((0, 1)) - values[1:3, 1:3].mean((0, 1))
    assert np.abs(differences).max() < 0.02 * high


@pytest.mark.parametrize("model", ["bicubic", "quick"])
@pytest.mark.parametrize(
    ("low", "high", "factor", "limits"),
    [
        (0, np.inf, 6, (0, np.inf)),  # rain
        (-np.inf, 0, 40, (-np.inf, 0)),  # depths
        (0.1, 0.9, 1, (0.1, 0.9)),  # many lie on the ends
        (0, 0.99, 0.3, (0, 1)),  # black and white
    ],
)
def test_floats_keep_the_bounds_of_nature(model, low, high, factor, limits):
    noise = gaussian_filter(np.random.default_rng(1).normal(size=(40, 40)), 1.5)
    values = (noise / noise.std() * factor).clip(low, high)
    larger = srcli.upscale(values, model, 2)
    assert limits[0] <= larger.min() < larger.max() <= limits[1]
    assert larger.std() == pytest.approx(values.std(), rel=0.2)


def test_floats_that_are_not_finite_stay_so(astronaut):
    picture = (astronaut[:20, :20] / 255).astype(np.float32)
    picture[5, 6] = np.nan
    picture[0, 0] = np.inf
    big = bicubic(picture)
    assert np.isnan(big[10:12, 12:14]).all()
    assert (big[:2, :2] == np.inf).all()
    assert np.isfinite(big).sum() == big.size - 2 * 4 * 3
    assert np.isnan(bicubic(np.full((3, 3), np.nan))).all()


def test_alpha_never_leaves_its_range_and_stays_constant_where_it_is():
    picture = np.zeros((9, 9, 2), np.uint8)
    picture[3:6, 3:6, 1] = 200
    alpha = bicubic(picture)[:, :, 1]
    assert (alpha.min(), alpha.max()) == (0, 200)
    assert (bicubic(np.full((2, 3, 2), 65534, np.uint16))[:, :, 1] == 65534).all()


@pytest.mark.parametrize(("dtype", "factor"), [(">u2", 257.0), (">f8", 1 / 255)])
def test_the_order_of_bytes_does_not_matter(astronaut, dtype, factor):
    picture = (astronaut[:12, :12] * factor).astype(dtype)
    big = bicubic(picture)
    assert big.dtype == dtype
    np.testing.assert_array_equal(big, bicubic(picture.astype(dtype[1:])))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4, 5)), "expected"),
        (np.zeros(4), "expected"),
        (np.zeros((0, 4)), "expected"),
        (np.ma.ones((4, 4)), "a masked array would lose its mask"),
        (np.zeros((4, 4), int), "expected uint8, uint16 or floats"),
        (np.array([[0, 1e39]]), r"float64 values up to 1e\+39 are too close"),
        (np.full((4, 4), -6e4, "f2"), "float16 values up to 60000 are too close"),
        ([[0.5]], r"PIL image, a numpy array .* got list"),
        (torch.zeros(3, 8, 8), r"torch tensor; give tensor\.permute\(1, 2, 0\)"),
    ],
)
def test_what_is_no_picture_is_refused(picture, message):
    with pytest.raises(UsageError, match=message):
        bicubic(picture)


def test_a_model_is_named_by_a_text_or_a_path():
    file = weights_path("rrlfn", 2)
    picture = np.zeros((8, 9), np.uint8)
    assert np.array_equal(
        srcli.upscale(picture, file), srcli.upscale(picture, str(file))
    )
    network: Any = srcli.load_model(file)
    assert network.scale == 2
    for call in (srcli.load_model, partial(srcli.upscale, picture)):
        with pytest.raises(
            UsageError, match=r"expected the name of a model .* got RRLFN"
        ):
            call(network)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "precision='int8': give one of auto, fp32, bf16, fp16"),
        ({"tile": 0}, "tile=0: give None or a whole number from 1"),
        ({"overlap": -1}, "overlap=-1: give None or a whole number from 0"),
        ({"scale": 2.5}, "scale=2.5: give None or a whole number from 1"),
        ({"scale": float("nan")}, "scale=nan"),
        ({"strength": "0.5"}, "strength='0.5': give a number from 0 to 1"),
        ({"denoise": None}, "denoise=None: give a number from 0 to 1"),
        ({"device": None}, "device='None': give auto, cpu"),
        ({"model": ""}, "no model ''; give one"),
        ({"strength": np.ones(2)}, "strength=.*: give a number from 0 to 1"),
        ({"value_range": [255]}, r"value_range=\[255\]: give None or a whole number"),
        ({"tta": "no"}, "tta='no': give True or False"),
        ({"keep_hidden": np.ones(2)}, "keep_hidden=.*: give True or False"),
        ({"disk_check": "no"}, "disk_check='no': give True or False"),
        ({"progress": "bar"}, "progress='bar': give True or False, or a function"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(astronaut, options, message):
    options = {"model": "bicubic", **options}
    with pytest.raises((UsageError, ModelError), match=message):
        srcli.upscale(Image.fromarray(astronaut), **options)


def test_whole_numbers_of_any_type_are_taken(astronaut):
    options: dict[str, Any]
    for options in (
        {"scale": 2.0},
        {"scale": np.int64(2)},
    ):
        big = srcli.upscale(astronaut[:9, :9], model="bicubic", **options)
        assert big.shape == (18, 18, 3)


def deep(mode):
    if mode == "I":
        return Image.fromarray(RAMP.astype(np.int32))
    raw = RAMP.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    return Image.frombytes(mode, (4, 3), raw)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16N", "I"])
def test_modes_of_sixteen_bits_keep_their_values(mode):
    big = bicubic(deep(mode))
    assert big.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(big), bicubic(RAMP))


def test_images_that_cannot_be_are_refused():
    clear = deep("I;16")
    odd = Image.new("RGB", (4, 4))
    clear.info["transparency"] = 5000
    odd.info["transparency"] = "red"
    for image, message in (
        (Image.fromarray(np.array([[0, -1]], np.int32)), "I with values"),
        (Image.fromarray(np.array([[0, 65536]], np.int32)), "I with values"),
        (clear, r"I;16 with a transparent value: .*\(H, W, 2\)"),
        (odd, "mode RGB: cannot be read or converted"),
        (Image.open(BytesIO(b"P5 4 4 255 ")), "file is truncated"),
        (Image.new("RGB", (0, 4)), "0x4: there are no pixels"),
    ):
        with pytest.raises(UsageError, match=message):
            bicubic(image)


@pytest.mark.parametrize(
    ("mode", "colour", "result"),
    [("L", 7, "LA"), ("RGB", (7, 8, 9), "RGBA"), ("1", 0, "LA")],
)
def test_a_transparent_colour_becomes_alpha(mode, colour, result):
    image = Image.new(mode, (8, 8), 1 if mode == "1" else "white")
    image.paste(colour, (0, 0, 4, 8))
    image.info["transparency"] = colour
    big = bicubic(image)
    assert big.mode == result
    alpha = np.asarray(big)[:, :, -1]
    assert (alpha[:, :4] == 0).all()
    assert (alpha[:, -4:] == 255).all()
    assert "transparency" in image.info


def test_transparency_of_palettes_becomes_alpha():
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3, 0] * 2, "RGBA")
    assert np.asarray(bicubic(image))[0, 0, 3] == 0
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3] * 2)
    image.info["transparency"] = 0
    assert np.asarray(bicubic(image))[0, 0, 3] == 0


@pytest.mark.parametrize(("mode", "result"), [("RGBa", "RGBA"), ("La", "LA")])
def test_colours_multiplied_by_alpha_are_divided_again(mode, result):
    straight = Image.new(
        result, (6, 6), (200, 100, 50, 128) if result == "RGBA" else (200, 128)
    )
    big = bicubic(straight.convert(mode))
    assert big.mode == result
    expected = np.asarray(straight).astype(int)
    assert np.abs(np.asarray(big)[::2, ::2].astype(int) - expected).max() <= 2


def test_the_profile_and_the_resolution_stay_where_they_fit(astronaut):
    image = Image.fromarray(astronaut[:8, :8])
    image.info |= {"icc_profile": SRGB, "dpi": (300, 200), "exif": b"Exif\0\0"}
    assert bicubic(image).info == {"icc_profile": SRGB, "dpi": (300, 200)}
    palette = image.quantize(16)
    palette.info["icc_profile"] = SRGB
    assert bicubic(palette).info["icc_profile"] == SRGB
    for mode in ("CMYK", "L"):
        plain = Image.new(mode, (4, 4))
        profile = b"\0" * 16 + (b"CMYK" if mode == "CMYK" else b"RGB ") + b"\0" * 8
        plain.info |= {"icc_profile": profile, "dpi": (72, 72)}
        assert bicubic(plain).info == {"dpi": (72, 72)}


def test_a_path_gives_an_upright_image_with_its_profile(tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "a.png"
    picture = np.ascontiguousarray(astronaut[:20, :30])
    Image.fromarray(picture).save(file, exif=exif, icc_profile=SRGB, dpi=(300, 300))
    big = bicubic(str(file))
    assert big.info["icc_profile"] == SRGB
    assert round(big.info["dpi"][0]) == 300
    np.testing.assert_array_equal(np.asarray(big), bicubic(np.rot90(picture, -1)))
    with pytest.raises(PictureError, match="null"):
        bicubic(tmp_path / "none\0.png")
    deep = tmp_path / "deep.tif"
    tifffile.imwrite(deep, astronaut.astype(np.uint16) * 257, photometric="rgb")
    with pytest.raises(
        PictureError, match=r"deep\.tif: PIL has no mode for 3 channels of uint16"
    ):
        bicubic(deep)


def test_progress_is_told_by_fractions_and_as_a_bar(astronaut, capsys):
    told: list[float] = []
    bicubic(astronaut, tile=64, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 3
    assert capsys.readouterr().err == ""
    bicubic(astronaut, tile=64, progress=True)
    bar = capsys.readouterr().err
    assert bar.endswith(f"[{'#' * 40}] 100%\n")
    assert bar.count("\n") == 1
    with pytest.raises(ZeroDivisionError):  # the caller's own, to end the call
        bicubic(astronaut, tile=64, progress=lambda _: 1 / 0)


def test_what_a_program_around_sets_neither_matters_nor_changes(astronaut):
    results: list[Any] = []
    for dtype in (torch.float32, torch.float64):
        _kept_pool.cache_clear()
        with ExitStack() as around:
            around.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(dtype)
            around.enter_context(torch.device("meta" if results else "cpu"))
            around.enter_context(torch.inference_mode(mode=bool(results)))
            around.enter_context(
                torch.autocast("cpu", torch.bfloat16, enabled=bool(results))
            )
            before = torch.random.get_rng_state()
            results.append(srcli.upscale(astronaut[:20, :20], "nested-attn", 2))
            weight = next(srcli.load_model("rrlfn", 2).parameters())
            assert torch.equal(torch.random.get_rng_state(), before)
            assert torch.get_default_dtype() == dtype
            assert (weight.dtype, weight.is_meta, weight.is_inference()) == (
                torch.float32,
                0,
                0,
            )
    np.testing.assert_array_equal(*results)


def test_random_numbers_drawn_meanwhile_do_not_come_again(astronaut):
    drawn: set[float] = set()
    for _ in range(2):
        bicubic(astronaut[:8, :8], progress=lambda _: drawn.add(torch.rand(1).item()))
    assert len(drawn) == 2


def test_weights_that_were_trained_on_are_loaded_again(tmp_path, astronaut):
    options = {"channels": 8, "num_blocks": 1, "num_groups": 1}
    info = WeightsInfo(model="g-idrn", scale=2, network=options)
    results = []
    for seed in range(2):
        torch.manual_seed(seed)
        network = build_network("g-idrn", scale=2, options=options)
        save_weights(tmp_path / "best.safetensors", network.state_dict(), info)
        results.append(
            srcli.upscale(astronaut[:9, :9], str(tmp_path / "best.safetensors"), 2)
        )
    assert (results[0] != results[1]).any()


@pytest.mark.slow
@pytest.mark.posix
def test_processes_that_are_forked_while_a_thread_upscales_do_so_too():
    code = (
        "import numpy, os, signal, srcli, threading, time\n"
        "def go(): srcli.upscale(numpy.zeros((90, 90, 3), 'u1'), 'rrlfn', 2)\n"
        "def go_on():\n"
        "    while True: go()\n"
        "go()\n"
        "threading.Thread(target=go_on, daemon=True).start()\n"
        "time.sleep(0.5)\n"
        "child = os.fork()\n"
        "child or (signal.alarm(60), go(), os._exit(0))\n"
        "os._exit(os.waitpid(child, 0)[1])"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, timeout=120
    )


def test_without_a_model_it_is_that_of_the_command(srx, tmp_path, astronaut):
    path = tmp_path / "a.jpg"
    Image.fromarray(astronaut[:70, :90]).save(path, quality=50)
    srx("upscale", path, tmp_path / "a.png", "-s 2", code=0)
    larger = np.asarray(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(srcli.upscale(path, scale=2), larger)
    with Image.open(path) as image:
        np.testing.assert_array_equal(srcli.upscale(image, scale=2), larger)
        pixels = np.asarray(image)
    by_pixels = srcli.upscale(pixels, "auto", 2)
    np.testing.assert_array_equal(srcli.upscale(pixels, scale=2), by_pixels)
