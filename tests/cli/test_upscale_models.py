"""`srx upscale`: what scales, models, strength, denoising and averaging make of pictures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import rasterio
from PIL import Image

import srcli
from srcli.imaging.pixels.resize import mod_crop, resize
from srcli.metrics.fidelity import psnr
from srcli.models import build_network
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from tests.fixtures.photographs import PLACE, write_by_gdal


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


@pytest.mark.parametrize("size", [(1, 1), (37, 1), (2, 15)])
def test_tiny_pictures(srx, tmp_path, size):
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "t.png")
    srx("upscale", tmp_path / "t.png", tmp_path / "o.png", "-s 3", code=0)
    big = np.asarray(Image.open(tmp_path / "o.png")).astype(int)
    assert big.shape == (size[1] * 3, size[0] * 3, 3)
    assert np.abs(big - (10, 200, 30)).max() <= 12


def test_self_ensemble_changes_the_result_a_little(srx, tmp_path, astronaut):
    Image.fromarray(astronaut[:20, :24]).save(tmp_path / "a.png")
    out = tmp_path / "out.png"
    srx("upscale", tmp_path / "a.png", out, "-s 2", code=0)
    plain = np.asarray(Image.open(out), int)
    srx("upscale", tmp_path / "a.png", out, "-s 2 --tta --overwrite", code=0)
    assert 0 < np.abs(plain - np.asarray(Image.open(out), int)).mean() < 3


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
        pixels_made = np.asarray(Image.open(out)).astype(float)
        apart.append(
            np.abs(resize(pixels_made, Fraction(1, 4)) - np.asarray(picture)).mean()
        )
    assert apart[1] < 0.4 * apart[0]


def test_strength_goes_from_the_faithful_to_the_crisp_model(srx, tmp_path, astronaut):
    source = tmp_path / "a.jpg"
    Image.fromarray(astronaut[:32, :36]).save(source, quality=30)

    def enlarged(model, *options):
        out = tmp_path / "out.png"
        messages = srx("upscale", source, out, "-s 4 -m", model, *options, code=0).err
        return np.asarray(Image.open(out), int), messages

    photo = enlarged("g-idrn-photo")[0]
    crisp = enlarged("g-idrn-photo-crisp")[0]
    assert (photo != crisp).any()
    for strength, expected in (("0", photo), ("1", crisp)):
        result_pixels, _ = enlarged("g-idrn-photo", "--strength", strength)
        np.testing.assert_array_equal(result_pixels, expected)
    apart = []
    for strength in ("0.3", "0.7"):
        result_pixels, messages = enlarged("g-idrn-photo", "--strength", strength)
        assert "made with other options" in messages
        apart.append(np.abs(result_pixels - photo).mean())
    assert 0 < apart[0] < apart[1] < np.abs(crisp - photo).mean()
    assert "made with" not in enlarged("g-idrn-photo", "--strength", "0.7")[1]
    np.testing.assert_array_equal(enlarged("auto")[0], crisp)
    with Image.open(tmp_path / "out.png") as out:
        assert ", auto, strength 1, " in out.info["Software"]
    told = enlarged("auto", "-v", "--overwrite")[1]
    assert "(g-idrn-photo at strength 1 as saved, " in told
    np.testing.assert_array_equal(np.asarray(srcli.upscale(source, "auto")), crisp)
    np.testing.assert_array_equal(enlarged("auto", "--strength", "0")[0], photo)


def test_rasters_take_any_scale_that_a_file_has(srx, tmp_path, astronaut):
    network = build_network("fsrcnn", scale=8)
    weights = tmp_path / "x8.safetensors"
    save_weights(weights, network.state_dict(), WeightsInfo(model="fsrcnn", scale=8))
    write_by_gdal(tmp_path / "a.tif", astronaut[:30, :20], **PLACE)
    srx("upscale", tmp_path / "a.tif", tmp_path / "b.tif", "-s 8 -m", weights,
        "--value-range 1", code=0)  # fmt: skip
    with rasterio.open(tmp_path / "b.tif") as raster:
        assert (raster.height, raster.width) == (240, 160)


def test_a_scale_that_a_model_lacks_is_made_from_a_larger_one(srx, tmp_path, astronaut):
    source = tmp_path / "a.jpg"
    out = tmp_path / "out.png"
    Image.fromarray(astronaut[:24, :20]).save(source, quality=30)
    pixels_made = []
    for scale in (4, 2):
        srx("upscale", source, out, "-m attentive-gan -s", scale, "--overwrite", code=0)
        pixels_made.append(np.asarray(Image.open(out)))
    enlarged_image, half = pixels_made
    assert half.shape == (48, 40, 3)
    assert np.abs(half - resize(enlarged_image, Fraction(1, 2))).max() <= 1
    in_python = srcli.upscale(source, "attentive-gan", 2)
    np.testing.assert_array_equal(half, np.asarray(in_python))
    srx("compare", source, tmp_path / "sheet.png", "-m attentive-gan -s 2", code=0)


def test_python_chooses_models_and_makes_scales_in_two_passes_as_the_command_does(
    srx, tmp_path, astronaut
):
    fine = tmp_path / "fine.jpg"  # by its pixels it is clean
    Image.fromarray(astronaut[:48, :40]).save(fine, quality=98)
    srx("upscale", fine, tmp_path / "fine.png", "-s 2", code=0)
    for input_picture in (fine, Image.open(fine)):
        pixels_made = np.asarray(srcli.upscale(input_picture, "auto", 2))
        np.testing.assert_array_equal(
            pixels_made, np.asarray(Image.open(tmp_path / "fine.png"))
        )
    grain = (
        np.random.default_rng(0)
        .normal(128, 20, (20, 24, 3))
        .clip(0, 255)
        .astype(np.uint8)
    )
    Image.fromarray(grain).save(tmp_path / "a.png")
    srx("upscale", tmp_path / "a.png", tmp_path / "b.png", "-s 5", code=0)
    told: list[float] = []
    pixels_made = srcli.upscale(grain, "auto", 5, progress=told.append)
    np.testing.assert_array_equal(
        pixels_made, np.asarray(Image.open(tmp_path / "b.png"))
    )
    first_pass, both = told
    assert pixels_made.shape == (100, 120, 3)
    assert 0.05 < first_pass < 0.25  # the second has several times the pixels
    assert both == 1
    with pytest.raises(srcli.errors.UsageError, match="scale=17: give 1 to 16"):
        srcli.upscale(grain, scale=17)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--strength 2", "0<=x<=1"),
        ("--strength 0.5 -m rrlfn", "--strength changes g-idrn-photo alone"),
        ("--denoise 1.5", "0<=x<=1"),
        ("--denoise 0.5 --back-project", "drop --denoise"),
    ],
)
def test_strength_and_denoise_are_refused_where_it_means_nothing(
    srx, tmp_path, options, words
):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    assert (
        words
        in srx(
            "upscale", tmp_path / "a.png", tmp_path / "out", *options.split(), code=2
        ).err
    )


@pytest.mark.parametrize("name", ["grain.png", "grain.tif"])
def test_denoise_gives_grain_back_as_soft_as_interpolation_makes_it(
    srx, tmp_path, name
):
    grain = np.random.default_rng(0).normal(0, 10, (32, 32, 3))
    source = tmp_path / name
    out = tmp_path / f"out-{name}"
    Image.fromarray((128 + grain).round().astype(np.uint8)).save(source)

    def enlarged(*options):
        messages = srx(
            "upscale", source, out, "-s 4 -m g-idrn-photo", *options, code=0
        ).err
        return np.asarray(Image.open(out), float), messages

    plain, _ = enlarged()
    np.testing.assert_array_equal(enlarged("--denoise", "1", "--overwrite")[0], plain)
    soft = resize(np.asarray(Image.open(source), float), 4)
    spreads = []
    alike = []
    for share in ("0.5", "0"):
        result_pixels, messages = enlarged("--denoise", share)
        assert "made with other options" in messages
        spreads.append(result_pixels.std())
        alike.append(
            np.corrcoef((result_pixels - plain).ravel(), (soft - plain).ravel())[0, 1]
        )
    assert plain.std() < 0.5 * spreads[1]
    assert plain.std() < spreads[0] < spreads[1] < 1.1 * soft.std()
    assert min(alike) > 0.9


@pytest.mark.parametrize("option", ["strength", "denoise"])
def test_a_share_beyond_one_is_refused_in_python_too(option):
    with pytest.raises(srcli.errors.UsageError, match=f"{option}=1.5"):
        srcli.upscale(np.zeros((8, 8, 3), np.uint8), **{option: 1.5})
