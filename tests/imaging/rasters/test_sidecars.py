"""Files beside an output."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.sidecars import (
    georeference_sidecars,
    make_folder,
    move_sidecars,
    remove_folder,
    write_sidecars,
)
from srcli.ports.image import Window

PIXELS = np.zeros((4, 5, 1), np.uint8)


def plan(path, fmt):
    info = read_info(path)
    whole = Window(top=0, left=0, height=4, width=5)
    return make_output(info, choose_layout(info), whole, 2, OutputOptions(format=fmt))


@pytest.mark.parametrize(("fmt", "suffix"), [("png", "pgw"), ("jpg", "jgw")])
def test_the_place_on_the_map(save, fmt, suffix):
    found = georeference_sidecars(plan(save("a.tif", PIXELS), fmt))
    assert set(found) == {f"*.{suffix}", "*.prj"}
    numbers = [float(line) for line in found[f"*.{suffix}"].split()]
    assert numbers == [0.25, 0, 0, -0.25, 600_000.125, 5_099_999.875]  # of the first centre
    assert rasterio.CRS.from_wkt(found["*.prj"].decode()).to_dict()["zone"] == 33


def test_no_place_no_files(save):
    assert georeference_sidecars(plan(save("a.tif", PIXELS, transform=None, crs=None), "png")) == {}
    assert georeference_sidecars(plan(save("b.tif", PIXELS), "tif")) == {}
    only_world = georeference_sidecars(plan(save("c.tif", PIXELS, crs=None), "png"))
    assert list(only_world) == ["*.pgw"]


def test_they_get_the_names_that_belong_to_the_output(tmp_path):
    target = tmp_path / "map.v2.tif"
    folder = make_folder(target)
    assert folder.name.startswith(".")
    write_sidecars(folder, target, {".aux.xml": b"1", "*.tfw": b"2"})
    (folder / target.name).write_bytes(b"the picture itself is not moved here")
    move_sidecars(folder, target)
    assert (tmp_path / "map.v2.tif.aux.xml").read_bytes() == b"1"
    assert (tmp_path / "map.v2.tfw").read_bytes() == b"2"
    assert not target.exists()


def test_those_of_an_earlier_file_go(tmp_path):
    target = tmp_path / "a.tif"
    for name in ("a.tif.aux.xml", "a.tif.ovr", "a.tif.msk", "b.tif.ovr", "a.txt"):
        (tmp_path / name).write_bytes(b"old")
    folder = make_folder(target)
    write_sidecars(folder, target, {".aux.xml": b"new"})
    move_sidecars(folder, target)
    remove_folder(target)
    assert {path.name for path in tmp_path.iterdir()} == {"a.tif.aux.xml", "b.tif.ovr", "a.txt"}
    assert (tmp_path / "a.tif.aux.xml").read_bytes() == b"new"
    move_sidecars(None, target)
    assert not (tmp_path / "a.tif.aux.xml").exists()


def test_the_folder_is_empty_at_first(tmp_path):
    folder = make_folder(tmp_path / "a.tif")
    (folder / "left").write_bytes(b"over")
    assert list(make_folder(tmp_path / "a.tif").iterdir()) == []
    remove_folder(tmp_path / "a.tif")
    remove_folder(tmp_path / "a.tif")
    assert list(tmp_path.iterdir()) == []


def test_the_coordinate_system_of_another_file_is_left_alone(tmp_path, caplog):
    target, system = tmp_path / "a.png", tmp_path / "a.prj"
    system.write_bytes(b"of a shapefile")

    def move(text):
        folder = make_folder(target)
        write_sidecars(folder, target, {"*.prj": text, "*.pgw": b"1"})
        move_sidecars(folder, target)
        remove_folder(target)
        return system.read_bytes()

    assert move(b"new") == b"of a shapefile"
    assert f"{system}: is left as it is" in caplog.text
    assert (tmp_path / "a.pgw").read_bytes() == b"1"
    target.write_bytes(b"")  # now the picture that is replaced may be what it belongs to
    assert move(b"newer") == b"newer"
    (tmp_path / "a.shp").write_bytes(b"")
    assert move(b"newest") == b"newer"


def test_a_world_file_of_an_earlier_output_is_told(tmp_path, caplog):
    target = tmp_path / "a.tif"
    (tmp_path / "a.tfw").write_text("old")
    move_sidecars(None, target)
    assert "a.tfw: is not of this a.tif: remove it" in caplog.text
    caplog.clear()
    folder = make_folder(target)
    write_sidecars(folder, target, {"*.tfw": b"new"})
    move_sidecars(folder, target)
    assert (tmp_path / "a.tfw").read_text() == "new"
    assert caplog.text == ""
