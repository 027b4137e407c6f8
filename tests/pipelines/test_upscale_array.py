"""`srcli.upscale`: numpy and PIL in, the same kind out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import srcli
from srcli.errors import ModelError, UsageError


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
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

    exact = srcli.upscale(astronaut, scale=2, precision="fp32")
    fast = srcli.upscale(astronaut, scale=2, precision="auto")
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
