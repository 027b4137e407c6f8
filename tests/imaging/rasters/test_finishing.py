"""Finished files: smaller copies, cloud-optimized and plain pictures, against GDAL's own."""

from __future__ import annotations

import resource
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from skimage.data import astronaut

from srcli.errors import PictureError
from srcli.imaging.rasters import finishing
from srcli.imaging.rasters.finishing import check_result, file_stamp
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.journal import FileStamp
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.writing import RasterWriter
from srcli.ports.image import Window

PHOTO = astronaut()  # 512 x 512 RGB


def begin(source, target, **options):
    info = read_info(source)
    whole = Window(top=0, left=0, height=info.height, width=info.width)
    out = make_output(info, choose_layout(info), whole, 1, OutputOptions(**options))
    return RasterWriter.begin(target, out, {"input": str(source)})


def copy(source, target, **options):
    """The input once more, written as srx writes."""
    writer = begin(source, target, **options)
    with rasterio.open(source) as file:
        pixels = np.moveaxis(file.read(), 0, 2)
        mask = file.dataset_mask() > 0
    alpha = None
    if writer._output.channels < pixels.shape[2]:
        pixels, alpha = pixels[:, :, :-1], pixels[:, :, -1]
    writer.write(0, pixels, alpha=alpha, mask=mask)
    writer.finish()


def names(folder):
    return {path.name for path in folder.iterdir()}


@contextmanager
def largest_file(size):
    """Let files grow to ``size`` bytes only, as if the disk were full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_overviews_are_those_that_gdal_builds(save, tmp_path):
    source = save("in.tif", PHOTO, compress="deflate", photometric="RGB", tiled=True)
    target = tmp_path / "out.tif"
    copy(source, target, overviews=True)
    with rasterio.open(source, "r+") as file:
        file.build_overviews([2], Resampling.average)
    with rasterio.open(source, overview_level=0) as a, rasterio.open(target, overview_level=0) as b:
        np.testing.assert_array_equal(a.read(), b.read())
    with rasterio.open(target) as file:
        assert file.overviews(1) == [2]
        np.testing.assert_array_equal(file.read(), np.moveaxis(PHOTO, 2, 0))
    assert names(tmp_path) == {"in.tif", "out.tif"}


def test_overviews_of_a_mask_and_of_jpeg(save, tmp_path):
    mask = np.zeros((512, 512), bool)
    mask[100:, 200:] = True
    source = save("in.tif", PHOTO, photometric="RGB", then=lambda file: file.write_mask(mask))
    creation = {"COMPRESS": "JPEG", "JPEG_QUALITY": "95"}
    copy(source, tmp_path / "out.tif", overviews=True, creation=creation)
    with rasterio.open(tmp_path / "out.tif", overview_level=0) as file:
        np.testing.assert_array_equal(file.dataset_mask() > 0, mask[::2, ::2])
        assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "YCbCr JPEG"
        assert file.tags(ns="IMAGE_STRUCTURE")["JPEG_QUALITY"] == "95"


def test_a_cloud_optimized_file(save, tmp_path):
    def describe(file):
        file.update_tags(TITLE="field", AREA_OR_POINT="Point")
        file.descriptions = ("r", "g", "b")

    source = save("in.tif", PHOTO, photometric="RGB", nodata=3, then=describe)
    copy(source, tmp_path / "out.tif", cog=True)
    with rasterio.open(tmp_path / "out.tif") as file, rasterio.open(source) as old:
        structure = file.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
        assert structure["PREDICTOR"] == "2"
        assert file.overviews(1) == [2]
        assert (file.transform, file.crs, file.nodata) == (old.transform, old.crs, 3)
        assert (file.tags(), file.descriptions) == (old.tags(), old.descriptions)
        np.testing.assert_array_equal(file.read(), old.read())
    assert names(tmp_path) == {"in.tif", "out.tif"}


def test_a_cloud_optimized_jpeg_is_compressed_once(save, tmp_path):
    source = save("in.tif", PHOTO, photometric="RGB")
    copy(source, tmp_path / "out.tif", cog=True, creation={"COMPRESS": "JPEG", "QUALITY": "90"})
    rasterio.shutil.copy(source, tmp_path / "ref.tif", driver="COG", COMPRESS="JPEG", QUALITY="90")
    with rasterio.open(tmp_path / "out.tif") as a, rasterio.open(tmp_path / "ref.tif") as b:
        np.testing.assert_array_equal(a.read(), b.read())


@pytest.mark.parametrize("option", ["OVERVIEW_RESAMPLING", "RESAMPLING"])
def test_smaller_copies_of_a_cog_are_made_as_asked(save, tmp_path, option):
    source = save("in.tif", PHOTO, photometric="RGB")
    wanted = {option: "NEAREST", "BLOCKSIZE": "128"}
    copy(source, tmp_path / "out.tif", cog=True, creation=wanted)
    rasterio.shutil.copy(source, tmp_path / "ref.tif", driver="COG", **wanted)
    with (
        rasterio.open(tmp_path / "out.tif", overview_level=0) as a,
        rasterio.open(tmp_path / "ref.tif", overview_level=0) as b,
    ):
        np.testing.assert_array_equal(a.read(), b.read())


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_has_its_place_beside_it(save, tmp_path, dtype):
    pixels = PHOTO[:70, :90].astype(dtype) * (1 if dtype == "uint8" else 257)
    source = save("in.tif", pixels)
    target = tmp_path / "out.png"
    copy(source, target, format="png")
    assert names(tmp_path) == {"in.tif", "out.png", "out.pgw", "out.prj", "out.png.aux.xml"}
    with rasterio.open(target) as file, rasterio.open(source) as old:
        assert (file.transform, file.crs) == (old.transform, old.crs)
        np.testing.assert_array_equal(file.read(), old.read())
    (tmp_path / "out.png.aux.xml").unlink()
    with rasterio.open(target) as file, rasterio.open(source) as old:  # the world file alone
        assert file.transform == old.transform


def test_a_mask_is_alpha_in_a_png(save, tmp_path):
    mask = PHOTO[:50, :60, 0] > 99
    source = save("in.tif", PHOTO[:50, :60], then=lambda file: file.write_mask(mask))
    copy(source, tmp_path / "out.png", format="png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image)[:, :, 3], mask * np.uint8(255))


def test_a_jpeg_is_that_of_gdal(save, tmp_path):
    pixels = np.dstack([PHOTO, np.full((512, 512), 255, np.uint8)])
    source = save("in.tif", pixels, photometric="RGB", alpha="yes")
    copy(source, tmp_path / "out.jpg", format="jpg", creation={"QUALITY": "90"})
    reference = save("rgb.tif", PHOTO, photometric="RGB")
    rasterio.shutil.copy(reference, tmp_path / "ref.jpg", driver="JPEG", QUALITY="90")
    with rasterio.open(tmp_path / "out.jpg") as a, rasterio.open(tmp_path / "ref.jpg") as b:
        np.testing.assert_array_equal(a.read(), b.read())
        assert a.transform == b.transform
    assert (tmp_path / "out.jgw").exists()


def test_pictures_without_a_place_have_nothing_beside_them(save, tmp_path):
    source = save("in.tif", PHOTO[:40, :50], transform=None, crs=None)
    with pytest.warns(NotGeoreferencedWarning):  # of the test's own reading
        copy(source, tmp_path / "out.png", format="png")
    assert names(tmp_path) == {"in.tif", "out.png"}


def test_control_points_stand_beside_a_png(save, tmp_path):
    points = [GroundControlPoint(row=r, col=c, x=c, y=-r) for r, c in ((4, 6), (4, 36), (24, 6))]

    def place(file):
        file.gcps = (points, rasterio.CRS.from_epsg(4326))

    source = save("in.tif", PHOTO[:40, :50], transform=None, crs=None, then=place)
    copy(source, tmp_path / "out.png", format="png")
    with rasterio.open(tmp_path / "out.png") as file:
        assert [(p.row, p.col, p.x, p.y) for p in file.gcps[0]] == [
            (p.row, p.col, p.x, p.y) for p in points
        ]


@pytest.mark.parametrize("options", [{}, {"cog": True}, {"format": "png"}], ids=str)
def test_a_coordinate_system_that_only_gdal_knows(save, tmp_path, options):
    turned = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39 +lon_0=18 +to_meter=0.01745"
    source = save("in.tif", PHOTO[:40, :50], crs=turned)
    target = tmp_path / f"out.{options.get('format', 'tif')}"
    copy(source, target, **options)
    with rasterio.open(target) as file, rasterio.open(source) as old:
        assert "ob_tran" in old.crs.to_wkt()
        assert file.crs == old.crs


def test_files_beside_an_earlier_output_go(save, tmp_path):
    target = tmp_path / "out.tif"
    rasterio.shutil.copy(save("old.tif", PHOTO), target, driver="GTiff")
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(target, "r+") as file:
        file.build_overviews([2], Resampling.nearest)
    assert (tmp_path / "out.tif.ovr").exists()
    (tmp_path / "out.tif.aux.xml").write_text(
        "<PAMDataset><Description>old</Description></PAMDataset>"
    )
    copy(save("in.tif", PHOTO[:40, :50]), target)
    assert names(tmp_path) == {"old.tif", "in.tif", "out.tif"}
    with rasterio.open(target) as file:
        assert (file.overviews(1), file.shape) == ([], (40, 50))


@pytest.mark.parametrize("room", [500, 1500, 3000])
@pytest.mark.parametrize(
    "options",
    [{"overviews": True}, {"cog": True}, {"format": "jpg", "creation": {"QUALITY": "100"}}],
    ids=str,
)
def test_a_full_disk_loses_nothing(save, tmp_path, options, noise, room):
    pixels = noise((300, 300, 1), seed=1)
    source = save("in.tif", pixels)
    target = tmp_path / f"out.{options.get('format', 'tif')}"
    writer = begin(source, target, **options)
    writer.write(0, pixels)
    writer.suspend()
    held = names(tmp_path)
    writer = begin(source, target, **options)
    assert writer.first_row == 300
    with (
        largest_file((tmp_path / f".{target.name}.part").stat().st_size + room),
        pytest.raises(PictureError, match=f"^{target}: .*room"),
    ):
        writer.finish()
    writer.suspend()  # as callers do; nothing is left to do
    assert names(tmp_path) == held
    writer = begin(source, target, **options)
    assert (writer.first_row, writer.notes) == (300, ())
    writer.finish()
    with rasterio.open(target) as file:
        off = np.abs(file.read(1).astype(int) - pixels[:, :, 0])
    assert off.max() <= (2 if target.suffix == ".jpg" else 0)


def test_overviews_are_not_begun_without_room(save, tmp_path, monkeypatch):
    source = save("in.tif", PHOTO)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(PictureError, match=r"0.0 GB of the disk are free, .* make room"):
        copy(source, tmp_path / "out.tif", overviews=True)
    monkeypatch.undo()
    writer = begin(source, tmp_path / "out.tif", overviews=True)
    assert writer.first_row == 512
    writer.finish()
    assert read_info(tmp_path / "out.tif").overviews == (2,)


def test_nothing_gets_the_final_name_that_gdal_cannot_read(save, tmp_path, monkeypatch):
    def fails(*_args):
        raise RasterioIOError("block 7 is odd")

    source = save("in.tif", PHOTO[:40, :50])
    target = tmp_path / "out.tif"
    target.write_bytes(b"the old file")
    monkeypatch.setattr(finishing, "check_result", fails)
    with pytest.raises(PictureError, match=r"out.tif: cannot be written \(block 7 is odd\)"):
        copy(source, target)
    assert target.read_bytes() == b"the old file"


def test_alpha_stays_alpha_through_all(save, tmp_path):
    pixels = np.dstack([PHOTO, PHOTO[:, :, :1]])
    source = save("in.tif", pixels, photometric="RGB", alpha="yes")
    for number, options in enumerate(({}, {"cog": True}, {"overviews": True})):
        target = tmp_path / f"{number}.tif"
        copy(source, target, **options)
        with rasterio.open(target) as file:
            assert file.colorinterp[3] == ColorInterp.alpha
            assert MaskFlags.alpha in file.mask_flag_enums[0]
            np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


def test_a_stamp_is_of_the_file_not_of_its_name(tmp_path):
    path = tmp_path / "a"
    assert file_stamp(path) is None
    path.write_bytes(b"abc")
    stamp = file_stamp(path)
    assert stamp == FileStamp(size=3, time=path.stat().st_mtime_ns)
    path.replace(tmp_path / "b")
    assert file_stamp(tmp_path / "b") == stamp


@pytest.fixture
def path(save):
    """A photograph of 300 x 300 with overviews."""

    def add(file):
        file.build_overviews([2], Resampling.average)

    return save("a.tif", astronaut()[:300, :300, :1], compress="deflate", tiled=True, then=add)


def check(path, height=300, **options):
    info = read_info(path)
    whole = Window(top=0, left=0, height=height, width=300)
    out = make_output(info, choose_layout(info), whole, 1, OutputOptions(**options))
    check_result(path, path.with_name("out.tif"), out)
    return out


def test_a_whole_file_passes(path):
    assert check(path, overviews=True).overviews == (2,)
    assert check(path).overviews == ()


def test_a_file_that_ends_early_does_not(path):
    data = path.read_bytes()
    for cut in (1, 700, 5000, 20_000):
        path.write_bytes(data[:-cut])
        with pytest.raises(PictureError, match=r"out.tif: was written incompletely.* room"):
            check(path)


def test_missing_copies_do_not(save, noise):
    path = save("b.tif", noise((300, 300, 1)))
    with pytest.raises(PictureError, match="written incompletely"):
        check(path, overviews=True)


def test_blocks_without_bytes_pass_only_where_they_are_wanted(save):
    path = save("b.tif", np.zeros((300, 300, 1), np.uint8), SPARSE_OK=True)
    check(path, creation={"SPARSE_OK": "TRUE"})
    with pytest.raises(PictureError, match="written incompletely"):
        check(path)


def test_another_size_does_not(path):
    with pytest.raises(
        PictureError, match=r"1 band\(s\) of 300x300 pixels instead of 1 of 300x299"
    ):
        check(path, height=299)
