"""Pictures keep their colours in every output format, however their files describe them.

Colours are computed here by published matrices (ITU-R BT.2087, CSS Color 4) and curves;
LittleCMS shows what programs that read a profile will show.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from tests.fixtures.claims import png_chunk
from tests.fixtures.photographs import SRGB

COLOURS = np.array([[200, 60, 50], [70, 160, 80], [60, 70, 190], [128, 128, 128]]) / 255
"""As sRGB."""
TO_SRGB = {  # of linear light
    "bt2020": [
        [1.6605, -0.5876, -0.0728],
        [-0.1246, 1.1329, -0.0083],
        [-0.0182, -0.1006, 1.1187],
    ],
    "p3": [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]],
    "adobe": [[1.3984, -0.3984, 0], [0, 1, 0], [0, -0.0429, 1.0429]],
}
ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
P3_SRGB = (12, 13)
BT2020_VIDEO = (9, 1)
BT2020_PQ = (9, 16)
BT2020_HLG = (9, 18)
HOLDING_PROFILES = ["png", "jpg", "webp", "tif"]


def to_light(values):
    """Inverse curve of sRGB."""
    return np.where(
        values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4
    )


def stored(space, curve):
    """Values of COLOURS in a space, as a picture of four fields."""
    light = to_light(COLOURS) @ np.linalg.inv(np.array(TO_SRGB[space], float)).T
    return fields(curve(np.clip(light, 0, 1)))


def fields(values):
    """A picture 64x16 of four fields."""
    levels = np.rint(np.asarray(values) * 255).astype(np.uint8)
    return np.tile(levels.repeat(16, axis=0), (16, 1, 1))


def from_srgb_light(light):
    return np.where(
        light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055
    )


def from_video_light(light):
    return np.where(light < 0.018054, light * 4.5, 1.09930 * light**0.45 - 0.09930)


def from_nits(nits):
    """PQ of ITU-R BT.2100."""
    power = (nits / 10000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def write_heic(path, pixels, points):
    labels = {"color_primaries": points[0], "transfer_characteristics": points[1]}
    image = pillow_heif.from_pillow(Image.fromarray(pixels))
    image.save(path, quality=100, chroma=444, matrix_coefficients=6, **labels)


def write_avif(path, pixels, points):
    path = Path(path)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    head, tail = buffer.getvalue().split(b"colrnclx")
    path.write_bytes(head + b"colrnclx" + struct.pack(">HH", *points) + tail[4:])


def write_png(path, pixels, **chunks):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = buffer.getvalue()
    inserted = b""
    for name, content in chunks.items():
        inserted += png_chunk(name.encode(), content)
    Path(path).write_bytes(data[:33] + inserted + data[33:])


def gamma_chunk(gamma):
    return struct.pack(">I", round(gamma * 100000))


def points_chunk(points):
    return struct.pack(">8I", *(round(coordinate * 100000) for coordinate in points))


def chunks_of(path):
    """The chunks of a PNG file, each with a right checksum."""
    data = path.read_bytes()
    at = 8
    contents = {}
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name = data[at + 4 : at + 8]
        content = data[at + 8 : at + 8 + length]
        assert data[at + 8 + length : at + 12 + length] == struct.pack(
            ">I", zlib.crc32(name + content)
        )
        contents[name] = content
        at += 12 + length
    return contents


def error_of(path):
    """Largest error of the colours that are shown."""
    return np.abs(shown(path) - COLOURS).max()


def shown(path):
    """The colours of the four fields, as a program that follows profiles shows them: sRGB, 0..1."""
    with Image.open(path) as image:
        icc = image.info.get("icc_profile")
        plain = image.convert("RGB") if image.mode != "L" else image.copy()
    if icc is not None:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(plain, profile, srgb, outputMode="RGB")
        assert converted is not None
        plain = converted
    values = np.asarray(plain.convert("RGB"))
    step = values.shape[1] // 4
    return values[values.shape[0] // 2, step // 2 :: step] / 255


def code_points(path):
    """Of an AVIF file."""
    after = path.read_bytes().split(b"colrnclx")[1]
    return struct.unpack(">HH", after[:4])


@pytest.fixture
def upscale(srx, tmp_path):
    """Upscale a file to a format; return the output and the warnings."""

    def run(source, fmt, *options):
        target = tmp_path / f"out.{fmt}"
        report = tmp_path / "report.jsonl"
        srx(
            f"upscale {source} {target} -m bicubic -s 2 --report {report}",
            *options,
            code=0,
        )
        (line,) = map(json.loads, report.read_text().splitlines())
        return target, " ".join(line["warnings"])

    return run


CICP = [("p3", P3_SRGB, from_srgb_light), ("bt2020", BT2020_VIDEO, from_video_light)]


@pytest.mark.parametrize("write", [write_heic, write_avif])
@pytest.mark.parametrize(("space", "points", "curve"), CICP)
def test_wide_colours_of_heic_and_avif(upscale, tmp_path, write, space, points, curve):
    source = tmp_path / "in.avif"
    write(source, stored(space, curve), points)
    for fmt in (*HOLDING_PROFILES, "bmp", "gif"):
        target, told = upscale(source, fmt)
        assert error_of(target) < 8 / 255, fmt
        assert ("colours become sRGB" in told) == (fmt in ("bmp", "gif"))
        if fmt == "png":
            assert chunks_of(target)[b"cICP"] == bytes((*points, 0, 1))
    target, _ = upscale(source, "avif")
    assert code_points(target) == points
    assert np.abs(shown(target) - stored(space, curve)[0, ::16] / 255).max() < 4 / 255


@pytest.mark.parametrize("points", [BT2020_PQ, BT2020_HLG, (1, 16)])
@pytest.mark.parametrize("write", [write_heic, write_avif])
def test_hdr_is_kept_or_told(upscale, tmp_path, write, points):
    source = tmp_path / "in.heic"
    word = {16: "HDR (PQ)", 18: "HDR (HLG)"}[points[1]]
    grays = [[from_nits(nits)] * 3 for nits in (20, 203, 500, 900)]
    if points == BT2020_HLG:
        grays = [[0.3] * 3, [0.75] * 3, [0.88] * 3, [0.97] * 3]
    write(source, fields(grays), points)
    target, told = upscale(source, "png")
    assert chunks_of(target)[b"cICP"] == bytes((*points, 0, 1))
    assert "HDR" not in told
    target, told = upscale(source, "avif")
    assert code_points(target) == points
    assert "HDR" not in told
    for fmt in ("jpg", "webp", "tif"):
        target, told = upscale(source, fmt)
        assert f"{word} is kept only as a colour profile" in told
        with Image.open(target) as image:
            assert b"cicp\0\0\0\0" + bytes((*points, 0, 1)) in image.info["icc_profile"]
    levels = shown(target)[:, 1] * 255
    assert np.all(np.diff(levels) > 10)  # bright parts are compressed, not cut
    assert 170 < levels[1] < 210  # paper white is a light gray
    # by its label, by its profile
    for origin in (source, target.rename("in.tif")):
        target, told = upscale(origin, "bmp")
        assert f"{word} becomes SDR" in told
        assert np.abs(shown(target)[:, 1] * 255 - levels).max() < 4
        target.unlink()


def test_gray_hdr_is_told(upscale):
    pq = bytes((*BT2020_PQ, 0, 1))
    write_png("in.png", fields([[0.3], [0.5], [0.6], [0.7]])[:, :, 0], cICP=pq)
    for fmt, words in {
        "webp": "becomes SDR",
        "tif": "only as a colour profile",
    }.items():
        target, told = upscale("in.png", fmt)
        assert words in told
        assert np.all(np.diff(shown(target)[:, 0]) > 0)
    target, told = upscale("in.png", "avif")
    assert code_points(target) == BT2020_PQ
    assert "HDR" not in told


def test_gamma_and_primaries_of_png(upscale, tmp_path):
    source = tmp_path / "in.png"
    exponent = 563 / 256
    pixels = stored("adobe", lambda light: light ** (1 / exponent))
    chunks = {"gAMA": gamma_chunk(1 / exponent), "cHRM": points_chunk(ADOBE)}
    write_png(source, pixels, **chunks)
    for fmt in ("jpg", "webp", "tif", "avif", "bmp", "gif"):
        target, _ = upscale(source, fmt, "--strip-metadata")
        assert error_of(target) < 4 / 255, fmt
    target, told = upscale(source, "png")
    kept_chunks = chunks_of(target)
    assert {name: kept_chunks[name.encode()] for name in chunks} == chunks
    assert b"iCCP" not in kept_chunks
    assert "colour" not in told


@pytest.mark.parametrize("fmt", ["jpg", "webp", "bmp", "tif", "avif"])
def test_gamma_of_gray_png(upscale, fmt):
    light = np.array([0.05, 0.2, 0.5, 0.9])
    write_png("in.png", fields(light[:, None])[:, :, 0], gAMA=gamma_chunk(1.0))
    target, _ = upscale("in.png", fmt)
    assert np.abs(shown(target)[:, 1] - from_srgb_light(light)).max() < 4 / 255


ICC_CHUNK = b"icc\0\0" + zlib.compress(SRGB)
P3_CHUNK = bytes((*P3_SRGB, 0, 1))
LINEAR = gamma_chunk(1.0)


@pytest.mark.parametrize(
    ("chunks", "same"),
    [
        ({"cICP": P3_CHUNK, "iCCP": ICC_CHUNK, "gAMA": LINEAR}, False),
        ({"cICP": P3_CHUNK, "sRGB": b"\0"}, False),
        ({"iCCP": ICC_CHUNK, "gAMA": LINEAR, "cHRM": points_chunk(ADOBE)}, True),
        ({"sRGB": b"\0", "gAMA": LINEAR}, True),
        ({"gAMA": gamma_chunk(0.45455)}, True),
        ({"cICP": b"\1\x0d\0\1", "gAMA": LINEAR}, True),
        ({"gAMA": LINEAR}, False),
        ({"cHRM": bytes(32)}, True),  # impossible
    ],
)
def test_precedence_in_png(upscale, chunks, same):
    """The order cICP, iCCP, sRGB, gAMA and cHRM; all that a file has stays in PNG."""
    pixels = fields(COLOURS)
    write_png("in.png", pixels, **chunks)
    target, _ = upscale("in.png", "tif")
    assert (error_of(target) < 2 / 255) == same
    target, _ = upscale("in.png", "png")
    kept_chunks = chunks_of(target)
    for name in set(chunks) - {"iCCP"}:
        assert kept_chunks[name.encode()] == chunks[name]
    if "iCCP" in chunks:
        assert zlib.decompress(kept_chunks[b"iCCP"].split(b"\0", 2)[2]) == SRGB


def test_light_levels_of_png_stay(upscale):
    mastering = bytes(range(24))
    levels = struct.pack(">II", 10_000_000, 4_000_000)
    pq = bytes((*BT2020_PQ, 0, 1))
    write_png("in.png", fields(COLOURS), cICP=pq, mDCV=mastering, cLLI=levels)
    target, _ = upscale("in.png", "png")
    kept_chunks = chunks_of(target)
    assert (kept_chunks[b"cICP"], kept_chunks[b"mDCV"], kept_chunks[b"cLLI"]) == (
        pq,
        mastering,
        levels,
    )


def test_code_points_that_are_not_known(upscale):
    write_avif("in.avif", fields(COLOURS), (200, 13))
    target, told = upscale("in.avif", "jpg")
    assert "a kind that srx does not know (CICP 200/13)" in told
    target, _ = upscale("in.avif", "avif")
    assert code_points(target) == (200, 13)


def test_colours_of_animations(upscale):
    pixels = [stored("p3", from_srgb_light), stored("p3", from_srgb_light)[:, ::-1]]
    info = PngImagePlugin.PngInfo()
    info.add(b"cICP", P3_CHUNK)
    frames = [Image.fromarray(frame_pixels) for frame_pixels in pixels]
    frames[0].save(
        "in.png", save_all=True, append_images=frames[1:], duration=40, pnginfo=info
    )
    for fmt in ("webp", "gif", "png"):
        target, told = upscale("in.png", fmt)
        with Image.open(target) as image:
            assert getattr(image, "n_frames", 1) == 2
        if fmt == "png":
            assert chunks_of(target)[b"cICP"] == P3_CHUNK
        else:
            assert error_of(target) < 6 / 255
            assert ("colours become sRGB" in told) == (fmt == "gif")


@pytest.mark.parametrize("fmt", ["jpg", "png", "tif", "bmp"])
def test_colours_of_tiff_tags(upscale, fmt):
    white = ADOBE[:2]
    points = ADOBE[2:]

    def rationals(values):
        numerators = np.rint(np.array(values) * 10000).astype(int)
        return tuple(np.stack([numerators, numerators * 0 + 10000], 1).ravel().tolist())

    extra = [
        (318, "2I", 2, rationals(white), True),
        (319, "2I", 6, rationals(points), True),
    ]
    pixels = stored("adobe", lambda light: light ** (1 / 2.2))
    tifffile.imwrite("in.tif", pixels, photometric="rgb", extratags=extra)
    target, _ = upscale("in.tif", fmt)
    assert error_of(target) < 4 / 255


def test_a_transfer_function_of_tiff_is_left_out_with_a_line(upscale):
    curve = np.rint(np.linspace(0, 1, 256) ** 1.8 * 65535).astype(int)
    extra = [(301, "H", 256, tuple(curve.tolist()), True)]
    pixels = stored("adobe", lambda light: light ** (1 / 1.8))
    tifffile.imwrite("in.tif", pixels, photometric="rgb", extratags=extra)
    assert "transfer function of its colours left out" in upscale("in.tif", "png")[1]


@pytest.mark.parametrize("fmt", ["jpg", "png", "webp", "tif", "bmp"])
def test_adobe_rgb_of_cameras(upscale, fmt):
    """Cameras say it in EXIF alone, as the DCF standard has it."""
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    pixels = Image.fromarray(stored("adobe", lambda light: light ** (256 / 563)))
    pixels.save("in.jpg", exif=exif, quality=100, subsampling="4:4:4")
    target, _ = upscale("in.jpg", fmt)
    assert error_of(target) < 6 / 255


@pytest.mark.parametrize("embedded", [False, True])
def test_colours_of_bmp_headers_are_left_out_with_a_line(upscale, embedded):
    pixels = stored("adobe", lambda light: light ** (1 / 2.2))
    ends = []
    for x, y in ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)):
        ends += [round(x * 2**30), round(y * 2**30), round((1 - x - y) * 2**30)]
    size = 124 if embedded else 108
    icc = b""
    if embedded:  # a profile that another program would have put there
        pixels = fields(to_light(COLOURS))
        icc = linear_profile()
    data = pixels[::-1, :, ::-1].tobytes()
    header = struct.pack(
        "<IiiHHIIiiII", size, 64, 16, 1, 24, 0, len(data), 2835, 2835, 0, 0
    )
    header += struct.pack("<4I", 0, 0, 0, 0)
    header += struct.pack(
        "<I9i3I", 0x4D424544 if embedded else 0, *ends, *[round(2.2 * 65536)] * 3
    )
    if embedded:
        header += struct.pack("<4I", 4, size + len(data), len(icc), 0)
    start = 14 + size
    head = struct.pack("<2sIHHI", b"BM", start + len(data) + len(icc), 0, 0, start)
    Path("in.bmp").write_bytes(head + header + data + icc)
    assert "colours that its header describes left out" in upscale("in.bmp", "png")[1]


def linear_profile():
    """LittleCMS's sRGB with a linear curve."""
    icc = bytearray(SRGB)
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        at = icc.find(tag)
        start, _ = struct.unpack_from(">II", icc, at + 4)
        struct.pack_into(">II", icc, start + 4, 0, 0)
        icc[start : start + 4] = b"curv"
    return bytes(icc)
