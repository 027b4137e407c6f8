"""Inputs are paired with outputs; what would destroy or mix up files is refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from srcli.errors import UsageError
from srcli.pipelines.upscale.finished import sort_items
from srcli.pipelines.upscale.naming import Item
from srcli.pipelines.upscale.options import Naming, UpscaleOptions
from srcli.pipelines.upscale.plan import make_plan


def picture(path: Path, size=(6, 5)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path)
    return path


def names(plan, root):
    return {str(i.source.relative_to(root)): str(i.target.relative_to(root)) for i in plan.items}


def test_a_folder_keeps_names_and_formats(tmp_path):
    for name in ("in/b.jpg", "in/a.PNG", "in/ümläut 写真.webp", "in/sub/c.png"):
        picture(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    picture(tmp_path / "in/.hidden.png")
    plan = make_plan([tmp_path / "in"], tmp_path / "out", Naming())
    assert names(plan, tmp_path) == {
        "in/a.PNG": "out/a.PNG",
        "in/b.jpg": "out/b.jpg",
        "in/ümläut 写真.webp": "out/ümläut 写真.webp",
    }


def test_recursion_mirrors_the_tree_and_leaves_out_the_results(tmp_path):
    for name in ("in/a.png", "in/x/y/b.png", "in/out/old.png"):
        picture(tmp_path / name)
    plan = make_plan([tmp_path / "in"], tmp_path / "in/out", Naming(recursive=True))
    assert names(plan, tmp_path) == {
        "in/a.png": "in/out/a.png",
        "in/x/y/b.png": "in/out/x/y/b.png",
    }


def test_one_picture_may_name_its_output_file_and_format(tmp_path):
    source = picture(tmp_path / "a.jpg")
    (item,) = make_plan([source], tmp_path / "big.tif", Naming()).items
    assert item == Item(source=source, target=tmp_path / "big.tif", format="tif")


def test_a_chosen_format_changes_the_extension(tmp_path):
    source = picture(tmp_path / "a.jpg")
    (item,) = make_plan([source], tmp_path / "out", Naming(format="png", suffix="_x4")).items
    assert item.target == tmp_path / "out" / "a_x4.png"


def test_a_gif_becomes_a_png(tmp_path):
    source = tmp_path / "a.gif"
    Image.new("P", (4, 4)).save(source)
    (item,) = make_plan([source], tmp_path / "out", Naming()).items
    assert (item.target.name, item.format) == ("a.png", "png")


def test_two_inputs_for_one_output_are_told_apart_by_their_extensions(tmp_path):
    for name in ("in/a.jpg", "in/a.png", "in/b.png"):
        picture(tmp_path / name)
    plan = make_plan([tmp_path / "in"], tmp_path / "out", Naming(format="png", suffix="_x4"))
    assert names(plan, tmp_path) == {
        "in/a.jpg": "out/a_jpg_x4.png",
        "in/a.png": "out/a_png_x4.png",
        "in/b.png": "out/b_x4.png",
    }
    assert "2 outputs" in plan.notes[0]
    assert "a_jpg_x4.png" in plan.notes[0]


def test_two_inputs_of_one_name_are_refused_with_both(tmp_path):
    inputs = [picture(tmp_path / "x/a.png"), picture(tmp_path / "y/a.png")]
    with pytest.raises(UsageError, match=r"x/a\.png and .*y/a\.png"):
        make_plan(inputs, tmp_path / "out", Naming())


def test_writing_over_the_inputs_is_refused(tmp_path):
    picture(tmp_path / "in/a.jpg")
    with pytest.raises(UsageError, match="itself an input"):
        make_plan([tmp_path / "in"], tmp_path / "in", Naming())


def test_the_same_folder_with_a_suffix_resumes_without_upscaling_results(tmp_path):
    picture(tmp_path / "in/a.jpg")
    picture(tmp_path / "in/a_x4.jpg")
    plan = make_plan([tmp_path / "in"], tmp_path / "in", Naming(suffix="_x4"))
    assert names(plan, tmp_path) == {"in/a.jpg": "in/a_x4.jpg"}
    assert "1 pictures" in plan.notes[0]


@pytest.mark.parametrize(
    ("make", "output", "message"),
    [
        ("", "out", "no such file"),
        ("in/sub/a.png", "out", "add -r"),
        ("in/a.png", "in/a.png/x", "no pictures|not a folder|is a file"),
    ],
)
def test_nothing_to_do_is_an_error_that_says_so(tmp_path, make, output, message):
    if make:
        picture(tmp_path / make)
    if output == "in/a.png/x":
        output = "in/a.png"
    with pytest.raises(UsageError, match=message):
        make_plan([tmp_path / "in"], tmp_path / output, Naming())


def test_a_file_named_twice_is_one_file(tmp_path):
    source = picture(tmp_path / "in/a.png")
    plan = make_plan([source, source, tmp_path / "in"], tmp_path / "out", Naming())
    assert names(plan, tmp_path) == {"in/a.png": "out/a.png"}


def test_folders_with_a_pictures_name_are_no_pictures(tmp_path):
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/album.png").mkdir()
    plan = make_plan([tmp_path / "in"], tmp_path / "out", Naming())
    assert names(plan, tmp_path) == {"in/a.png": "out/a.png"}


def test_pictures_that_cannot_be_read_are_told_of(tmp_path):
    picture(tmp_path / "in/a.png")
    for name in ("IMG_1.PSD", "IMG_2.PSD", "b.dng"):
        (tmp_path / "in" / name).write_bytes(b"no matter")
    plan = make_plan([tmp_path / "in"], tmp_path / "out", Naming())
    assert names(plan, tmp_path) == {"in/a.png": "out/a.png"}
    assert len(plan.notes) == 1
    assert plan.notes[0].startswith("3 pictures are left out")
    assert "(.dng, .psd): convert" in plan.notes[0]
    (tmp_path / "in/a.png").unlink()
    with pytest.raises(UsageError, match=r"no pictures found.*3 pictures are left out.*\.psd"):
        make_plan([tmp_path / "in"], tmp_path / "out", Naming())


def test_a_folder_cannot_become_a_file(tmp_path):
    picture(tmp_path / "in/a.png")
    with pytest.raises(UsageError, match="need a folder as output"):
        make_plan([tmp_path / "in"], tmp_path / "out.png", Naming())


def test_an_unknown_format_lists_the_known(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="png, jpg"):
        make_plan([tmp_path / "a.png"], tmp_path / "out", Naming(format="heic"))


@pytest.mark.parametrize(
    ("name", "content", "becomes"),
    [
        ("dem.asc", b"ncols 2", "dem.tif"),
        ("scene.nc", b"CDF\1", "scene.tif"),
        ("noext", b"\0\1\2", "noext.tif"),
        ("photo", None, "photo.png"),
        ("photo.dat", None, "photo.png"),
        ("ortho.dat", b"II*\0", "ortho.tif"),
        ("photo.jpg_large", b"\xff\xd8\xff\xe0", "photo.jpg"),
        ("moving", b"GIF89a", "moving.png"),
    ],
)
def test_files_of_unknown_suffixes_become_what_suits_their_content(
    tmp_path, name, content, becomes
):
    path = tmp_path / name
    if content is None:
        Image.new("RGB", (6, 5)).save(path, "PNG")
    else:
        path.write_bytes(content)
    (item,) = make_plan([path], tmp_path / "out", Naming()).items
    assert item.target.name == becomes


@pytest.mark.parametrize("suffix", [".jp2", ".GTIFF"])
def test_suffixes_of_rasters_that_are_not_written_are_no_folders(tmp_path, suffix):
    source = picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="written as tif, png, jpg or vrt; give such a name"):
        make_plan([source], tmp_path / f"b{suffix}", Naming())
    (tmp_path / f"b{suffix}").mkdir()
    (item,) = make_plan([source], tmp_path / f"b{suffix}", Naming()).items
    assert item.target == tmp_path / f"b{suffix}" / "a.png"


@pytest.mark.parametrize(("name", "format"), [("jpeg", "jpg"), ("TIFF", "tif"), ("png", "png")])
def test_formats_go_by_all_their_names(tmp_path, name, format):
    source = picture(tmp_path / "a.bmp")
    (item,) = make_plan([source], tmp_path / "out", Naming(format=name)).items
    assert (item.format, item.target.name) == (format, f"a.{format}")


def test_one_file_by_two_spellings_is_one_file(tmp_path):
    source = picture(tmp_path / "in" / "a.png")
    other = tmp_path / "in" / ".." / "in" / "a.png"
    assert len(make_plan([source, other], tmp_path / "out", Naming()).items) == 1


@pytest.mark.parametrize("suffix", ["/../x", "a\0b"])
def test_a_suffix_cannot_lead_elsewhere(tmp_path, suffix):
    source = picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="is a part of a name, without folders"):
        make_plan([source], tmp_path / "out", Naming(suffix=suffix))


@pytest.mark.parametrize("name", ["b.HEIC", "b.ppm", "b.gpkg", "b.ZIP"])
def test_formats_that_are_not_written_are_no_folders(tmp_path, name):
    source = picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="is not written here; give png"):
        make_plan([source], tmp_path / name, Naming())
    assert make_plan([source], tmp_path / "v1.2", Naming()).items[0].target.name == "a.png"


def test_pictures_that_are_replaced_are_told(tmp_path):
    source = picture(tmp_path / "a.png")
    plan = make_plan([tmp_path], tmp_path, Naming(overwrite=True))
    assert [item.target for item in plan.items] == [source]
    assert any("1 picture is replaced" in note and "once only" in note for note in plan.notes)
    assert make_plan([source], tmp_path / "out", Naming(overwrite=True)).notes == ()


def test_what_lies_on_the_network_is_to_be_fetched_first(tmp_path):
    with pytest.raises(UsageError, match="download it, or give --allow-remote"):
        make_plan([Path("https://example.org/a.tif")], tmp_path / "out", Naming())


def test_names_that_no_file_can_have_are_told(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be looked at \(File name too long\)"):
        make_plan([tmp_path / ("n" * 300 + ".png")], tmp_path / "out", Naming())
    source = picture(tmp_path / "a.png")
    plan = make_plan([source], tmp_path / ("n" * 300 + ".png"), Naming())
    assert sort_items(plan.items, UpscaleOptions(), in_folder=False).due == list(plan.items)


def test_links_and_closed_folders_are_told(tmp_path, monkeypatch):
    picture(tmp_path / "in" / "a.png")
    picture(tmp_path / "other" / "b.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "other")
    scandir = os.scandir

    def guarded(path):
        if os.fspath(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    (tmp_path / "in" / "sub").mkdir()
    monkeypatch.setattr(os, "scandir", guarded)
    plan = make_plan([tmp_path / "in"], tmp_path / "out", Naming(recursive=True))
    assert plan.notes == (f"{tmp_path / 'in' / 'link'}: a link to a folder, not followed",)
    ((item, line),) = plan.failures
    assert item.source == tmp_path / "in/sub"
    assert line == f"{item.source}: cannot be looked into (Permission denied)"
    with pytest.raises(UsageError, match="sub: cannot be looked into"):
        make_plan([tmp_path / "in" / "sub"], tmp_path / "out", Naming(recursive=True))
