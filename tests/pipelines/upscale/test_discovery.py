"""Walks over folders: what is picked up, and what is told of the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from srcli.pipelines.upscale.discovery import find_pictures, real_path, same_file


@pytest.fixture
def tree(tmp_path):
    """Make files of these names below a folder, which is returned."""

    def make(*names):
        for name in names:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "in"

    return make


def names(found, folder):
    return [path.relative_to(folder).as_posix() for path in found.pictures]


def test_pictures_and_rasters_by_their_suffix(tree, tmp_path):
    folder = tree("b.PNG", "a.jp2", "m.vrt", "notes.txt", ".hidden.png", "sub/c.jpg", ".git/d.png")
    flat = find_pictures(folder, tmp_path / "out", recursive=False)
    assert names(flat, folder) == ["a.jp2", "b.PNG"]
    assert flat.products == [folder / "m.vrt"]
    deep = find_pictures(folder, tmp_path / "out", recursive=True)
    assert names(deep, folder) == ["a.jp2", "b.PNG", "sub/c.jpg"]
    assert (deep.linked, deep.unreadable) == ([], [])


def test_results_inside_are_left_out(tree):
    folder = tree("a.png", "out/a.png", "out/deeper/b.png")
    assert names(find_pictures(folder, folder / "out", recursive=True), folder) == ["a.png"]
    same = find_pictures(folder, folder, recursive=True)
    assert names(same, folder) == ["a.png", "out/a.png", "out/deeper/b.png"]


def test_what_is_no_file_is_left_out(tree, tmp_path):
    folder = tree("a.png")
    (folder / "b.png").mkdir()
    os.mkfifo(folder / "c.png")  # reading it would wait for ever
    assert names(find_pictures(folder, tmp_path / "out", recursive=True), folder) == ["a.png"]


def test_links_to_folders_are_told_and_circles_end(tree, tmp_path):
    folder = tree("a.png", "sub/b.png")
    (folder / "link").symlink_to(folder / "sub")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "loop.png").symlink_to("loop.png")
    found = find_pictures(folder, tmp_path / "out", recursive=True)
    assert names(found, folder) == ["a.png", "loop.png", "sub/b.png"]
    assert found.linked == [folder / "link", folder / "sub" / "up"]
    assert real_path(folder / "loop.png").endswith("loop.png")
    assert find_pictures(folder, tmp_path / "out", recursive=False).linked == []


def test_pictures_of_other_formats_are_left_alone_and_told(tree, tmp_path):
    folder = tree("a.png", "IMG.PSD", "sub/b.dng", "notes.txt", ".hidden.psd", "out/c.psd")
    deep = find_pictures(folder, folder / "out", recursive=True)
    assert names(deep, folder) == ["a.png"]
    assert sorted(deep.others) == [folder / "IMG.PSD", folder / "sub" / "b.dng"]
    assert find_pictures(folder, folder / "out", recursive=False).others == [folder / "IMG.PSD"]


def test_a_folder_that_cannot_be_looked_into_is_told(tree, tmp_path, monkeypatch):
    folder = tree("a.png", "sub/b.png")
    scandir = os.scandir

    def guarded(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = find_pictures(folder, tmp_path / "out", recursive=True)
    assert names(found, folder) == ["a.png"]
    assert found.unreadable == [(folder / "sub", "cannot be looked into (Permission denied)")]


def test_places_are_the_same_however_they_are_spelled(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    assert same_file(tmp_path / "a" / "x.png", tmp_path / "b" / ".." / "a" / "x.png")
    assert not same_file(tmp_path / "a" / "x.png", tmp_path / "a" / "y.png")


def test_pictures_with_files_of_their_name_beside_them(tree, tmp_path):
    folder = tree("a.png", "a.PGW", "b.png", "b.jpg", "c.x.tif", "C.x.tif.aux.xml", "sub/a.png")
    found = find_pictures(folder, tmp_path / "out", recursive=True)
    assert found.companions == {str(folder / "a.png"), str(folder / "c.x.tif")}
