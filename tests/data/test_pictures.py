"""Finding and decoding pictures in folders and zips."""

from __future__ import annotations

import io
import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageOps

from srcli.data import pictures as module
from srcli.data.pictures import PictureRef, decode, find_pictures, read_pictures
from srcli.errors import DataError, SrxError
from srcli.evaluation.pairs import read_picture
from tests.fixtures.claims import png_chunk


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def shard(tmp_path, astronaut):
    """A zip of 12 crops, stored in another order than their names'."""
    path = tmp_path / "shard.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in [5, 0, 11, 3, 2, 1, 4, 6, 7, 8, 9, 10]:
            archive.writestr(f"crops/p-{i:02d}_00.png", png(astronaut[i : i + 16, :16]))
        archive.writestr("crops/._p-00_00.png", b"hidden")
        archive.writestr("readme.txt", b"words")
    return path


def test_folders_zips_and_files_are_searched_in_order(tmp_path, shard, astronaut):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "sub/c.webp"):
        Image.fromarray(astronaut[:8, :8]).save(folder / name)
    (folder / "notes.txt").touch()
    (folder / "sub" / "d.zip").write_bytes(shard.read_bytes())
    names = [ref.name for ref in find_pictures([folder])]
    assert names == ["a", "b", "c", *(f"p-{i:02d}_00" for i in range(12))]
    assert [ref.name for ref in find_pictures([shard, folder / "b.png"])][-2:] == [
        "p-11_00",
        "b",
    ]


def read(refs, **options):
    """Pictures, and what is said of those that cannot be read."""
    results = list(read_pictures(refs, lambda _, picture: picture, **options))
    good = [result for result in results if not isinstance(result, SrxError)]
    errors = [str(result) for result in results if isinstance(result, SrxError)]
    return good, errors


def test_many_threads_read_one_zip_in_order(shard, astronaut):
    refs = find_pictures([shard]) * 20
    assert str(refs[3]).endswith("shard.zip/crops/p-03_00.png")
    pictures, errors = read(refs, workers=8)
    assert not errors
    for i, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, astronaut[i % 12 : i % 12 + 16, :16])


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("P", 0, (0, 0, 0)),
        ("L", 100, (100, 100, 100)),
        ("1", 0, (0, 0, 0)),
        ("LA", (7, 0), (7, 7, 7)),
        ("RGBA", (1, 2, 3, 0), (1, 2, 3)),
    ],
)
def test_other_kinds_of_pictures_become_rgb(tmp_path, mode, value, expected):
    path = tmp_path / "a.png"
    Image.new(mode, (3, 2), value).save(path)
    decoded = decode(PictureRef(path=path))
    assert decoded.dtype == np.uint8
    assert decoded.shape == (2, 3, 3)
    assert tuple(decoded[1, 2]) == expected


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_rotated_pictures_are_upright_in_training_and_evaluation(
    tmp_path, astronaut, suffix
):
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation: to be turned clockwise
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(astronaut[:40, :64]).save(path, exif=exif.tobytes())
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert expected.shape == (64, 40, 3)
    assert np.array_equal(decode(PictureRef(path=path)), expected)
    assert np.array_equal(read_picture(path)[0], expected)


def test_float_pictures_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("F", (3, 2), 0.5).save(path)
    with pytest.raises(
        DataError, match=r"values are float32, .* gdal_translate -ot UInt16"
    ):
        decode(PictureRef(path=path))


def test_pictures_that_claim_more_than_memory_holds_are_refused(tmp_path):
    path = tmp_path / "a.png"
    header = struct.pack(">2I5B", 1 << 16, 1 << 16, 8, 2, 0, 0, 0)
    Image.new("RGB", (3, 2)).save(path)
    content = bytearray(path.read_bytes())
    content[8:33] = png_chunk(b"IHDR", header)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: 65536x65536 is too large; cut it"):
        decode(PictureRef(path=path))


def test_members_that_claim_too_much_are_refused(shard, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_MEMBER", 100)
    pictures, errors = read(find_pictures([shard]))
    assert not pictures
    assert "0 MiB unpacked is too large; remove or replace it" in errors[0]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_members_that_hold_more_than_they_claim_are_refused(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", bytes(100_000))
        packed = archive.getinfo("a.png").compress_size
    true = struct.pack("<II", packed, 100_000)
    forged = struct.pack("<II", packed, 9)
    path.write_bytes(path.read_bytes().replace(true, forged))
    with pytest.raises(
        DataError, match=r"a\.png: cannot be (unpacked|decoded \(Bad CRC)"
    ):
        decode(PictureRef(path=path, member="a.png"))


@pytest.mark.posix
def test_pipes_are_no_pictures(tmp_path, astronaut):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "a.zip")
    (tmp_path / "b.png").write_bytes(png(astronaut))
    assert [ref.name for ref in find_pictures([tmp_path])] == ["b"]
    for name in ("a.png", "a.zip"):
        with pytest.raises(
            DataError, match="a pipe or a device; copy it to a file first"
        ):
            find_pictures([tmp_path / name])


def test_broken_pictures_are_told_of_and_left_out(tmp_path, astronaut):
    good = png(astronaut[:32, :32])
    contents = {
        "a": good,
        "b": good[:200],
        "c": b"words",
        "d": b"",
        "e": good.replace(b"IDAT", b"IDXT"),
        "f": png(astronaut[:4]),
    }
    refs = []
    for name, content in contents.items():
        (tmp_path / f"{name}.png").write_bytes(content)
        refs.append(PictureRef(path=tmp_path / f"{name}.png"))
    refs.append(PictureRef(path=tmp_path / "gone.png"))
    pictures, errors = read(refs, smallest=8)
    assert len(pictures) == 1
    assert [error.split("/")[-1].split(".png")[0] for error in errors] == [
        *"bcdef",
        "gone",
    ]
    assert "160x4 is smaller than 8" in errors[4]


def test_a_damaged_member_is_one_broken_picture(shard):
    content = bytearray(shard.read_bytes())
    where = content.find(b"IDAT") + 10
    content[where : where + 4] = b"\0\0\0\0"
    shard.write_bytes(content)
    pictures, errors = read(find_pictures([shard]))
    assert len(pictures) == 11
    assert "p-05_00.png" in errors[0]


def test_nothing_to_find_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        find_pictures([tmp_path / "x"])
    with pytest.raises(DataError, match="no pictures in"):
        find_pictures([tmp_path])
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="not a readable zip"):
        find_pictures([tmp_path])
