"""Inputs are paired with outputs; what would destroy or mix up files is refused before any work."""

from __future__ import annotations

import os

import pytest

from srcli.errors import UsageError
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.finished import find_due_and_finished
from srcli.pipelines.upscale.inputs import pair_inputs
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.reporter import Reporter
from tests.fixtures.progress import Notes


@pytest.fixture
def tree(tmp_path):
    """Make files of these names, in which nobody looks; return the first."""

    def make(*names, content=b""):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / names[0]

    return make


class Plan:
    """The pairs of inputs and outputs in a folder, and what is told of them."""

    def __init__(self, root, output="out", inputs=None, **naming):
        progress = Notes()
        reporter = Reporter(progress)
        inputs = inputs or [root / "in"]
        self.items, _ = pair_inputs(
            inputs, root / output, settle(Asked(**naming)), reporter
        )
        self.notes, self.failures = progress.messages, reporter.files
        plain = ((str(item.source), str(item.target)) for item in self.items)
        self.names = {
            os.path.relpath(source, root): os.path.relpath(out, root)
            for source, out in plain
        }


@pytest.mark.posix
def test_a_folder_keeps_names_and_formats(tree, tmp_path):
    tree(
        "in/b.jpg",
        "in/a.PNG",
        "in/ümläut 写真.webp",
        "in/m.jp2",
        "in/v.vrt",
        "in/sub/c.png",
    )
    tree("in/notes.txt", "in/.hidden.png", "in/.git/d.png")
    (tmp_path / "in/album.png").mkdir()
    os.mkfifo(tmp_path / "in/pipe.png")  # reading it would wait for ever
    names = ("a.PNG", "b.jpg", "ümläut 写真.webp")
    expected = {f"in/{name}": f"out/{name}" for name in names} | {
        "in/m.jp2": "out/m.tif"
    }
    plan = Plan(tmp_path)
    assert plan.names == expected
    assert plan.notes == [
        f"{tmp_path}/in/v.vrt: made of other files, left out; name it itself"
    ]
    expected["in/sub/c.png"] = "out/sub/c.png"
    assert Plan(tmp_path, recursive=True).names == expected


def test_results_inside_are_left_out(tree, tmp_path):
    tree(
        "in/a.png",
        "in/x/y/b.png",
        "in/out/old.png",
        "in/out/deeper/b.png",
        "in/out/c.psd",
    )
    plan = Plan(tmp_path, "in/out", recursive=True)
    assert plan.names == {
        "in/a.png": "in/out/a.png",
        "in/x/y/b.png": "in/out/x/y/b.png",
    }
    assert plan.notes == []


def test_writing_over_the_inputs_is_refused_unless_meant(tree, tmp_path):
    source = tree("in/a.jpg")
    assert "itself an input" in Plan(tmp_path, "in").failures[0].error
    plan = Plan(tmp_path, "in", overwrite=True)
    assert [item.target for item in plan.items] == [source]
    assert any(
        "1 picture is replaced" in note and "once only" in note for note in plan.notes
    )
    assert Plan(tmp_path, overwrite=True).notes == []


def test_the_same_folder_with_a_suffix_resumes_without_upscaling_results(
    tree, tmp_path
):
    tree("in/a.jpg", "in/a_x4.jpg")
    plan = Plan(tmp_path, "in", suffix="_x4")
    assert plan.names == {"in/a.jpg": "in/a_x4.jpg"}
    assert "1 pictures" in plan.notes[0]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out", "add -r"),
        ("a.png", "names a file"),
        ("out.png", "need a folder as output"),
    ]
    + [
        (f"b.{ending}", "is not written here; give png")
        for ending in ("HEIC", "gpkg", "GTIFF")
    ],
)
def test_nothing_to_do_is_an_error_that_says_so(tree, tmp_path, output, message):
    tree("in/sub/a.png" if output == "out" else "in/a.png", "a.png")
    with pytest.raises(UsageError, match=message):
        Plan(tmp_path, output)


def test_folders_may_be_named_as_files_are(tree, tmp_path):
    source = tree("a.png")
    (tmp_path / "b.jp2").mkdir()
    for folder in ("b.jp2", "v1.2"):
        assert Plan(tmp_path, folder, [source]).names == {"a.png": f"{folder}/a.png"}


def test_a_file_named_twice_is_one_file(tree, tmp_path):
    source = tree("in/a.png")
    inputs = [tmp_path / "in" / ".." / "in" / "a.png", source, source, tmp_path / "in"]
    assert Plan(tmp_path, "out", inputs).names == {"in/a.png": "out/a.png"}


def test_pictures_that_cannot_be_read_are_told_of(tree, tmp_path):
    tree(
        "in/a.png",
        "in/IMG_1.PSD",
        "in/IMG_2.PSD",
        "in/b.dng",
        "in/sub/c.ppm",
        "in/.d.psd",
    )
    plan = Plan(tmp_path)
    assert plan.names == {"in/a.png": "out/a.png"}
    assert len(plan.notes) == 1
    assert plan.notes[0] == "files that srx does not read: 2 .psd, 1 .dng"
    (tmp_path / "in/a.png").unlink()
    with pytest.raises(UsageError, match=r"no pictures in"):
        Plan(tmp_path, recursive=True)


@pytest.mark.parametrize(
    ("name", "content", "becomes"),
    [
        ("dem.asc", b"ncols 2", "dem.tif"), ("scene.nc", b"CDF\1", "scene.tif"),
        ("noext", b"\0\1\2", "noext.tif"), ("photo", b"\x89PNG\r\n\x1a\n", "photo.png"),
        ("ortho.dat", b"II*\0", "ortho.tif"), ("still.gif", b"GIF89a", "still.png"),
        ("photo.jpg_large", b"\xff\xd8\xff\xe0", "photo.jpg"), ("moving", b"GIF89a", "moving.png"),
    ],
)  # fmt: skip
def test_files_of_unknown_suffixes_become_what_suits_their_content(
    tree, tmp_path, name, content, becomes
):
    (item,) = Plan(tmp_path, "out", [tree(name, content=content)]).items
    assert item.target.name == becomes


@pytest.mark.parametrize("suffix", ["/../x", "a\0b"])
def test_a_suffix_cannot_lead_elsewhere(tree, tmp_path, suffix):
    tree("in/a.png")
    with pytest.raises(UsageError, match="is a part of a name, without folders"):
        Plan(tmp_path, suffix=suffix)


def test_names_that_no_file_can_have_are_told(tree, tmp_path):
    long = tmp_path / ("n" * 300 + ".png")
    assert (
        "looked at (File name too long)"
        in Plan(tmp_path, "out", [long]).failures[0].error
    )
    reporter = Reporter(Notes())
    assert find_due_and_finished([tree("a.png")], long, settle(Asked()), reporter) == (
        [],
        [],
    )
    assert reporter.files[0].error.endswith("the name is too long; take a shorter one")


@pytest.mark.posix
def test_links_and_closed_folders_are_told_and_circles_end(tree, tmp_path, monkeypatch):
    folder = tree("in/a.png", "in/deep/b.png", "in/sub/c.png").parent
    (folder / "link").symlink_to(folder / "deep")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "loop.png").symlink_to("loop.png")
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    monkeypatch.setattr(type(folder), "is_symlink", guarded)  # raises as deep paths do
    plan = Plan(tmp_path, recursive=True)
    assert sorted(plan.names) == ["in/a.png", "in/deep/b.png", "in/loop.png"]
    links = [folder / "deep" / "up", folder / "link"]
    assert sorted(plan.notes) == [
        f"{link}: a link to a folder, not followed" for link in links
    ]
    for failed in (plan, Plan(tmp_path, "out", [folder / "sub"], recursive=True)):
        (report,) = failed.failures
        assert report.source == folder / "sub"
        assert (
            report.error
            == f"{report.source}: cannot be looked into (Permission denied)"
        )
    assert Plan(tmp_path).notes == []


@pytest.mark.posix
def test_outputs_by_two_spellings_of_one_folder_are_one(tree, tmp_path):
    inputs = [tree("x/a.png"), tree("y/a.png")]
    (tmp_path / "x/b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    plan = Plan(tmp_path, "link", inputs[::-1])
    assert "is itself an input" in plan.failures[0].error
    assert plan.items == []
