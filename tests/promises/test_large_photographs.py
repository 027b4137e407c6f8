"""A photograph is a photograph, whatever its size: only how it is computed depends on that.

The bound above which its rows are kept on the disk is an option, here a small one.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from srcli.imaging.pixels.geometry import Box
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.files import names_in
from tests.fixtures.photographs import SRGB
from tests.fixtures.pictures import read_pixels, save_frames

BICUBIC = settle(Asked(model="bicubic", scale=4))
BY_PARTS = replace(BICUBIC, whole_pixels=1)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


def camera_exif(orientation=1):
    """EXIF of a camera that knows where it is."""
    exif = Image.Exif()
    exif[271] = "Maker"
    exif[274] = orientation
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 20.0, 30.5)})
    exif.get_ifd(0x8769)[36867] = "2024:01:02 03:04:05"
    return exif


def save_jpeg(path, pixels, orientation=1):
    exif = camera_exif(orientation)
    Image.fromarray(pixels).save(
        path, quality=80, exif=exif, dpi=(300, 300), comment=b"a cat", icc_profile=SRGB
    )
    return Path(path)


def save_png(path, pixels):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "A. Person")
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    Image.fromarray(pixels).save(path, pnginfo=texts, dpi=(72, 72))
    return Path(path)


@pytest.fixture
def with_alpha(astronaut):
    """Red, green, blue and a soft alpha, part of it clear."""
    alpha = np.linspace(0, 300, astronaut.shape[1]).clip(40, 295) - 40
    alpha = np.broadcast_to(alpha.astype(np.uint8), astronaut.shape[:2])
    return np.dstack([astronaut, alpha])


def enlarge(source, folder, options=BICUBIC):
    (report,) = upscale_files([Path(source)], Path(folder), options).files
    assert report.state == "done", report.error
    return report


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scale": 3, "size": Box(longest=250)},
        {"scale": 4, "size": Box(longest=500), "wrap": "x"},
    ],
    ids=["x4", "smaller", "two passes"],
)
@pytest.mark.parametrize("kind", ["jpg", "turned", "alpha", "deep", "floats", "gray"])
def test_large_ones_become_the_same_files(
    kind, changes, astronaut, with_alpha, tmp_path
):
    path = tmp_path / "a.png"
    astronaut = astronaut[:64, :80]
    if kind in ("jpg", "turned"):
        path = save_jpeg("a.jpg", astronaut, 6 if kind == "turned" else 1)
    elif kind == "alpha":
        save_png(path, with_alpha[:64, :80])
    elif kind == "gray":
        Image.fromarray(astronaut[:, :, 0]).convert("RGB").save(path)
    else:
        path = tmp_path / "a.tif"
        pixels = astronaut.astype(np.uint16) * 257
        if kind == "floats":
            pixels = astronaut / np.float32(100)
            pixels[3, 4] = np.nan
        tifffile.imwrite(path, pixels, photometric="rgb", metadata=None)
    whole = enlarge(path, "whole", replace(BICUBIC, **changes))
    by_parts = enlarge(path, "parts", replace(BY_PARTS, **changes))
    assert by_parts.target.read_bytes() == whole.target.read_bytes()
    assert by_parts.warnings == whole.warnings
    assert names_in("parts") == [path.name]


@pytest.mark.parametrize("name", ["a.webp", "a.bmp", "a.jpg", "a.tif"])
def test_formats_hold_the_same_of_large_ones(name, with_alpha):
    save_png("a.png", with_alpha)
    enlarge("a.png", Path("whole") / name)
    enlarge("a.png", Path("parts") / name, BY_PARTS)
    parts = Path("parts", name).read_bytes()
    assert parts == Path("whole", name).read_bytes()


def test_a_bmp_is_what_pillow_makes_of_its_pixels(astronaut):
    for pixels in (astronaut[:50, :33], astronaut[:50, :33, 0]):
        Image.fromarray(pixels).save("a.png", dpi=(300, 300))
        enlarge("a.png", "a.bmp", replace(BICUBIC, overwrite=True))
        with Image.open("a.bmp") as larger:
            larger.save("b.bmp", dpi=larger.info["dpi"])
        assert Path("a.bmp").read_bytes() == Path("b.bmp").read_bytes()
        enlarge("a.png", "b.png", replace(BICUBIC, overwrite=True))
        np.testing.assert_array_equal(read_pixels("a.bmp"), read_pixels("b.png"))


def test_a_folder_of_small_and_large_ones_has_one_look(astronaut):
    Path("in").mkdir()
    save_jpeg("in/large.jpg", astronaut)
    save_jpeg("in/turned.jpg", astronaut, 6)
    save_jpeg("in/small.jpg", astronaut[:100, :120])
    options = settle(Asked(model="auto", scale=2, whole_pixels=60_000))
    reports = upscale_files([Path("in")], Path("out"), options).files
    assert [report.state for report in reports] == ["done"] * 3
    assert {report.model for report in reports} == {"g-idrn-photo"}
    for report in reports:
        with Image.open(report.target) as larger:
            exif = larger.getexif()
            assert (exif[271], exif[274]) == ("Maker", 1)
            assert exif.get_ifd(0x8825)[2] == (47, 20, 30.5)
            assert larger.info["dpi"] == (300, 300)
            assert larger.info["comment"] == b"a cat"
            assert larger.info["icc_profile"] == SRGB
            assert {layer[1:3] for layer in vars(larger)["layer"]} == {(1, 1)}
    planned = upscale_files([Path("in")], Path("new"), options, dry_run=True).files
    models = {report.source.name: report.model for report in planned}
    assert models["large.jpg"] == models["turned.jpg"] == "g-idrn-photo"


def test_all_large_pages_of_a_document_are_made(astronaut):
    pages = []
    for number in (1, 2, 3):
        page = Image.fromarray(astronaut[: 60 + number]).convert("1")
        page.save(f"{number}.tif", dpi=(600, 600))
        pages.append(page)
    save_frames("scan.tif", pages, dpi=(600, 600))
    assert enlarge("scan.tif", "out", BY_PARTS).frames == 3
    for number in (1, 2, 3):
        enlarge(f"{number}.tif", "out")
        with Image.open("out/scan.tif") as document:
            document.seek(number - 1)
            larger = np.asarray(document)
            assert document.info["dpi"] == (600, 600)
        np.testing.assert_array_equal(larger, read_pixels(f"out/{number}.tif"))
    assert names_in("out") == ["1.tif", "2.tif", "3.tif", "scan.tif"]


KILLED = """
import os, signal, sys
from pathlib import Path
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from srcli.ports import Progress, Task


class Killing(Task):
    left = 20

    def advance(self, amount=1.0):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


class Killer(Progress):
    def task(self, *arguments, **named):
        return Killing()


options = settle(Asked(model="bicubic", scale=4, tile=48, whole_pixels=1))
upscale_files([Path("a.jpg")], Path("out"), options, progress=Killer())
"""
TILED = replace(BY_PARTS, tile=48)


@pytest.fixture
def killed(astronaut, forking_python):
    """Kill a run in the middle of a photograph; the folder of what it has left."""
    save_jpeg("a.jpg", np.tile(astronaut, (2, 1, 1)))
    assert forking_python.run(KILLED).returncode == -signal.SIGKILL
    assert names_in("out") == [".a.jpg.parts", ".a.jpg.srx-claim"]
    return Path("out/.a.jpg.parts")


@pytest.mark.posix
def test_a_killed_run_goes_on_inside_a_photograph(killed, notes):
    assert list(killed.glob("*.mark"))
    upscale_files([Path("a.jpg")], Path("out"), TILED, progress=notes)
    told = " ".join(notes.messages)
    assert "of 1024 rows are kept from an earlier run" in told
    enlarge("a.jpg", "whole", replace(BICUBIC, tile=48))
    assert Path("out/a.jpg").read_bytes() == Path("whole/a.jpg").read_bytes()
    assert names_in("out") == ["a.jpg"]


@pytest.mark.posix
def test_rows_that_the_disk_has_damaged_are_made_again(killed):
    with (killed / "picture-000").open("r+b") as rows:
        rows.seek(2000)
        rows.write(bytes(range(256)))
    enlarge("a.jpg", "out", TILED)
    enlarge("a.jpg", "whole", replace(BICUBIC, tile=48))
    assert Path("out/a.jpg").read_bytes() == Path("whole/a.jpg").read_bytes()


@pytest.mark.posix
def test_another_scale_starts_over_and_says_so(killed, notes):
    options = replace(TILED, scale=2)
    upscale_files([Path("a.jpg")], Path("out"), options, progress=notes)
    told = " ".join(notes.messages)
    assert "not continued: changed: model, scale" in told
    assert read_pixels("out/a.jpg").shape[0] == 512
