"""Every page of a TIFF, as scanners write them, is enlarged into one TIFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence

from srcli.imaging.photographs import tiff_writing
from srcli.inference.stream import run_one
from srcli.pipelines.upscale import single_photographs
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.files import names_in
from tests.fixtures.pictures import read_pixels, save_frames

SMALL = "-m bicubic -s 2"


@pytest.fixture(autouse=True)
def scan(astronaut):
    """Pages of several kinds and sizes in one file, and each page alone."""
    pages = []
    for number, mode in enumerate(("RGB", "L", "1"), 1):
        page = Image.fromarray(astronaut[: 10 + number, :20]).convert(mode)
        page.save(f"{number}.tif", dpi=(300, 300))
        pages.append(page)
    save_frames("scan.tif", pages, dpi=(300, 300))


@pytest.mark.parametrize("limit", [tiff_writing.LARGEST_CLASSIC, 0])
@pytest.mark.parametrize("options", [SMALL, "-m bicubic -s 6 --dpi scale"])
def test_all_pages_become_what_each_becomes_alone(srx, monkeypatch, limit, options):
    monkeypatch.setattr(tiff_writing, "LARGEST_CLASSIC", limit)
    assert "only the first" not in srx("upscale scan.tif out", options, code=0).err
    assert Path("out/scan.tif").read_bytes()[2] == (42 if limit else 43)
    with Image.open("out/scan.tif") as document:
        pages = [page.copy() for page in ImageSequence.Iterator(document)]
    assert len(pages) == 3
    for number, page in enumerate(pages, 1):
        srx(f"upscale {number}.tif out", options, code=0)
        with Image.open(f"out/{number}.tif") as alone:
            np.testing.assert_array_equal(np.asarray(page), np.asarray(alone))
            assert page.info["dpi"] == alone.info["dpi"]
    assert "1 skipped" in srx("upscale scan.tif out", options, code=0).out


def test_pages_keep_exif_and_gps(srx, astronaut):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[33434] = 1 / 30
    exif.get_ifd(0x8825)[1] = "N"
    pages = [Image.fromarray(astronaut[: 20 + number, :20]) for number in range(2)]
    pages[0].save("a.tif", save_all=True, append_images=pages[1:], exif=exif.tobytes())
    srx("upscale a.tif b.tif", SMALL, code=0)
    for name in ("a.tif", "b.tif"):
        with tifffile.TiffFile(name) as document:
            assert len(document.pages) == 2
            for number in range(2):
                tags = document.pages.get(number).aspage().tags
                exposure = tags["ExifTag"].value["ExposureTime"]
                assert exposure == pytest.approx(1 / 30)
                assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"


def test_one_page_is_taken_and_wrong_ones_are_refused(srx):
    srx("upscale scan.tif out --pages 2", SMALL, code=0)
    srx("upscale 2.tif out", SMALL, code=0)
    alone = read_pixels("out/2.tif")
    np.testing.assert_array_equal(read_pixels("out/scan.tif"), alone)
    result = srx("upscale scan.tif out.png --pages 9", SMALL, code=2)
    assert "scan.tif: has no page 9; the last is 3" in result.err
    Image.open("1.tif").save("1.png")
    result = srx("upscale 1.png out --pages 2", SMALL, code=2)
    assert "1.png: has no page 2, as it is no TIFF" in result.err
    told = srx("upscale scan.tif a.png", SMALL, code=0).err
    assert "only the first is used" in told


def fail_at_page(monkeypatch, number, error):
    """Let the n-th page that is enlarged from now on fail, and none after it."""
    pages = []

    def fail(*arguments, **named):
        pages.append(arguments)
        if len(pages) == number:
            raise error
        return run_one(*arguments, **named)

    monkeypatch.setattr(single_photographs, "run_one", fail)
    return pages


def test_a_page_that_fails_is_reported_once_and_the_others_are_kept(srx, monkeypatch):
    fail_at_page(monkeypatch, 2, MemoryError())
    result = srx("upscale scan.tif out", SMALL, code=2)
    assert len(result.errors) == 1
    assert "does not fit into memory" in result.err
    assert names_in("out") == [".scan.tif.parts"]


@pytest.mark.parametrize("options", [SMALL, "-m bicubic -s 6"])
def test_finished_pages_are_kept_when_a_run_is_interrupted(srx, monkeypatch, options):
    srx("upscale scan.tif whole.tif", options, code=0)
    passes = 2 if "-s 6" in options else 1
    fail_at_page(monkeypatch, 2 * passes + 1, KeyboardInterrupt())
    srx("upscale scan.tif scans/", options, code=130)
    made = fail_at_page(monkeypatch, 99, KeyboardInterrupt())
    result = srx("upscale scan.tif scans/", options, code=0)
    assert "scan.tif: 2 of 3 pages are kept from an earlier run" in result.err
    assert len(made) == passes
    assert Path("scans/scan.tif").read_bytes() == Path("whole.tif").read_bytes()
    assert names_in("scans") == ["scan.tif"]


@pytest.mark.parametrize("damage", ["page", "reports.json", "options"])
def test_kept_pages_that_do_not_fit_are_made_again(srx, monkeypatch, damage):
    srx("upscale scan.tif whole.tif", SMALL, code=0)
    fail_at_page(monkeypatch, 3, KeyboardInterrupt())
    other = SMALL
    if damage == "options":
        other = f"{SMALL} --strip-provenance"  # which is written into each page
    srx("upscale scan.tif scans/", other, code=130)
    if damage == "page":
        (page,) = Path("scans/.scan.tif.parts").glob("part-000001-*.tif")
        content = bytearray(page.read_bytes())
        content[len(content) - 40] ^= 255
        page.write_bytes(content)
    elif damage == "reports.json":
        Path("scans/.scan.tif.parts/reports.json").write_text("[{", encoding="utf-8")
    made = fail_at_page(monkeypatch, 99, KeyboardInterrupt())
    srx("upscale scan.tif scans/", SMALL, code=0)
    assert len(made) == (2 if damage == "page" else 3)
    assert Path("scans/scan.tif").read_bytes() == Path("whole.tif").read_bytes()


def test_a_dry_run_tells_of_damaged_pages(srx):
    assert "only the first" not in srx("upscale scan.tif out --dry-run", code=0).out
    content = Path("scan.tif").read_bytes()
    with tifffile.TiffFile("scan.tif") as document:
        last = document.pages[2].offset
    Path("scan.tif").write_bytes(content[:-25])
    assert "would fail" in srx("upscale scan.tif out --dry-run", code=2).out
    Path("scan.tif").write_bytes(content[: last + 1])
    result = srx("upscale scan.tif out --dry-run", code=0)
    assert "its pages end with a damaged one" in result.out


def test_a_dry_run_counts_all_pages(srx):
    told = srx("upscale scan.tif out -m bicubic -s 16 --dry-run", code=0).out
    assert f"{(11 + 12 + 13) * 20 * 16**2 / 1e6:.1f} megapixels to write" in told


def test_the_bar_counts_all_pages_from_the_first_on(notes):
    options = settle(Asked(model="bicubic", scale=2))
    upscale_files([Path("scan.tif")], Path("out"), options, progress=notes)
    ((_, done, texts),) = notes.closed
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown by")]
    assert done == pytest.approx(sum(grown))
    assert grown[0] == pytest.approx(done, rel=0.1)  # though pages differ a little
    assert "scan.tif: page 2 of 3" in texts


def test_a_pdf_is_refused_with_what_helps(srx):
    Path("a.pdf").write_bytes(b"%PDF-1.7\n%abcdefghijklmnopqrstuvwxyz")
    err = srx("upscale a.pdf out", SMALL, code=2).err
    assert "pdfimages" in err
    assert "img2pdf" in err
    told = srx("upscale . out --dry-run", SMALL, code=0).out
    assert "files that srx does not read: 1 .pdf" in told


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
def test_an_a4_page_stays_a4(srx, astronaut, name):
    Image.fromarray(astronaut[:30, :20]).save(name, dpi=(300, 200))
    srx(f"upscale {name} out {SMALL} --keep-print-size", code=0)
    with Image.open(f"out/{name}") as larger:
        assert larger.size == (40, 60)
        assert larger.info["dpi"] == pytest.approx((600, 400), abs=0.1)


def test_the_size_of_prints_is_said_once(srx):
    run = srx(f"upscale 1.tif out {SMALL} --keep-print-size --dpi 300", code=2)
    assert "--keep-print-size and --dpi" in run.err
    run = srx(f"upscale 1.tif out {SMALL} --bilevel -f png", code=2)
    assert "--bilevel writes TIFFs" in run.err


def test_pages_become_black_and_white_by_half_of_the_gray_result(srx, astronaut):
    white = Image.fromarray(astronaut[:12, :20]).convert("RGBA")
    white.putalpha(0)
    white.save("clear.png")
    deep = astronaut[:12, :20].astype(np.uint16).mean(2).astype(np.uint16) * 257
    Image.fromarray(deep).save("deep.png")
    inputs = "scan.tif clear.png deep.png"
    srx(f"upscale {inputs} gray -f tif {SMALL}", code=0)
    srx(f"upscale {inputs} out {SMALL} --bilevel --keep-print-size", code=0)
    with tifffile.TiffFile("out/scan.tif") as file:
        assert len(file.pages) == 3
        for page in file.pages:
            assert isinstance(page, tifffile.TiffPage)
            assert (page.compression, page.bitspersample) == (4, 1)
            assert page.tags["XResolution"].value == (600, 1)
    with Image.open("gray/scan.tif") as grays, Image.open("out/scan.tif") as pages:
        for number in range(3):
            grays.seek(number)
            pages.seek(number)
            assert pages.mode == "1"
            shares = np.asarray(grays.convert("RGB")) @ np.array([0.299, 0.587, 0.114])
            np.testing.assert_array_equal(np.asarray(pages), shares >= 127.5)
    assert read_pixels("out/clear.tif").all()
    is_white = tifffile.imread("gray/deep.tif") >= 32768
    np.testing.assert_array_equal(read_pixels("out/deep.tif") > 0, is_white)
    assert (
        "3 skipped" in srx(f"upscale {inputs} out {SMALL} --bilevel", "--dpi scale").out
    )
