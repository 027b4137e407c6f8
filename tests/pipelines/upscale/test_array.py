"""`srcli.upscale`: numpy and PIL in, the same kind out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

import srcli
from srcli.errors import ModelError, PictureError, UsageError

RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [(np.uint8, 3), (np.uint8, 4), (np.uint16, None), (np.uint16, 2), (np.float32, 3),
     (np.float64, 1)],
)  # fmt: skip
def test_arrays_keep_kind_type_and_channels(astronaut, dtype, channels):
    picture = np.concatenate([astronaut, astronaut[..., :1] * 0 + 255], axis=2)[:20, :30]
    if np.issubdtype(dtype, np.floating):
        picture = (picture / 255).astype(dtype)
    else:
        picture = picture.astype(dtype) * (np.iinfo(dtype).max // 255)
    pick = {None: picture[..., 0], 1: picture[..., :1], 2: picture[..., [0, 3]]}
    picture = pick.get(channels, picture[..., :channels])
    before = picture.copy()
    big = srcli.upscale(picture, model="g-idrn", scale=2)
    assert big.dtype == picture.dtype
    assert big.shape == (40, 60, *picture.shape[2:])
    np.testing.assert_array_equal(picture, before)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    small = big[::2, ::2].astype(float) / top
    assert np.abs(small - picture.astype(float) / top).mean() < 0.06


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGB", "RGB"), ("RGBA", "RGBA"), ("L", "L"), ("LA", "LA"), ("1", "L"), ("P", "RGB")],
)
def test_pil_images_keep_their_mode(astronaut, mode, expected):
    image = Image.fromarray(astronaut[:16, :18]).convert(mode)
    big = srcli.upscale(image, model="bicubic", scale=3)
    assert big.mode == expected
    assert big.size == (54, 48)


def test_eight_and_sixteen_bits_agree(astronaut):
    eight = srcli.upscale(astronaut[:32, :32], scale=2, precision="fp32")
    sixteen = srcli.upscale(astronaut[:32, :32].astype(np.uint16) * 257, scale=2)
    assert np.abs(sixteen / 257 - eight).max() < 0.51


def test_half_precision_is_harmless(astronaut):
    from srcli.metrics.fidelity import psnr

    picture = astronaut[:64, :80]
    exact = srcli.upscale(picture, scale=2, precision="fp32")
    fast = srcli.upscale(picture, scale=2, precision="auto")
    assert psnr(fast, exact) > 45


def test_floats_that_are_not_finite_stay_so(astronaut):
    picture = (astronaut[:20, :20] / 255).astype(np.float32)
    picture[5, 6] = np.nan
    big = srcli.upscale(picture, model="bicubic", scale=2)
    assert np.isnan(big[10:12, 12:14]).all()
    assert np.isfinite(big).sum() == big.size - 4 * 3


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4, 5), np.uint8), np.zeros(4), np.zeros((0, 4)), np.zeros((4, 4), int)]
)
def test_arrays_that_are_no_pictures_are_refused(picture):
    with pytest.raises(UsageError, match="expected"):
        srcli.upscale(picture, model="bicubic")


def test_an_unknown_model_is_refused(astronaut):
    with pytest.raises(ModelError, match="there are: g-idrn"):
        srcli.upscale(astronaut, model="esrgan")


@pytest.mark.parametrize("kind", [">u2", ">f4", ">f8"])
def test_the_order_of_bytes_does_not_matter(astronaut, kind):
    picture = astronaut[:12, :12].astype(kind)
    picture = picture * 257 if kind == ">u2" else picture / 255
    picture = picture.astype(kind)
    big = srcli.upscale(picture, model="bicubic", scale=2)
    native = srcli.upscale(picture.astype(kind[1:]), model="bicubic", scale=2)
    assert big.dtype == kind
    np.testing.assert_array_equal(big, native)


@pytest.mark.parametrize("values", [(0, 1e39), (-1e300, 0), (-3e38, 3e38)])
def test_floats_that_32_bits_cannot_hold_are_refused(values):
    picture = np.zeros((6, 6))
    picture[0, :2] = values
    with pytest.raises(UsageError, match="beyond what 32-bit floats hold"):
        srcli.upscale(picture, model="bicubic")


def test_large_floats_that_fit_are_taken():
    picture = np.zeros((6, 6))
    picture[:, 3:] = 3e38
    big = srcli.upscale(picture, model="bicubic", scale=2)
    assert np.isfinite(big).all()
    assert big.max() > 2.9e38


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "precision='int8': give one of auto, fp32, bf16, fp16"),
        ({"tile": 0}, "tile=0: give None or a whole number from 1"),
        ({"tile": 64.5}, "tile=64.5"),
        ({"overlap": -1}, "overlap=-1: give None or a whole number from 0"),
        ({"scale": 2.5}, "scale=2.5: give 2, 3 or 4"),
        ({"scale": "4"}, "scale='4'"),
        ({"scale": float("nan")}, "scale=nan"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(astronaut, options, message):
    with pytest.raises(UsageError, match=message):
        srcli.upscale(Image.fromarray(astronaut), model="bicubic", **options)


def test_whole_numbers_of_any_type_are_taken(astronaut):
    options: dict[str, Any]
    for options in ({"scale": 2.0, "tile": 32.0}, {"scale": np.int64(2), "overlap": np.uint8(8)}):
        big = srcli.upscale(astronaut[:9, :9], model="bicubic", **options)
        assert big.shape == (18, 18, 3)


def test_tensors_and_lists_are_refused_with_what_to_give():
    import torch

    with pytest.raises(UsageError, match=r"torch tensor; give tensor\.permute\(1, 2, 0\)"):
        srcli.upscale(torch.zeros(3, 8, 8), model="bicubic")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"a PIL image or a numpy array .* got list"):
        srcli.upscale([[0.5]], model="bicubic")  # type: ignore[call-overload]


def test_what_lies_beyond_a_picture_is_missed_little_at_its_edges(astronaut):
    """Beside a crop surrounded by its outermost pixels, as other programs surround it."""
    options: dict[str, Any] = {"model": "g-idrn", "scale": 2, "precision": "fp32"}
    picture = astronaut[:104, 30:144]
    whole = srcli.upscale(picture, **options).astype(float)
    mirrored, repeated = [], []
    for top, left in [(20, 10), (50, 50)]:
        crop = picture[top : top + 50, left : left + 60]
        wanted = whole[2 * top : 2 * top + 100, 2 * left : 2 * left + 120]
        got = srcli.upscale(crop, **options)
        around = np.pad(crop, ((4, 4), (4, 4), (0, 0)), mode="edge")
        padded = srcli.upscale(around, **options)[8:-8, 8:-8]
        assert got.shape == padded.shape == wanted.shape
        frame = np.ones(wanted.shape, bool)
        frame[4:-4, 4:-4] = False
        mirrored.append(np.abs(got - wanted)[frame].mean())
        repeated.append(np.abs(padded - wanted)[frame].mean())
    assert np.mean(mirrored) < 0.8 * np.mean(repeated), (mirrored, repeated)


def deep(mode):
    if mode == "I":
        return Image.fromarray(RAMP.astype(np.int32))
    raw = RAMP.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    return Image.frombytes(mode, (4, 3), raw)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I;16N", "I"])
def test_modes_of_sixteen_bits_keep_their_values(mode):
    big = srcli.upscale(deep(mode), model="bicubic", scale=2)
    assert big.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(big), srcli.upscale(RAMP, model="bicubic", scale=2))


@pytest.mark.parametrize("value", [-1, 65536])
def test_mode_i_with_other_values_is_refused(value):
    image = Image.fromarray(np.array([[0, value]], np.int32))
    with pytest.raises(UsageError, match=rf"mode I with values .*{value}.* 0 to 65535"):
        srcli.upscale(image, model="bicubic")


@pytest.mark.parametrize(
    ("mode", "colour", "result"), [("L", 7, "LA"), ("RGB", (7, 8, 9), "RGBA"), ("1", 0, "LA")]
)
def test_a_transparent_colour_becomes_alpha(mode, colour, result):
    image = Image.new(mode, (8, 8), 1 if mode == "1" else "white")
    image.paste(colour, (0, 0, 4, 8))
    image.info["transparency"] = colour
    big = srcli.upscale(image, model="bicubic", scale=2)
    assert big.mode == result
    alpha = np.asarray(big)[:, :, -1]
    assert (alpha[:, :4] == 0).all()
    assert (alpha[:, -4:] == 255).all()
    assert "transparency" in image.info


def test_transparency_of_palettes_becomes_alpha():
    def first(image):
        return np.asarray(srcli.upscale(image, model="bicubic", scale=2))[0, 0].tolist()

    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3, 0] * 2, "RGBA")
    assert first(image)[3] == 0
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3] * 2)
    assert first(image) == [1, 2, 3]
    image.info["transparency"] = 0
    assert first(image)[3] == 0


def test_a_transparent_value_of_sixteen_bits_is_refused():
    image = deep("I;16")
    image.info["transparency"] = 5000
    with pytest.raises(UsageError, match=r"I;16 with a transparent value: .*\(H, W, 2\)"):
        srcli.upscale(image, model="bicubic")


@pytest.mark.parametrize(("mode", "result"), [("RGBa", "RGBA"), ("La", "LA")])
def test_colours_multiplied_by_alpha_are_divided_again(mode, result):
    straight = Image.new(result, (6, 6), (200, 100, 50, 128) if result == "RGBA" else (200, 128))
    big = srcli.upscale(straight.convert(mode), model="bicubic", scale=2)
    assert big.mode == result
    expected = np.asarray(straight).astype(int)
    assert np.abs(np.asarray(big)[::2, ::2].astype(int) - expected).max() <= 2


def test_the_profile_and_the_resolution_stay(astronaut):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(astronaut[:8, :8])
    image.info |= {"icc_profile": profile, "dpi": (300, 200), "exif": b"Exif\0\0"}
    big = srcli.upscale(image, model="bicubic", scale=2)
    assert big.info == {"icc_profile": profile, "dpi": (300, 200)}
    palette = image.quantize(16)
    palette.info["icc_profile"] = profile
    assert srcli.upscale(palette, model="bicubic", scale=2).info["icc_profile"] == profile


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_profile_of_other_colours_does_not_stay(mode):
    profile = b"\0" * 16 + (b"CMYK" if mode == "CMYK" else b"RGB ") + b"\0" * 8
    image = Image.new(mode, (4, 4))
    image.info |= {"icc_profile": profile, "dpi": (72, 72)}
    assert srcli.upscale(image, model="bicubic", scale=2).info == {"dpi": (72, 72)}


def test_what_pillow_cannot_convert_is_refused():
    image = Image.new("RGB", (4, 4))
    image.info["transparency"] = "red"
    with pytest.raises(UsageError, match="mode RGB: cannot be converted"):
        srcli.upscale(image, model="bicubic", scale=2)


def test_a_path_gives_an_upright_image_with_its_profile(tmp_path, astronaut):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "a.png"
    picture = np.ascontiguousarray(astronaut[:20, :30])
    Image.fromarray(picture).save(file, exif=exif, icc_profile=profile, dpi=(300, 300))
    big = srcli.upscale(str(file), model="bicubic", scale=2)
    assert big.info["icc_profile"] == profile
    assert round(big.info["dpi"][0]) == 300
    expected = srcli.upscale(np.rot90(picture, -1), model="bicubic", scale=2)
    np.testing.assert_array_equal(np.asarray(big), expected)
    with pytest.raises(PictureError, match=r"none\.png: no such file"):
        srcli.upscale(tmp_path / "none.png", model="bicubic")


def test_a_file_that_pil_has_no_mode_for_is_refused(tmp_path, astronaut):
    file = tmp_path / "deep.tif"
    tifffile.imwrite(file, astronaut.astype(np.uint16) * 257, photometric="rgb")
    with pytest.raises(PictureError, match=r"deep\.tif: PIL has no mode for 3 channels of uint16"):
        srcli.upscale(file, model="bicubic")


def test_progress_is_told_by_fractions_and_as_a_bar(astronaut, capsys):
    told: list[float] = []
    srcli.upscale(astronaut, model="bicubic", scale=2, tile=64, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 3
    assert capsys.readouterr().err == ""
    srcli.upscale(astronaut, model="bicubic", scale=2, tile=64, progress=True)
    bar = capsys.readouterr().err
    assert bar.endswith(f"[{'#' * 40}] 100%\n")
    assert bar.count("\n") == 1
