from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageDraw, JpegImagePlugin
from PIL.ExifTags import Base

from srcli.errors import PictureError
from srcli.files import written_pictures
from srcli.imaging.metadata.by_format import dress_metadata
from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.metadata.exif import read_main, software, with_texts
from srcli.imaging.metadata.fitting import fit_exif
from srcli.imaging.opening import open_picture
from srcli.imaging.photographs import tiff_writing
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.pillow import decode_pixels
from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.photographs.writing import check_writable, write_photograph
from srcli.imaging.pixels.arrays import empty_array, release
from srcli.imaging.pixels.geometry import PixelMap
from tests.fixtures.files import names_in
from tests.fixtures.photographs import SRGB, noise, read_by_gdal

PICTURE_FORMATS = set(written_pictures())
each_depth = pytest.mark.parametrize("dtype", [np.uint8, np.uint16])


@pytest.fixture
def path(tmp_path):
    """Where pictures are written, by a name that says no format."""
    return tmp_path / "a"


XMP = b'<x:xmpmeta><rdf:Description xmp:Rating="5" dc:title="M\xc3\xbcnchen"/></x:xmpmeta>'


def photograph_of(shape=(20, 30, 3), dtype=np.uint8, *, alpha=False, metadata=None):
    return Photograph(
        pixels=noise(shape, dtype),
        alpha=noise(shape[:2], dtype, seed=1) if alpha else None,
        metadata=metadata or Metadata(),
    )


def exif_of(order="<"):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "Maker"
    exif[0x0112] = 1
    exif[0x8298] = "(c) Someone"
    exif.get_ifd(0x8769).update(
        {0x829A: 0.004, 0x927C: b"note" * 5, 0x9003: "2024:05:06 07:08:09"}
    )
    comment = "Grüße".encode("utf-16-le" if order == "<" else "utf-16-be")
    exif.get_ifd(0x8769).update({0x9286: b"UNICODE\0" + comment, 0xA005: {1: "R98"}})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 30.0, 15.5)})
    return exif.tobytes()


def check_exif(exif):
    assert exif[0x010F] == "Maker"
    assert exif[0x8298] == "(c) Someone"
    assert exif.get_ifd(0x8769)[0x829A] == pytest.approx(0.004)
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8825)[2] == (48.0, 30.0, 15.5)
    order = "utf-16-le" if exif.endian == "<" else "utf-16-be"
    assert exif.get_ifd(0x8769)[0x9286][8:].decode(order) == "Grüße"


def stacked(photograph):
    if photograph.alpha is None:
        return photograph.pixels
    return np.dstack([photograph.pixels, photograph.alpha])


# --- Pixels
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 40), (301, 211)])
@pytest.mark.parametrize(
    "kind", ["png uint8", "png uint16", "tif uint8", "tif uint16", "tif float32"]
)
def test_lossless_formats_as_gdal_reads_them(tmp_path, kind, shape):
    fmt, dtype = kind.split()
    for channels, alpha in ((1, False), (1, True), (3, False), (3, True)):
        photograph = photograph_of((*shape, channels), dtype, alpha=alpha)
        path = tmp_path / f"a.{fmt}"
        write_photograph(path, photograph, fmt=fmt)
        seen = read_by_gdal(path)
        again = read_photograph(path)
        picture = open_picture(path)
        assert seen.dtype == again.pixels.dtype == dtype
        assert np.array_equal(seen, stacked(photograph))
        assert np.array_equal(stacked(again), stacked(photograph))
        assert (picture.height, picture.width, picture.channels) == again.pixels.shape
        assert (picture.has_alpha, picture.bits) == (alpha, seen.itemsize * 8)
        measures = dtype == "float32" and channels == 1
        assert (picture.raster is not None) == measures


def test_webp_of_quality_100_is_lossless_even_where_transparent(tmp_path):
    photograph = photograph_of(alpha=True)
    assert photograph.alpha is not None
    photograph.alpha[5:9] = 0
    write_photograph(tmp_path / "a.webp", photograph, fmt="webp", quality=100)
    with Image.open(tmp_path / "a.webp") as image:
        assert np.array_equal(np.asarray(image), stacked(photograph))


@pytest.mark.parametrize("fmt", ["jpg", "webp", "avif"])
def test_lossy_formats_are_close_and_obey_quality(path, astronaut, fmt):
    photograph = Photograph(pixels=astronaut, alpha=None, metadata=Metadata())
    sizes = []
    for quality in (None, 30):
        write_photograph(path, photograph, fmt=fmt, quality=quality)
        sizes.append((path).stat().st_size)
        with Image.open(path) as image:
            error = np.abs(
                np.asarray(image.convert("RGB")).astype(int) - astronaut
            ).mean()
        assert error < (3 if quality is None else 12)
    assert sizes[0] > 2 * sizes[1]


def test_jpeg_keeps_full_colour_resolution(tmp_path):
    write_photograph(tmp_path / "a.jpg", photograph_of(), fmt="jpg")
    with JpegImagePlugin.JpegImageFile(tmp_path / "a.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 0
        assert max(image.quantization[0]) < 15


@pytest.mark.parametrize("fmt", ["webp", "avif"])
def test_gray_becomes_rgb_where_the_format_has_no_gray(path, fmt):
    gray = ImageCms.createProfile("sRGB")
    profile = bytearray(ImageCms.ImageCmsProfile(gray).tobytes())
    profile[16:20] = b"GRAY"
    # a gray profile must not end in a file of three channels, even one that cannot be
    # used
    photograph = photograph_of((16, 16, 1), metadata=Metadata(icc=bytes(profile)))
    write_photograph(path, photograph, fmt=fmt, quality=100)
    again = read_photograph(path)
    assert again.metadata.icc is None
    assert np.abs(again.pixels.astype(int) - photograph.pixels).max() <= 4


def test_transparency_is_put_on_white(tmp_path):
    pixels = np.full((16, 16, 3), (200, 0, 0), dtype=np.uint8)
    alpha = np.full((16, 16), 128, dtype=np.uint8)
    alpha[:, 8:] = 0
    photograph = Photograph(pixels=pixels, alpha=alpha, metadata=Metadata())
    write_photograph(tmp_path / "a.bmp", photograph, fmt="bmp")
    with Image.open(tmp_path / "a.bmp") as image:
        assert image.getpixel((2, 2)) == (227, 127, 127)
        assert image.getpixel((12, 2)) == (255, 255, 255)


def test_16_bits_are_rounded_and_not_cut(tmp_path):
    values = np.array(
        [[0, 128, 129, 257, 32767, 32896, 65406, 65407, 65535]], dtype=np.uint16
    )
    photograph = Photograph(pixels=values[:, :, None], alpha=None, metadata=Metadata())
    write_photograph(tmp_path / "a.bmp", photograph, fmt="bmp")
    with Image.open(tmp_path / "a.bmp") as image:
        assert np.asarray(image)[0].tolist() == [0, 0, 1, 1, 127, 128, 254, 255, 255]


def test_floats_are_cut_to_0_1_and_nan_becomes_0(tmp_path):
    values = np.array([[-1, 0, 0.5, 1, 7, np.nan, np.inf, -np.inf]], dtype=np.float32)
    photograph = Photograph(pixels=values[:, :, None], alpha=None, metadata=Metadata())
    write_photograph(tmp_path / "a.png", photograph, fmt="png")
    expected = [0, 0, 32768, 65535, 65535, 0, 65535, 0]
    assert read_by_gdal(tmp_path / "a.png")[0, :, 0].tolist() == expected
    write_photograph(tmp_path / "a.tif", photograph, fmt="tif")
    assert np.array_equal(
        read_by_gdal(tmp_path / "a.tif")[:, :, 0], values, equal_nan=True
    )


def test_sides_of_over_a_million_pixels(tmp_path):
    photograph = photograph_of((1, 1_200_000, 1))
    write_photograph(tmp_path / "a.png", photograph, fmt="png")
    assert open_picture(tmp_path / "a.png").width == 1_200_000
    assert np.array_equal(read_photograph(tmp_path / "a.png").pixels, photograph.pixels)


def test_drawings_are_packed_by_their_repetitions(tmp_path):
    image = Image.new("RGB", (600, 600), "white")
    draw = ImageDraw.Draw(image)
    for row in range(0, 600, 12):
        draw.text((3, row), "The same words in every line " * 4, fill="black")
    drawing = np.asarray(image)
    for name, values in (
        ("a.png", drawing),
        ("b.png", drawing.astype(np.uint16) * 257),
    ):
        photograph = Photograph(pixels=values, alpha=None, metadata=Metadata())
        write_photograph(tmp_path / name, photograph, fmt="png")
        assert (tmp_path / name).stat().st_size < drawing.nbytes / 15
        assert np.array_equal(read_by_gdal(tmp_path / name), values)


# --- Metadata
# ------------------------------------------------------------------------------------


@each_depth
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("fmt", sorted(PICTURE_FORMATS - {"bmp", "gif"}))
def test_metadata_as_pillow_reads_them(tmp_path, fmt, order, dtype):
    metadata = Metadata(icc=SRGB, exif=exif_of(order), xmp=XMP, dpi=(300.0, 240.0))
    path = tmp_path / f"a.{fmt}"
    write_photograph(path, photograph_of(dtype=dtype, metadata=metadata), fmt=fmt)
    if fmt == "tif" and dtype == np.uint16:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            assert page.iccprofile == SRGB
            assert page.tags[700].value == XMP
            assert page.tags[34665].value["DateTimeOriginal"] == "2024:05:06 07:08:09"
            assert page.tags[34853].value["GPSLatitude"][:2] == (48, 1)
            assert page.get_resolution("inch") == (300, 240)
    else:
        with Image.open(path) as image:
            assert image.info["icc_profile"] == SRGB
            assert image.info["xmp"] == XMP
            check_exif(image.getexif())
            if fmt not in ("webp", "avif"):
                assert image.info["dpi"] == pytest.approx((300, 240), abs=0.02)
    again = read_photograph(path).metadata
    assert (again.icc, again.xmp) == (SRGB, XMP)
    assert again.dpi == (
        None if fmt in ("webp", "avif") else pytest.approx((300, 240), abs=0.02)
    )
    assert open_picture(path).raster is None
    exif = Image.Exif()
    exif.load(again.exif or b"")
    check_exif(exif)
    if fmt == "tif":
        assert b"R98" not in path.read_bytes()
        # whose pointer would point to nowhere
        assert b"\x05\xa0" not in (again.exif or b"")
    else:  # makers' notes point at themselves by offset
        assert (again.exif or b"").index(b"notenote") == exif_of(order).index(
            b"notenote"
        )


def test_blocks_too_long_for_jpeg_are_left_out_and_told(tmp_path):
    metadata = Metadata(
        icc=SRGB + bytes(200_000), exif=exif_of() + bytes(70_000), xmp=XMP * 900
    )
    write_photograph(tmp_path / "a.jpg", photograph_of(metadata=metadata), fmt="jpg")
    assert dress_metadata(metadata, "jpg")[1] == (
        "its EXIF is too long for jpg: left out",
        "its XMP is too long for jpg: left out",
    )
    again = read_photograph(tmp_path / "a.jpg").metadata
    assert (again.exif, again.xmp) == (None, None)
    assert again.icc == metadata.icc


def test_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_writing, "LARGEST_CLASSIC", 0)
    photograph = photograph_of(
        dtype=np.uint16, metadata=Metadata(icc=SRGB, exif=exif_of())
    )
    write_photograph(tmp_path / "a.tif", photograph, fmt="tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff
        assert np.array_equal(tif.pages.first.asarray(), photograph.pixels)
        assert tif.pages.first.iccprofile == SRGB
        assert (
            tif.pages.first.tags[34665].value["DateTimeOriginal"]
            == "2024:05:06 07:08:09"
        )
    again = read_photograph(tmp_path / "a.tif")
    assert np.array_equal(again.pixels, photograph.pixels)
    exif = Image.Exif()
    exif.load(again.metadata.exif or b"")
    check_exif(exif)


# --- What a format can hold
# ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fmt", "height", "width"),
    [
        ("jpg", 65_501, 10),
        ("webp", 10, 16_384),
        ("avif", 32_769, 10),
        ("png", 10, 2**31),
        ("avif", 17_000, 17_000),
        ("bmp", 40_000, 40_000),
    ],
)
def test_sizes_beyond_a_format_are_refused_with_another_one(fmt, height, width):
    layout: dict[str, Any] = {"has_alpha": False, "bits": 8}
    limit = (
        f"{max(height, width) - 1:,} pixels a side"
        if height != width
        else "pixels, not"
    )
    with pytest.raises(
        PictureError, match=f"{fmt} holds at most .*{limit}.*take --format"
    ):
        check_writable(fmt, height=height, width=width, **layout)
    if height != width:
        largest = max(height, width) - 1
        sides = {"height": min(height, largest), "width": min(width, largest)}
        assert check_writable(fmt, **sides, **layout) == ()


@pytest.mark.parametrize("side", [65_500, 16_383])
def test_the_largest_side_can_really_be_written(path, side):
    fmt = {65_500: "jpg", 16_383: "webp"}[side]
    photograph = photograph_of((2, side, 3))
    write_photograph(path, photograph, fmt=fmt)
    assert read_photograph(path).pixels.shape == (2, side, 3)


def test_losses_are_told_before_writing():
    size: dict[str, Any] = {"height": 5, "width": 5}
    assert check_writable("png", **size, has_alpha=True, bits=16) == ()
    assert check_writable("tif", **size, has_alpha=True, bits=32) == ()
    told = check_writable("jpg", **size, has_alpha=True, bits=16)
    assert [line.split(":")[0] for line in told] == [
        "jpg has no transparency",
        "jpg holds 8 bits",
    ]
    assert "cut to 0..1" in check_writable("png", **size, has_alpha=False, bits=32)[0]
    assert check_writable("bmp", **size, has_alpha=False, bits=8) == ()


# --- The file itself
# ----------------------------------------------------------------------------


@pytest.mark.posix
@pytest.mark.parametrize("fmt", sorted(PICTURE_FORMATS))
def test_a_limit_in_the_middle_of_a_file_leaves_the_old_file_and_nothing_else(
    tmp_path, fmt
):
    import resource
    import signal

    path = tmp_path / f"a.{fmt}"
    path.write_bytes(b"the old file")
    photograph = photograph_of((150, 150, 3), np.uint16 if fmt == "tif" else np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(PictureError, match="larger than a file may be here"):
            write_photograph(path, photograph, fmt=fmt)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name, message in (
        ("none/a.png", "folder does not exist"),
        ("folder.png", "is a folder"),
        ("x" * 300 + ".png", "name is too long"),
        ("file/a.png", "cannot be written"),
    ):
        with pytest.raises(PictureError, match=message):
            write_photograph(tmp_path / name, photograph_of(), fmt="png")
    assert names_in(tmp_path) == ["file", "folder.png"]

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PictureError, match="no permission"):
        write_photograph(tmp_path / "a.png", photograph_of(), fmt="png")


def test_only_metadata_that_a_picture_has_can_be_lost():
    assert dress_metadata(Metadata(), "bmp")[1] == ()
    assert dress_metadata(Metadata(dpi=(72.0, 72.0)), "bmp")[1] == ()
    metadata = Metadata(icc=b"profile", exif=b"Exif", xmp=b"<x/>")
    lost, changed = dress_metadata(metadata, "bmp")[1]
    assert lost == "bmp holds no EXIF or XMP: left out"
    assert changed == "bmp holds no colour profile: colours become sRGB"
    assert dress_metadata(metadata, "png")[1] == ()


def test_what_other_programs_put_beside_the_old_file_goes(tmp_path):
    photograph = Photograph(
        pixels=np.zeros((4, 5, 3), np.uint8), alpha=None, metadata=Metadata()
    )
    for name in ("a.tif.ovr", "a.tif.aux.xml", "a.txt"):
        (tmp_path / name).write_bytes(b"old")
    write_photograph(tmp_path / "a.tif", photograph, fmt="tif")
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "a.txt"}


@pytest.mark.parametrize("fmt", ["png", "bmp", "tif", "jpg"])
@each_depth
def test_an_impossible_resolution_does_not_cost_the_picture(path, fmt, dtype):
    pixels = np.full((4, 5, 3), 7, dtype)
    huge = Photograph(
        pixels=pixels, alpha=None, metadata=Metadata(dpi=(4294967295.0, 1e12))
    )
    write_photograph(path, huge, fmt=fmt)
    with Image.open(path) as image:
        assert image.size == (5, 4)


# --- Lossless WebP, and large arrays
# ------------------------------------------------------------


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {}),
        ("RGBA", {}),
        ("RGB", {"icc_profile": SRGB}),
        (
            "RGB",
            {"save_all": True, "append_images": [Image.new("RGB", (30, 20), "blue")]},
        ),
    ],
)
def test_files_say_which_they_are(tmp_path, mode, options, lossless):
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, len(mode)), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.webp", lossless=lossless, **options)
    assert open_picture(tmp_path / "a.webp").lossless == lossless


def test_lossless_pictures_stay_so(srx, tmp_path):
    flat = Image.fromarray(np.full((20, 30, 3), (250, 13, 77), np.uint8))
    for name, lossless in (("a", True), ("b", False)):
        flat.save(tmp_path / f"{name}.webp", lossless=lossless)
    words = [str(tmp_path / "a.webp"), str(tmp_path / "b.webp"), str(tmp_path / "out")]
    for suffix in ("png", "tif", "bmp", "gif", "jpg"):
        flat.save(tmp_path / f"{suffix}.{suffix}")
        words.insert(0, str(tmp_path / f"{suffix}.{suffix}"))
    srx("upscale", *words, "-m bicubic -s 2 -f webp", code=0)
    written = {
        file.stem: open_picture(file).lossless for file in (tmp_path / "out").iterdir()
    }
    assert {name for name, lossless in written.items() if not lossless} == {"b", "jpg"}
    assert len(written) == 7
    with Image.open(tmp_path / "out" / "a.webp") as image:
        assert image.convert("RGB").getextrema() == ((250, 250), (13, 13), (77, 77))
    again = ("-m", "bicubic", "-s", "2", "--quality", "80", "--overwrite")
    srx("upscale", *words, *again, code=0)
    assert not open_picture(tmp_path / "out" / "a.webp").lossless


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_bands_of_rows_make_the_whole(astronaut, monkeypatch, mode):
    image = Image.fromarray(astronaut).convert(mode)
    image.save(stream := io.BytesIO(), "PNG")
    monkeypatch.setattr(
        "srcli.imaging.photographs.pillow._COPIED_PIXELS", 7 * image.width
    )
    pixels, alpha = decode_pixels(Image.open(stream))
    parts = [pixels] if alpha is None else [pixels, alpha[:, :, None]]
    expected = np.asarray(image).reshape(*astronaut.shape[:2], -1)
    np.testing.assert_array_equal(np.concatenate(parts, axis=2), expected)


@pytest.mark.posix
def test_large_arrays_lie_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.imaging.pixels.arrays.LARGEST_IN_MEMORY", 299)
    assert empty_array((10, 10, 3), np.uint8).base is None
    assert empty_array((99, 3), np.uint8, tmp_path).base is None
    large = empty_array((10, 10, 3), np.uint8, tmp_path)
    assert type(large.base).__name__ == "mmap"
    assert list(tmp_path.iterdir()) == []
    values = np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(10, 10, 3)
    large[...] = values
    for array in (large, large[2:, :, :1], np.empty(3)):
        release(array)
    np.testing.assert_array_equal(large, values)


# --- A Software entry in EXIF, beside makers' notes
# ---------------------------------------------


UNCHANGED = PixelMap(before=(8, 8), after=(8, 8))


def with_software(exif, text):
    return with_texts(exif, {Base.Software: text})


def block(order, *, earlier):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "Maker"
    exif[0x0132] = "2024:05:06 07:08:09"
    exif[0x8298] = "(c) Someone"
    if earlier:
        exif[0x0131] = "Camera"
    exif.get_ifd(0x8769)[0x927C] = b"note" * 5
    return exif.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("earlier", [True, False])
def test_the_software_entry_is_set_and_all_else_stays_in_place(order, earlier):
    before = block(order, earlier=earlier)
    after = with_software(before, "Müller 2.0")
    assert software(after) == "Müller 2.0"
    assert software(before) == ("Camera" if earlier else "")
    number = int.from_bytes(before[14:16], "little" if order == "<" else "big")
    values = 14 + 2 + 12 * number + 4
    assert after[values : len(before)] == before[values:]
    odd = with_software(before + b"\0" * (1 - len(before) % 2), "Müller 2.0")
    assert odd.index("Müller".encode()) % 2 == 0  # as TIFF has it
    exif = Image.Exif()
    exif.load(fit_exif(after, UNCHANGED)[0])
    tags = list(read_main(after))
    assert tags == sorted(tags)
    assert (exif[0x010F], exif[0x8298]) == ("Maker", "(c) Someone")
    assert exif.get_ifd(0x8769)[0x927C] == b"note" * 5
