"""A comic book or a zip becomes another one: pictures enlarged, all else as it was."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from srcli.pipelines.upscale import archives
from srcli.pipelines.upscale.photographs import PhotographUpscaler
from tests.fixtures.files import names_in
from tests.fixtures.pictures import size_of

SMALL = "-m bicubic -s 2"
NAMES = ["b/2.png", "b/notes.txt", "a/2.png", "__MACOSX/._2.png", "1.jpg"]


@pytest.fixture(autouse=True)
def book():
    """A comic book with pictures of one name, a text, and what a Mac leaves."""
    with zipfile.ZipFile("book.cbz", "w") as archive:
        archive.comment = b"read me"
        for number, name in enumerate(NAMES):
            with archive.open(name, "w") as member:
                if name.startswith("__") or name.endswith("txt"):
                    member.write(b"text")
                else:
                    picture = Image.new("RGB", (8 + number, 6))
                    picture.save(member, "png" if "png" in name else "jpeg")


def sizes(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment == b"read me"
        assert (
            archive.read("b/notes.txt") == archive.read("__MACOSX/._2.png") == b"text"
        )
        pictures = {}
        for name in archive.namelist():
            if "notes" not in name and "._" not in name:
                with archive.open(name) as member:
                    pictures[name] = size_of(member)
        return archive.namelist(), pictures


@pytest.mark.parametrize("target", ["larger.cbz", "out/"])
def test_pictures_are_enlarged_and_order_and_names_kept(srx, target):
    srx(f"upscale book.cbz {target} --dry-run", SMALL, code=0)
    assert names_in() == ["book.cbz"]
    result = srx(f"upscale book.cbz {target} -v", SMALL, code=0)
    for name in ("b/2.png", "a/2.png", "1.jpg"):
        assert f"book.cbz/{name} -> book.cbz/{name} (bicubic" in result.err
    file = "out/book.cbz" if target == "out/" else target
    names, pictures = sizes(file)
    assert names == NAMES
    assert pictures == {"b/2.png": (16, 12), "a/2.png": (20, 12), "1.jpg": (24, 12)}
    assert not list(Path(file).parent.glob(".*"))
    assert "--overwrite replaces it" in srx(f"upscale book.cbz {target}", code=2).err


def test_another_format_renames_and_a_bad_picture_stays(srx):
    with zipfile.ZipFile("book.cbz", "a") as archive:
        archive.writestr("bad.png", b"no picture")
        archive.writestr("b/2.jpg", archive.read("1.jpg"))
    told = srx("upscale book.cbz larger.zip -f webp", SMALL, code=1).out
    assert "1 failed (in the result as they were)" in told
    with zipfile.ZipFile("larger.zip") as archive:
        assert archive.namelist()[:3] == ["b/2.webp", "b/notes.txt", "a/2.webp"]
        assert archive.read("bad.png") == b"no picture"
        assert archive.namelist()[-1] == "b/2_jpg.webp"


def test_an_interrupted_run_leaves_no_archive_and_the_next_one_goes_on(
    srx, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(PhotographUpscaler, "_save", interrupt_at_second())
        assert srx("upscale book.cbz larger.cbz -j 1", SMALL).code == 130
    assert not Path("larger.cbz").exists()
    result = srx("upscale book.cbz larger.cbz", SMALL, code=0)
    assert "2 done, 1 skipped" in result.out
    assert names_in() == ["book.cbz", "larger.cbz"]


def interrupt_at_second():
    save = PhotographUpscaler._save
    jobs = []

    def stop(self, job):
        jobs.append(job)
        if len(jobs) > 1:
            raise KeyboardInterrupt
        save(self, job)

    return stop


def test_bombs_and_encrypted_archives_are_refused(srx, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 10)
    assert "unpacks to" in srx("upscale book.cbz a.cbz", SMALL, code=2).err
    content = bytearray(Path("book.cbz").read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    Path("book.cbz").write_bytes(content)
    assert "is encrypted" in srx("upscale book.cbz a.cbz", SMALL, code=2).err
    Path("book.cbz").write_bytes(content[:-30])
    assert "no zip archive" in srx("upscale book.cbz a.cbz", SMALL, code=2).err
    assert names_in() == ["book.cbz"]


@pytest.mark.parametrize("target", ["page.png", "-"])
def test_a_mistyped_output_is_refused(srx, target):
    result = srx(f"upscale book.cbz {target}", SMALL, code=2)
    assert f"{target}: give a name that ends in .cbz or .zip, or a folder" in result.err
    assert names_in() == ["book.cbz"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_a_book_tells_no_sizes_of_former_pictures(srx, encoding):
    page = '<Page Image="0" Type="FrontCover" ImageSize="999" ImageWidth="8" ImageHeight=\'6\' />'
    text = f"<ComicInfo><Title>Å</Title><Pages>{page}</Pages></ComicInfo>"
    with zipfile.ZipFile("a.cbz", "w") as archive:
        archive.writestr("ComicInfo.xml", text.encode(encoding))
        with archive.open("1.png", "w") as member:
            Image.new("RGB", (8, 6)).save(member, "png")
    srx("upscale a.cbz b.cbz", SMALL, code=0)
    with zipfile.ZipFile("b.cbz") as archive:
        page = '<Page Image="0" Type="FrontCover" />'
        expected = f"<ComicInfo><Title>Å</Title><Pages>{page}</Pages></ComicInfo>"
        assert archive.read("ComicInfo.xml").decode(encoding) == expected


@pytest.mark.parametrize("target", ["out/", "larger.cbz"])
def test_a_zip_with_the_name_of_a_rar_is_read(srx, target):
    Path("book.cbz").rename("book.cbr")
    srx(f"upscale book.cbr {target}", SMALL, code=0)
    names, _ = sizes("out/book.cbz" if target == "out/" else target)
    assert names == NAMES


def test_a_folder_that_cannot_be_written_is_blamed_itself(srx, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "out/.book.cbz.srx")

    monkeypatch.setattr(Path, "mkdir", refuse)
    told = srx("upscale book.cbz out/", SMALL, code=2).err
    assert "out/book.cbz: no permission to write here; take another folder" in told


@pytest.mark.parametrize("suffix", ["cbz", "cbr"])
def test_a_folder_of_books_says_how_they_are_read(srx, suffix):
    Path("books").mkdir()
    Path("book.cbz").rename(f"books/book.{suffix}")
    told = srx("upscale books out/", SMALL, code=2).err
    assert f"no pictures in books (books/book.{suffix}: name it itself" in told
    assert ".tif" not in told
