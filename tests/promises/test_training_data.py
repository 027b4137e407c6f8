"""LR pictures beside HR ones are never taken for HR, in training and in evaluation."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from srcli.data.pictures import PictureRef, decode
from srcli.models.loading import load_model
from tests.fixtures.photographs import PLACE, write_by_gdal

NAMES = ("0801", "0802", "0803", "0804", "0805", "0806")


def write(folder, names, side):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    for name in names:
        blocks = noise.integers(0, 255, (8, 8, 3), np.uint8)
        pixels = blocks.repeat(side // 8, axis=0).repeat(side // 8, axis=1)
        Image.fromarray(pixels).save(folder / f"{name}.png")


@pytest.fixture
def train(srx):
    """Train one iteration of a tiny network."""

    def run(*data, words=("-q",)):
        command = "train srcnn-915 -s 2 --budget 1 --out run --device cpu"
        small = "--set network.channels=4 --set stages.0.patch=8 --set stages.0.batch=1"
        options = [f"--data {path}" for path in data]
        return srx(command, small, *options, *words)

    return run


LAYOUTS = [
    ("HR", "LR_bicubic/X4", NAMES),
    ("HR", "LR_bicubic/X4", [f"{name}x4" for name in NAMES]),
    ("DIV2K_train_HR", "DIV2K_train_LR_mild", NAMES),
    ("GTmod12", "LRbicx4", NAMES),
    ("original", "lr/x3", NAMES),
    ("gt", "LR_x4", NAMES),
    ("hr", "x4", NAMES),
]


@pytest.mark.parametrize(("hr", "lr", "names"), LAYOUTS)
def test_folders_of_lr_pictures_end_the_training_and_the_hr_folder_is_named(
    train, tmp_path, hr, lr, names
):
    data = tmp_path / "data"
    write(data / hr, NAMES, 32)
    write(data / lr, names, 16)
    result = train(data)
    assert result.code == 2
    assert f"6 of 12 pictures lie in folders of LR pictures ({lr})" in result.err
    assert f"would be taken for HR; give {data / hr}\n" in result.err
    assert not Path("run/last.safetensors").exists()
    assert train(data / hr).code == 0


@pytest.mark.parametrize(
    ("hr", "lr"), [("DIV2K_train_HR", "DIV2K_train_LR_bicubic/X2"), ("original", "lr")]
)
def test_lr_pictures_of_the_scale_are_read_as_such(train, tmp_path, hr, lr):
    write(tmp_path / "data" / hr, NAMES, 32)
    write(tmp_path / "data" / lr, NAMES, 16)
    result = train("data", words=())
    assert result.code == 0, result.err
    assert "5 pictures to train on, 1 to validate on" in result.err
    assert "LR pictures are read from files" in result.err


def test_a_folder_of_small_pictures_that_is_named_itself_is_trained_on(train):
    write("LR/X2", NAMES, 32)
    write("LR/X4", NAMES, 16)
    result = train("LR")
    assert result.code == 2
    assert "give the folder of the HR pictures, or one of these by itself" in result.err
    assert train("LR/X2").code == 0


def test_zips_count_as_their_folders(train, tmp_path):
    data = tmp_path / "data"
    for name in ("HR", "LR_x4"):
        write(tmp_path / name, NAMES, 32)
        data.mkdir(exist_ok=True)
        with zipfile.ZipFile(data / f"{name}.zip", "w") as archive:
            for file in (tmp_path / name).iterdir():
                archive.write(file, file.name)
    result = train(data)
    assert (result.code, "folders of LR pictures (LR_x4)" in result.err) == (2, True)
    assert train(data / "HR.zip").code == 0


@pytest.mark.parametrize("pattern", ["{}x4", "{}_x4", "{}_LR4", "{}_LR", "{}-lr"])
@pytest.mark.parametrize("hr", ["{}", "{}_HR"])
def test_lr_twins_beside_their_pictures_are_refused(srx, train, tmp_path, pattern, hr):
    data = tmp_path / "data"
    write(data, [hr.format(name) for name in NAMES], 32)
    write(data, [pattern.format(name) for name in NAMES[:5]], 16)
    words = "5 of 11 pictures are by their names LR pictures of others"
    for result in (
        train(data),
        srx("eval -m bicubic -s 2 --data data --metrics psnr --no-cost"),
    ):
        assert result.code == 2
        assert words in result.err


def test_pairs_that_show_different_things_are_left_out_by_name(train, srx):
    photograph = astronaut()
    Path("hr").mkdir()
    Path("lr").mkdir()
    for number in range(8):
        hr = np.ascontiguousarray(photograph[20 * number :, 30 * number :][:128, :160])
        if number == 4:
            hr = np.ascontiguousarray(photograph[304:432, 48:208])
        lr = np.asarray(Image.fromarray(hr).resize((80, 64), Image.Resampling.BICUBIC))
        if number == 4:  # such a shift is usual
            lr = np.roll(lr, (1, 1), axis=(0, 1))
        if number == 5:
            lr = np.roll(lr, (3, -2), axis=(0, 1))
        if number == 6:
            lr = np.ascontiguousarray(photograph[300:364, 300:380])
        if number == 7:
            lr = hr
        Image.fromarray(hr).save(f"hr/{number}.png")
        Image.fromarray(lr).save(f"lr/{number}.png")
    reasons = (
        "5.png: lies about 3 pixels lower and -2 further right than the HR picture hr/5.png",
        "6.png: shows another picture than the HR picture hr/6.png",
        "7.png: is as large as the HR picture hr/7.png, as in RealSR (Version 3)",
    )
    trained = train("hr", words=("--lr", "lr", "--hold-out", "0"))
    evaluated = srx("eval -m bicubic -s 2 --data hr --lr lr --metrics psnr --no-cost")
    assert (trained.code, evaluated.code) == (0, 1)
    assert "4 pictures to train on, 1 to validate on" in trained.err
    for reason in reasons:
        assert reason in trained.err
        assert reason in evaluated.err


def geotiff(path, pixels, **options):
    """Write a GeoTIFF (H, W, C) that Pillow does not know."""
    return write_by_gdal(path, pixels, **PLACE, **options)


def blocks(dtype, bands=3, side=64):
    values = np.random.default_rng(0).integers(1, 200, (side // 8, side // 8, bands))
    return values.repeat(8, axis=0).repeat(8, axis=1).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "bands", "options"),
    [
        ("uint16", 3, {}),
        ("uint16", 4, {}),
        ("uint16", 1, {}),
        ("uint8", 3, {"nodata": 0}),
        ("uint16", 3, {"interleave": "band", "compress": "deflate", "bigtiff": "YES"}),
    ],
)
def test_geotiffs_are_trained_on_as_they_are_enlarged(train, dtype, bands, options):
    Path("data").mkdir()
    pixels = blocks(dtype, bands)
    geotiff("data/a.tif", pixels, **options)
    result = train("data", words=("--hold-out none",))
    assert result.code == 0, result.err
    read = decode(PictureRef(path=Path("data/a.tif")))
    assert read.dtype == dtype
    chosen = pixels[:, :, :3] if bands > 1 else pixels.repeat(3, axis=2)
    assert np.array_equal(read, chosen)


def test_pixels_without_data_are_refused(srx, train):
    pixels = blocks("uint16", 3, 96)
    pixels[:30] = 0
    Path("data").mkdir()
    geotiff("data/a.tif", pixels, nodata=0)
    geotiff("data/b.tif", pixels)
    reason = "a.tif: has pixels without data; cut a part that has data in all: gdal_translate"
    trained = train("data", words=("--hold-out none",))
    evaluated = srx("eval -m bicubic -s 2 --data data --metrics psnr --no-cost")
    assert (trained.code, evaluated.code) == (0, 1)
    assert reason in trained.err
    assert reason in evaluated.err


@pytest.mark.parametrize(
    ("dtype", "bands", "words"),
    [
        ("float32", 3, "its values are float32, .* gdal_translate -ot UInt16 -scale"),
        ("int16", 1, "its values are int16"),
        ("uint16", 8, "has 8 bands, none of which is called red; .* -b 3 -b 2 -b 1"),
    ],
)
def test_rasters_of_other_kinds_say_what_helps(train, dtype, bands, words):
    Path("data").mkdir()
    geotiff("data/a.tif", blocks(dtype, bands), photometric="MINISBLACK")
    result = train("data", words=("--hold-out none",))
    assert result.code == 2
    assert re.search(rf"a\.tif: {words}", result.err)
    assert "Traceback" not in result.err


FOURIER = """
import torch
import torch.nn.functional as F
from torch import nn

class Fourier(nn.Module):
    def __init__(self, scale=2):
        super().__init__()
        self.scale = scale
        self.gain = nn.Parameter(torch.ones(3, 1, 1, dtype=torch.complex64))
        self.up = nn.Conv2d(3, 12, 3, padding=1)
    def forward(self, x):
        y = torch.fft.irfft2(torch.fft.rfft2(x) * self.gain, s=x.shape[-2:])
        larger = F.interpolate(x, scale_factor=2.0, mode="bilinear")
        return larger + F.pixel_shuffle(self.up(y), 2)
"""


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd", "muon"])
def test_networks_with_complex_weights_are_trained_and_resumed(srx, kind):
    write("data", NAMES, 32)
    Path("net.py").write_text(FOURIER, encoding="utf-8")
    command = "train net.py:Fourier -s 2 --data data --out run --device cpu --hold-out none -q"
    small = (
        f"--set stages.0.patch=8 --set stages.0.batch=2 --set stages.0.optimizer.kind={kind} "
        "--set stages.0.optimizer.learning_rate=0.01"
    )
    srx(command, small, "--budget 2", code=0)
    first = load_model("net.py:Fourier@run/last.safetensors").state_dict()["gain"]
    assert first.is_complex()
    assert not torch.equal(first, torch.ones_like(first))
    srx("train net.py:Fourier --resume run --data data --budget 4 -q", code=0)
    second = load_model("net.py:Fourier@run/last.safetensors").state_dict()["gain"]
    assert not torch.equal(first, second)


@pytest.mark.posix
def test_broken_links_and_packed_pictures_are_told_of(train, tmp_path):
    write("data", NAMES, 32)
    Path("data/annexed.png").symlink_to("gone/annexed.png")
    Path("data/away").symlink_to("/gone")
    Path("data/names.txt").symlink_to("data/0801.png")
    for name in ("a.lmdb/data.mdb", "a.lmdb/lock.mdb", "b.tar.gz", "c.parquet", "d.h5"):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"packed")
    told = train("data", words=("--set", "validate_every=9")).err
    for line in (
        "left out: data/annexed.png: a broken link to gone/annexed.png; fetch that, or",
        "left out: data/a.lmdb/data.mdb: pictures packed as LMDB; unpack them: .*'data/a.lmdb'",
        "left out: data/b.tar.gz: pictures packed as tar; unpack them: .*tar -xf 'data/b.tar.gz'",
        "left out: data/c.parquet: pictures packed as Parquet; unpack them: ",
        "left out: data/away: a broken link to /gone",
        "7 pictures were left out",
    ):
        assert re.search(line, told), told


def test_files_that_pack_pictures_are_named_where_there_is_nothing_else(train):
    Path("data").mkdir()
    Path("data/0.tar").write_bytes(b"packed")
    Path("data/.1.tar").write_bytes(b"packed")
    for data in ("data", "data/0.tar"):
        refused = train(data)
        assert refused.code == 2
        assert "data/0.tar: pictures packed as tar; unpack them: mkdir" in refused.err
