"""Texts of PNG and comments of JPEG survive, and profiles that PNG hides in texts are used."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin, PngImagePlugin

from tests.fixtures.photographs import SRGB

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="%s"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
WORKFLOW = json.dumps(
    [{"id": n, "class_type": "KSampler", "seed": n * 7919} for n in range(9000)]
)


def half_bright():
    """A picture whose upper half is white, 12 wide and 8 high."""
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:4] = 255
    return Image.fromarray(pixels)


def exif_of(make, orientation=6):
    exif = Image.Exif()
    exif[0x010F] = make
    exif[0x0112] = orientation
    return exif.tobytes()


def raw_profile(name, profile):
    """A profile as ImageMagick and ExifTool write it."""
    digits = profile.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{name}\n{len(profile):8d}\n{lines}\n"


def save(path, texts=(), image=None, **options):
    info = PngImagePlugin.PngInfo()
    for keyword, text, *packed in texts:
        info.add_text(keyword, text, zip=bool(packed))
    (image or half_bright()).save(path, pnginfo=info, **options)
    return path


@pytest.fixture
def upscale(srx):

    def run(source, target, *options):
        result = srx(f"upscale {source} {target} -m bicubic -s 2", *options, code=0)
        with Image.open(target) as image:
            image.load()
            return image, result.err

    return run


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("keyword", "name", "prefix"),
    [
        ("exif", "exif", b""),
        ("APP1", "generic profile", b""),
        ("APP1", "exif", b"Exif\0\0"),
    ],
)
def test_exif_in_a_raw_profile_turns_the_picture(
    upscale, keyword, name, prefix, packed
):
    block = prefix + exif_of("Camera").removeprefix(b"Exif\0\0" if prefix else b"")
    # some writers put bytes behind
    digits = raw_profile(name, block) + "$\x91" * packed
    text = (f"Raw profile type {keyword}", digits, *["zip"] * packed)
    image, told = upscale(save("a.png", [text]), "b.png")
    assert image.size == (16, 24)
    columns = np.asarray(image.convert("L")).mean(0)
    assert columns[-4:].min() > 250  # the first row is on the right
    assert columns[:4].max() < 5
    assert dict(image.getexif()) == {0x010F: "Camera", 0x0112: 1}
    assert not [key for key in image.info if "profile" in key.lower()]
    assert "warning" not in told


def test_xmp_and_colours_in_raw_profiles_are_kept(upscale):
    app1 = b"http://ns.adobe.com/xap/1.0/\0" + XMP % b"first"
    for number, text in enumerate(
        [("APP1", "generic profile", app1), ("xmp", "xmp", XMP % b"2")]
    ):
        keyword, name, profile = text
        texts = [(f"Raw profile type {keyword}", raw_profile(name, profile), "zip")]
        texts += [("Raw profile type icc", raw_profile("icc", SRGB), "zip")]
        texts += [("Raw profile type iptc", raw_profile("iptc", b"8BIM"), "zip")]
        source = save(f"{number}.png", texts)
        image, told = upscale(source, f"out{number}.png")
        assert image.info["xmp"] == profile[profile.index(b"<x:") :]
        assert image.info["icc_profile"] == SRGB
        assert "IPTC captions left out" in told


CAPTION = b"\x1c\x02\x78\x00\x05Caf\xc3\xa9\x1c\x02\x50\x00\x07Ana Doe"


def test_captions_of_the_press_are_kept(upscale, tmp_path):
    # bytes, as Photoshop writes them
    words = struct.unpack(">6I", CAPTION.ljust(24, b"\0"))
    tags = [(33723, 4, 6, words, True)]
    pixels = np.full((4, 6, 3), 90, np.uint8)
    source = tmp_path / "0.tif"
    tifffile.imwrite(source, pixels, photometric="rgb", extratags=tags, byteorder=">")
    for name in ("1.jpg", "2.jpg", "3.tif"):
        target = tmp_path / name
        _, told = upscale(source, target)
        with Image.open(target) as image:
            caption = IptcImagePlugin.getiptcinfo(image) or {}
        assert (caption[2, 120], caption[2, 80]) == ("Café".encode(), b"Ana Doe")
        assert "IPTC" not in told
        upscale(source, bare := tmp_path / f"bare{name}", "--strip-metadata")
        assert b"Ana Doe" not in bare.read_bytes()
        source = target
    with tifffile.TiffFile(source) as file:
        # a whole number of words: what exiftool 12.57 -validate asks for
        page: Any = file.pages[0]
        assert page.tags[33723].dtype == 4
    assert "png holds no IPTC captions: left out" in upscale(source, "4.png")[1]


def test_proper_chunks_come_before_raw_profiles(upscale):
    texts = [
        ("Raw profile type exif", raw_profile("exif", exif_of("Raw", 3)), "zip"),
        ("Raw profile type xmp", raw_profile("xmp", XMP % b"raw"), "zip"),
        ("Raw profile type icc", raw_profile("icc", b"not the profile"), "zip"),
    ]
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", (XMP % b"proper").decode())
    for keyword, text, _ in texts:
        info.add_text(keyword, text, zip=True)
    options = {"exif": exif_of("Proper"), "icc_profile": SRGB}
    half_bright().save("a.png", pnginfo=info, **options)
    image, _ = upscale("a.png", "b.png")
    assert image.size == (16, 24)
    assert image.getexif()[0x010F] == "Proper"
    assert b"proper" in image.info["xmp"]
    assert image.info["icc_profile"] == SRGB


@pytest.mark.parametrize(
    "text",
    [
        raw_profile("exif", exif_of("Camera"))[:-20],
        raw_profile("exif", exif_of("Camera")).replace("a", "g"),
        "\nexif\n" + "9" * 5000 + "\n00",
        "exif",
        "\n" * (2**24 + 9),
    ],
    ids=["cut", "no digits", "long length", "no lines", "bomb"],
)
def test_damaged_profiles_and_bombs_are_named_and_left_out(upscale, text):
    texts = [("Raw profile type exif", text, "zip"), ("Comment", "by the sea")]
    image, told = upscale(save("a.png", texts), "b.png")
    assert image.size == (24, 16)
    assert image.info["Comment"] == "by the sea"
    assert "Raw profile type exif" in told


def test_texts_of_a_png_stay_in_a_png(upscale):
    texts = {
        "parameters": "a lighthouse\nNegative prompt: ships\nSteps: 20, Size: 512x512",
        "Copyright": "(c) Jürgen",
        "Description": "Zażółć gęślą jaźń",
    }
    info = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        info.add_text(keyword, text)  # text beyond Latin-1 becomes iTXt
    info.add_text("workflow", WORKFLOW, zip=True)
    info.add_text("prompt", WORKFLOW)
    info.add_itxt("Title", "灯台", "ja", "題名", zip=True)
    for keyword in (
        "date:create",
        "exif:Orientation",
        "Thumb::Image::Width",
        "png:IHDR.width",
    ):
        info.add_text(keyword, "of the input")
    half_bright().save("a.png", pnginfo=info)
    image, _ = upscale("a.png", "b.png")
    assert image.text.pop("Software").startswith("srx ")
    assert image.text == texts | {
        "workflow": WORKFLOW,
        "prompt": WORKFLOW,
        "Title": "灯台",
    }
    title = image.text["Title"]
    assert (title.lang, title.tkey) == ("ja", "題名")
    image, _ = upscale("a.png", "c.png", "--strip-metadata")
    assert set(image.text) <= {"Software"}


def test_texts_of_an_animation_stay(srx, upscale):
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "lime", "blue")]
    texts = [("Author", "Ann"), ("workflow", WORKFLOW, "zip")]
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": frames[1:],
        "duration": 100,
    }
    save("a.png", texts, frames[0], **options)
    image, _ = upscale("a.png", "b.png")
    assert (image.n_frames, image.text["Author"]) == (3, "Ann")
    assert image.text["workflow"] == WORKFLOW
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x8298] = "(c) Ann"
    exif.get_ifd(0x8769)[0xA214] = (6, 4)
    options |= {"exif": exif.tobytes(), "xmp": XMP % b"Camera", "lossless": True}
    frames[0].save("a.webp", **options)
    srx("upscale a.webp b.webp -m bicubic -s 2", code=0)
    with Image.open("b.webp") as image:
        assert image.info["xmp"] == XMP % b"Camera"
        kept_exif = image.getexif()
        assert (kept_exif[0x010F], kept_exif[0x8298]) == ("Camera", "(c) Ann")
        assert kept_exif.get_ifd(0x8769)[0xA214] == (12, 8)
        image.seek(2)
        assert np.asarray(image.convert("RGB"))[4, 4].tolist() == [0, 0, 255]


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "tif"])
def test_texts_that_exif_knows_reach_other_formats(srx, suffix):
    texts = [
        ("Title", "Lighthouse"),
        ("Author", "Ann"),
        ("Copyright", "(c) Ann"),
        ("Creation Time", "Mon, 06 May 2024 07:08:09 +0200"),
        ("parameters", "a lighthouse, Steps: 20"),
        ("workflow", WORKFLOW),
    ]
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x8298] = "of EXIF"
    exif.get_ifd(0x8769)[0x829A] = 0.5
    source = save("a.png", texts, exif=exif)
    result = srx(f"upscale {source} b.{suffix} -m bicubic -s 2", code=0)
    left_out = {"Creation Time", "parameters", "workflow"}
    told = result.err.partition("text entries left out (png keeps them): ")[
        2
    ].partition("\n")[0]
    assert set(told.split(", ")) == left_out
    with Image.open(f"b.{suffix}") as image:
        kept_exif = image.getexif()
        details = kept_exif.get_ifd(0x8769)
    assert (kept_exif[0x010E], kept_exif[0x013B], kept_exif[0x010F]) == (
        "Lighthouse",
        "Ann",
        "Camera",
    )
    assert kept_exif[0x8298] == "of EXIF"  # which came first
    assert kept_exif[0x0131].startswith("srx ")
    assert details[0x829A] == 0.5


def test_unicode_in_exif(upscale):
    save("a.png", [("Author", "Zoë Łuk")])
    image, _ = upscale("a.png", "b.jpg")
    assert "Zoë Łuk".encode() in image.info["exif"]


def test_a_long_text_does_not_push_exif_out_of_a_jpg(upscale):
    texts = [("Description", WORKFLOW), ("Author", "Ann")]
    save("a.png", texts, exif=exif_of("Camera"))
    image, told = upscale("a.png", "b.jpg")
    assert (image.getexif()[0x010F], image.getexif()[0x013B]) == ("Camera", "Ann")
    assert "text entries left out (png keeps them): Description" in told


@pytest.mark.parametrize("comment", ["by the sea", "am Meer: Küste", "海"])
def test_comments_of_jpeg_are_kept(upscale, comment):
    half_bright().save("a.jpg", comment=comment.encode())
    image, told = upscale("a.jpg", "b.jpg")
    assert image.info["comment"].decode() == comment
    assert "left out" not in told
    image, _ = upscale("a.jpg", "c.png")
    assert image.text["Comment"] == comment
    image, _ = upscale("c.png", "d.jpg")
    assert image.info["comment"].decode() == comment


def test_many_bombs_cost_little(srx, monkeypatch):
    """All texts together unpack to 32 MiB at most, and others can open what is written."""
    bomb = zlib.compress(bytes(2**24), 9)
    info = PngImagePlugin.PngInfo()
    for number in range(30):
        info.add(b"zTXt", f"text{number}\0\0".encode() + bomb)
    half_bright().save("a.png", pnginfo=info)
    unpacked = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self):
            self.inner = real()

        def decompress(self, content, limit):
            unpacked.append(len(result := self.inner.decompress(content, limit)))
            return result

        @property
        def eof(self):
            return self.inner.eof

    monkeypatch.setattr("srcli.imaging.photographs.png.zlib.decompressobj", Counting)
    outcome = srx("upscale a.png b.png -m bicubic -s 2", code=0)
    assert "damaged or too large" in outcome.err
    assert 2**24 <= sum(unpacked) < 2**27
    with Image.open("b.png") as image:
        assert set(image.info) == {"Software"}
