"""16-bit pictures are measured and trained on with all of their values."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srcli.data.degrading import degrade
from srcli.data.patches import PatchSampler
from srcli.data.pictures import PictureRef, decode, find_pictures
from srcli.data.training_set import DataSelection, PictureStore
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import write_photograph
from srcli.imaging.pixels.resize import downscale, resize
from srcli.imaging.pixels.values import luma
from srcli.pipelines.train.data import load_data
from srcli.ports import Progress
from srcli.recipes.degradation import BICUBIC
from srcli.recipes.training import Stage
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.trainings import make_pairs


@pytest.fixture
def deep(astronaut):
    """A photograph that 8 bits cannot hold: dark, with values between their steps."""
    noise = np.random.default_rng(0).integers(0, 257, astronaut.shape)
    return (astronaut.astype(int) * 257 // 16 + noise).astype(np.uint16)


@pytest.fixture
def folder(tmp_path, deep):
    folder = tmp_path / "set"
    folder.mkdir()
    write_photograph(folder / "a.png", Photograph(pixels=deep), fmt="png")
    write_photograph(folder / "b.tif", Photograph(pixels=deep[::-1]), fmt="tif")
    write_photograph(folder / "gray.png", Photograph(pixels=deep[..., :1]), fmt="png")
    return folder


@pytest.mark.parametrize("protocol", ["y", "rgb"])
def test_scores_are_those_of_scikit_image_for_a_range_of_65535(
    srx, folder, deep, protocol
):
    options = f"--protocol {protocol} --no-cost --json - --save-images sr"
    result = srx("eval -m bicubic -s 2 --data set", options)
    scores = json.loads(result.out)["pictures"]
    assert [score["picture"] for score in scores] == ["a", "b", "gray"]
    for score, hr in zip(
        scores, (deep, deep[::-1], deep[..., :1].repeat(3, 2)), strict=True
    ):
        sr = resize(downscale(hr, 2), 2)
        file = Path("sr/x2/set/bicubic", f"{score['picture']}.png")
        saved = read_photograph(file).pixels
        assert np.array_equal(np.broadcast_to(saved, sr.shape), sr)
        planes = [image[2:-2, 2:-2] for image in (sr, hr)]
        if protocol == "y":
            planes = [luma(image) * 257 for image in planes]
        assert score["psnr"] == pytest.approx(
            peak_signal_noise_ratio(*planes, data_range=65535), abs=1e-9
        )
        expected = structural_similarity(
            *(image.astype(float) for image in planes),
            data_range=65535,
            gaussian_weights=True,
            use_sample_covariance=False,
            channel_axis=2 if protocol == "rgb" else None,
        )
        # which also counts the border
        assert score["ssim"] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("kernel", ["bicubic-pillow", "lanczos", "box", "blur-down"])
def test_every_kernel_and_metric_takes_them_as_it_takes_8_bits(
    srx, tmp_path, astronaut, kernel
):
    scores = []
    for name, pixels in (("8", astronaut), ("16", astronaut * np.uint16(257))):
        (tmp_path / name).mkdir()
        write_photograph(
            tmp_path / name / "a.png", Photograph(pixels=pixels), fmt="png"
        )
        command = f"eval -m bicubic -s 2 --data {name} --kernel {kernel}"
        metrics = "--metrics psnr,ssim,ifc,consistency,low,high --no-cost --json -"
        result = srx(command, metrics, "--html page.html --jpeg 90")
        scores.append(json.loads(result.out)["pictures"][0])
    for metric in ("psnr", "ssim", "ifc", "consistency", "low", "high"):
        assert scores[0][metric] == pytest.approx(scores[1][metric], rel=1e-2)


def test_the_chain_on_luma_refuses_them(srx, folder):
    words = ("-s", "2", "--data", folder, "--chain", "luma-float")
    result = srx("eval -m bicubic", *words, code=2)
    assert "a.png: a 16-bit picture; --chain luma-float compares 8 bits" in result.err


def test_they_are_decoded_and_stored_as_they_are(folder, tmp_path, deep):
    shard = tmp_path / "shard.zip"
    with zipfile.ZipFile(shard, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    store = PictureStore(0, tmp_path)
    for location in (folder, shard):
        a, b, gray = (store.keep(decode(ref)) for ref in find_pictures([location]))
        assert np.array_equal(a, deep)
        assert np.array_equal(b, deep[::-1])
        assert np.array_equal(gray, deep[..., :1].repeat(3, 2))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_pngs_are_read_without_their_alpha(deep, count):
    values = np.concatenate([deep, deep[..., :1]], axis=2)[..., :count]
    write_by_gdal(Path("a.png"), values, driver="PNG")
    expected = values
    if count < 3:
        expected = values[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(
        decode(PictureRef(path=Path("a.png"))), expected[..., :3]
    )


def test_a_tiff_is_turned_upright_as_one_of_8_bits(deep):
    turned = [(274, "H", 1, 6, True)]
    tifffile.imwrite("a.tif", deep[:90], photometric="rgb", extratags=turned)
    upright = read_photograph(Path("a.tif")).pixels
    assert upright.shape == (deep.shape[1], 90, 3)
    np.testing.assert_array_equal(decode(PictureRef(path=Path("a.tif"))), upright)


def test_their_values_are_trained_on_beside_8_bit_pictures(folder, deep, astronaut):
    data = load_data(DataSelection(data=(folder,), hold_out=()), 2, BICUBIC, Progress())
    assert {image.dtype for image in (*data.train.hr, *data.train.lr)} == {
        np.dtype(np.uint16)
    }
    stage = Stage(batch=64, patch=16, augmentation="none")
    lr, hr = PatchSampler(make_pairs([deep], 2)).batch(0, stage)
    for batch, picture in ((lr, downscale(deep, 2)), (hr, deep)):
        assert set((batch * 65535).round().int().unique().tolist()) <= set(
            picture.ravel().tolist()
        )
    mixed = make_pairs([astronaut, astronaut * np.uint16(257)], 2)
    plain = make_pairs([astronaut, astronaut], 2)
    stage = Stage(batch=64, patch=16, prefer_detail=True)
    _, expected = PatchSampler(plain).batch(0, stage)
    apart = (
        (PatchSampler(mixed).batch(0, stage)[1] - expected).abs().amax(dim=(1, 2, 3))
    )
    assert (
        apart < 1e-6
    ).float().mean() > 0.9  # the detail of a few places is hardly the same


@pytest.mark.parametrize("name", ["bicubic", "photo", "restore"])
def test_degradations_keep_them_where_no_jpeg_has_8_bits(astronaut, name):
    for seed in range(4):
        degraded = degrade(astronaut * np.uint16(257), 2, name, seed=seed)
        plain = degrade(astronaut, 2, name, seed=seed)
        assert degraded.dtype == np.uint16
        assert np.abs(degraded / 257 - plain).mean() < 0.6
