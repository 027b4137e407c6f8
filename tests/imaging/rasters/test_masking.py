from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import rasterio

from srcli.imaging.pixels.resize import resize
from srcli.imaging.rasters import parts
from srcli.imaging.rasters.nodata import nearest_other_value
from srcli.ports import Window
from tests.imaging.rasters.conftest import open_source


@pytest.fixture
def send(plan, write, tmp_path):
    """Write an enlarged image: ``send(path, image, scale=, rows=)``, all 77 without one."""

    def run(path, image=None, *, scale=2, rows=7, **options):
        out = plan(path, scale, **options)
        if image is None:
            image = np.full((out.height, out.width, out.channels), 77, out.dtype)
        before = image.copy()
        write(tmp_path / "out.tif", out, path, image, scale=scale, steps=(rows,))
        np.testing.assert_array_equal(image, before)
        with rasterio.open(tmp_path / "out.tif") as file:
            pixels = np.moveaxis(file.read(), 0, 2)
            mask = file.dataset_mask() > 0
        alpha = pixels[:, :, -1] if out.alpha else None
        return SimpleNamespace(
            image=pixels[:, :, : out.channels], alpha=alpha, mask=mask
        )

    return run


def larger(array, scale):
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("rows", [1, 5, 7, 1000])
def test_nodata_comes_back_pixel_by_pixel(save, noise, send, scale, rows):
    pixels = noise((21, 17, 2), "int16") % 3
    path = save("a.tif", pixels, nodata=1, tiled=True, blockxsize=16, blockysize=16)
    out = send(path, scale=scale, rows=rows)
    np.testing.assert_array_equal(
        out.image, np.where(larger(pixels, scale) == 1, 1, 77)
    )


@pytest.mark.parametrize(
    ("dtype", "nodata", "beside"),
    [
        ("uint8", 0, 1),
        ("uint8", 255, 254),
        ("uint8", 100, 101),
        ("int8", -128, -127),
        ("int8", 0, 1),
        ("int16", -9999, -9998),
        ("int16", 32767, 32766),
        ("uint16", 65535, 65534),
        ("int32", -2147483648, -2147483647),
        ("uint32", 4294967295, 4294967294),
        ("float32", -9999.0, None),
        ("float32", 0.0, None),
        ("float64", 1e20, None),
        ("float32", -3.4028234663852886e38, None),
    ],
)
def test_values_that_happen_to_be_nodata_move_aside(save, send, dtype, nodata, beside):
    pixels = np.full((6, 5), 9, dtype)
    pixels[2, 3] = nodata
    image = np.full((12, 10, 1), nodata, dtype)
    image[::2] = 50
    out = send(save("a.tif", pixels, nodata=nodata), image).image
    hole = larger(pixels == pixels[2, 3], 2)
    assert (out[hole] == np.dtype(dtype).type(nodata)).all()
    np.testing.assert_array_equal(out[::2][~hole[::2]], 50)
    (moved,) = np.unique(out[1::2][~hole[1::2]])
    assert moved == (
        nearest_other_value(np.dtype(dtype), nodata) if beside is None else beside
    )
    assert moved != np.dtype(dtype).type(nodata)


@pytest.mark.parametrize("nodata", [None, float("nan"), -5.0])
def test_floats_that_were_no_number_are_none_again(save, noise, send, nodata):
    pixels = noise((9, 8), "float32")
    pixels[3, 4] = np.nan
    pixels[5, 5] = np.inf
    pixels[6, 1] = -np.inf
    out = send(save("a.tif", pixels, nodata=nodata)).image
    large = larger(pixels, 2)[..., None]
    assert (out[np.isfinite(large)] == 77).all()
    assert np.array_equal(out[np.isinf(large)], large[np.isinf(large)])
    empty = out[np.isnan(large)]
    assert (empty == -5).all() if nodata == -5 else np.isnan(empty).all()


def test_masks_are_enlarged_and_handed_on(save, noise, send):
    mask = noise((21, 17), seed=1) > 99
    path = save("a.tif", noise((21, 17, 3)), then=lambda file: file.write_mask(mask))
    out = send(path, scale=3)
    np.testing.assert_array_equal(out.mask, larger(mask, 3))
    np.testing.assert_array_equal(
        out.image,
        np.broadcast_to(np.where(larger(mask, 3), 77, 0)[..., None], (63, 51, 3)),
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_alpha_is_enlarged_and_handed_on(save, noise, send, dtype):
    pixels = noise((21, 17, 4), dtype)
    pixels[:, :, 3] %= 3
    out = send(save("a.tif", pixels, photometric="RGB", alpha="YES"), scale=3)
    np.testing.assert_array_equal(out.alpha, larger(pixels[:, :, 3], 3))
    assert out.alpha.dtype == dtype
    visible = larger(pixels[:, :, [3]], 3) > 0
    np.testing.assert_array_equal(out.image, np.where(visible, 77, np.zeros(3, dtype)))


def test_alpha_takes_a_mask_in(save, noise, send):
    pixels = noise((12, 11, 4)) // 2 + 9
    mask = noise((12, 11), seed=1) > 99
    path = save(
        "a.tif",
        pixels,
        photometric="RGB",
        alpha="YES",
        then=lambda file: file.write_mask(mask),
    )
    out = send(path)
    np.testing.assert_array_equal(
        out.alpha, larger(np.where(mask, pixels[:, :, 3], 0), 2)
    )


@pytest.mark.parametrize("nodata", [0, 65535])
def test_no_halo_grows_around_holes(save, send, astronaut, nodata):
    """Beyond the filter's reach nothing changes; near a hole far less than with nodata left in."""
    scale = 4
    reach = 3
    clean = astronaut.astype(np.uint16) * 200 + 1000
    hole = np.zeros(clean.shape[:2], bool)
    hole[30:70, 40:90] = True
    hole[100:, 120:] = True
    hole |= np.add.outer(np.arange(128), np.arange(160)) < 40
    dirty = np.where(hole[:, :, None], nodata, clean).astype(np.uint16)
    path = save("a.tif", dirty, nodata=nodata)
    with open_source(path) as source:
        filled = source.read(Window(top=0, left=0, height=128, width=160))

    assert filled is not None
    expected = resize(clean, scale).astype(float)
    left_in = resize(dirty, scale).astype(float)
    out = send(path, resize(filled, scale), scale=scale, rows=50).image
    large = larger(hole, scale)
    assert (out[large] == nodata).all()
    assert (out[~large] != nodata).all()
    out = out.astype(float)
    grown = hole.copy()
    for _ in range(reach):
        grown[1:] |= grown[:-1].copy()
        grown[:-1] |= grown[1:].copy()
        grown[:, 1:] |= grown[:, :-1].copy()
        grown[:, :-1] |= grown[:, 1:].copy()
    far = larger(~grown, scale)
    near = larger(grown & ~hole, scale)
    assert far.any()
    np.testing.assert_allclose(out[far], expected[far], atol=1)
    halo = np.abs(out - expected)[near].mean()
    before = np.abs(left_in - expected)[near].mean()
    assert halo < before / 5
    assert (
        np.abs(out - expected)[near].max() < np.abs(left_in - expected)[near].max() / 2
    )


@pytest.mark.parametrize("sparse", [True, False], ids=["sparse", "stored"])
@pytest.mark.parametrize(
    ("ending", "flips_dtype", "flips_scale"),
    [
        ("tif", False, False),
        ("masked", False, True),
        ("overviews", True, False),
        ("strips", True, True),
    ],
)
def test_columns_without_pixels_are_blank(
    save, noise, send, monkeypatch, ending, flips_dtype, flips_scale, sparse
):
    """As those of a turned scene, of which each part has some columns or none.

    Endings, ways to store, types and scales meet each other in pairs.
    """
    dtype = "uint16" if sparse != flips_dtype else "float32"
    scale = 2 if sparse != flips_scale else 3
    pixels = noise((64, 400, 2), "uint16").astype(dtype) % 50 + 10
    columns = np.arange(400)
    beside = np.abs(columns - 6 * np.arange(64)[:, None]) > 20
    beside[32:48] = True
    pixels[beside] = 8
    if dtype == "float32" and ending != "masked":  # where it has no data
        pixels[0, 300] = np.inf
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": sparse}
    path = save("a.tif", pixels, nodata=8, **options)
    with rasterio.open(path) as file:
        offset = file.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1)
    assert (offset is None) == sparse
    monkeypatch.setattr(parts, "_LEAST_PIXELS", 1)
    monkeypatch.setattr(parts, "_PART_HEIGHT", 16)
    blocks = {"BLOCKXSIZE": "16", "BLOCKYSIZE": "16"}
    if ending == "masked":
        blocks = {**blocks, "DISCARD_LSB": "1"}
    if ending == "strips":
        blocks = {"TILED": "NO"}
    out = send(
        path,
        scale=scale,
        rows=33,
        creation=blocks,
        overviews=ending == "overviews",
    )
    is_empty = larger((pixels == 8).all(axis=2), scale)
    shown = larger(np.where(np.isinf(pixels), pixels, 77), scale)
    assert (out.mask == ~is_empty).all()
    np.testing.assert_allclose(out.image[~is_empty], shown[~is_empty], atol=1)
    assert (out.image[is_empty] == 8).all()
