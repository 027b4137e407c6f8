"""Final files, against those that GDAL writes at once; full disks; killed and continued."""

from __future__ import annotations

import base64
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.testing import assert_array_equal
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioIOError
from skimage.data import astronaut

from srcli.errors import PictureError
from srcli.files import hidden_name
from srcli.imaging.rasters import publishing as module
from srcli.imaging.rasters.headers import read_info
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.publishing import publish
from tests.fixtures.photographs import SRGB
from tests.imaging.rasters.conftest import RPCS


@pytest.fixture
def out(tmp_path):
    """Where results are written."""
    return tmp_path / "out.tif"


PHOTO = astronaut()  # 512 x 512 RGB
SRGB_TEXT = base64.b64encode(SRGB).decode()
SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}


def gdals_own(path, out, pixels, mask=None):
    """The same raster, written by rasterio in one go with the same options."""
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=out.height,
            width=out.width,
            count=len(out.bands),
            dtype=out.dtype,
            nodata=out.nodata,
            crs=out.georeference["crs"],
            transform=out.georeference["transform"],
            **out.creation,
        ) as file,
    ):
        file.colorinterp = [ColorInterp[band.interpretation] for band in out.bands]
        file.write(np.moveaxis(pixels, 2, 0))
        if mask is not None:
            file.write_mask(mask)
    return path


def described(path):
    """All that rasterio says of a file, its pixels included."""
    with rasterio.open(path) as file:
        names = {None, *file.tag_namespaces()} - {
            "DERIVED_SUBDATASETS"
        }  # made of the file's name
        return {
            **file.profile,
            "tags": {name: file.tags(ns=name) for name in names},
            "bands": [file.tags(band) for band in file.indexes],
            "words": (file.descriptions, file.units, file.scales, file.offsets),
            "meaning": (file.colorinterp, file.mask_flag_enums),
            "points": ([str(point) for point in file.gcps[0]], file.gcps[1]),
            "model": file.rpcs,
            "pixels": file.read().tobytes(),
            "mask": file.dataset_mask().tobytes(),
        }


CASES = [
    ({}, "uint8", 3),
    ({"COMPRESS": "LZW"}, "uint16", 1),
    ({"COMPRESS": "ZSTD", "INTERLEAVE": "BAND"}, "int16", 4),
    ({"COMPRESS": "NONE"}, "float32", 1),
    ({"BIGTIFF": "YES", "INTERLEAVE": "BAND"}, "float64", 8),
    ({"COMPRESS": "JPEG"}, "uint8", 3),
    ({"COMPRESS": "JPEG", "PHOTOMETRIC": "RGB", "JPEG_QUALITY": "50"}, "uint8", 3),
    ({"TILED": "NO"}, "uint32", 3),
    ({"TILED": "NO", "COMPRESS": "JPEG", "INTERLEAVE": "BAND"}, "uint8", 3),
    ({"COMPRESS": "LERC", "MAX_Z_ERROR": "0"}, "float32", 4),
    ({"SPARSE_OK": "TRUE"}, "uint8", 1),
    ({"ENDIANNESS": "BIG"}, "uint16", 3),
    ({"COMPRESS": "WEBP", "WEBP_LOSSLESS": "YES"}, "uint8", 3),
]


each_form = pytest.mark.parametrize(
    "options", [{}, {"cog": True}, {"format": "png"}], ids=str
)


@pytest.mark.parametrize(("creation", "dtype", "bands"), CASES, ids=str)
def test_the_file_is_that_of_gdal(
    save, tmp_path, noise, creation, dtype, bands, plan, write
):
    pixels = noise((530, 70, bands), dtype)
    pixels[100:300] = 0
    source = save("in.tif", pixels, photometric="RGB" if bands == 3 else "MINISBLACK")
    out = plan(source, creation={**SMALL, **creation})
    target = tmp_path / "out.tif"
    write(target, out, source)
    assert described(target) == described(gdals_own(tmp_path / "ref.tif", out, pixels))
    if creation.get("COMPRESS") != "JPEG":
        with rasterio.open(target) as file:
            assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)
    version = 43 if creation.get("BIGTIFF") == "YES" else 42
    assert version in target.read_bytes()[2:4]
    assert {path.name for path in tmp_path.iterdir()} == {
        "in.tif",
        "out.tif",
        "ref.tif",
    }


@pytest.mark.parametrize("size", [(1, 1), (257, 1), (513, 65)])
@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_odd_sizes_with_a_mask(save, tmp_path, noise, size, interleave, plan, write):
    mask = noise(size, seed=1) > 100
    pixels = noise((*size, 3)) * mask[:, :, None]
    source = save("in.tif", pixels, then=lambda file: file.write_mask(mask))
    out = plan(source, creation={**SMALL, "INTERLEAVE": interleave})
    write(tmp_path / "out.tif", out, source)
    expected = described(gdals_own(tmp_path / "ref.tif", out, pixels, mask))
    assert described(tmp_path / "out.tif") == expected
    assert expected["mask"] == (mask * np.uint8(255)).tobytes()


def test_all_that_is_known_of_the_input_is_in_the_output(save, out, noise, plan, write):
    def describe(file):
        file.descriptions = ("red band", "", "blau, größer")
        file.units = ("W/m2", "", "K")
        file.scales = (0.1, 1, 2.5)
        file.offsets = (0, -3, 1e-9)
        file.update_tags(2, WAVELENGTH="0.6", bidx_like="x")
        file.update_tags(ns="SURVEY", FLIGHT="7 & <8>")
        file.update_tags(
            ns="xml:XMP", **{"<?xpacket begin": "'' id='a=b'?><x:xmpmeta/>"}
        )
        file.update_tags(TIFFTAG_COPYRIGHT="me", AREA_OR_POINT="Point", TITLE="a=b\nc")
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        file.rpcs = RPCS

    pixels = noise((60, 50, 3), "uint16")
    source = save(
        "in.tif",
        pixels,
        nodata=65_535,
        photometric="RGB",
        compress="deflate",
        predictor=2,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        SOURCE_ICC_PROFILE=SRGB_TEXT,
        then=describe,
    )
    write(out, plan(source), source)
    written = described(out)
    expected = described(source)
    assert written["model"].to_dict() == RPCS.to_dict()
    assert "xml:XMP" in expected["tags"]
    assert written == expected
    with rasterio.open(out) as file:
        assert file.tags(ns="COLOR_PROFILE")["SOURCE_ICC_PROFILE"] == SRGB_TEXT


@each_form
@pytest.mark.parametrize("point", ["Area", "Point"])
def test_control_points_are_in_the_output(
    save, tmp_path, noise, point, options, plan, write
):
    def place(file):
        points = [
            GroundControlPoint(row=r, col=c, x=c, y=-r, z=5)
            for r, c in ((4, 6.25), (24, 9))
        ]
        file.gcps = (points, rasterio.CRS.from_epsg(4326))
        file.update_tags(AREA_OR_POINT=point)

    source = save("in.tif", noise((40, 50, 1)), transform=None, crs=None, then=place)
    points = read_info(source).georeference["gcps"]
    out = plan(source, **options)
    target = tmp_path / f"out.{options.get('format', 'tif')}"
    write(target, out, source)
    with rasterio.open(target) as file:
        coordinates = [
            [(p.row, p.col, p.x, p.y, p.z) for p in each]
            for each in (file.gcps[0], points)
        ]
        assert coordinates[0] == coordinates[1]
        assert file.gcps[1] == rasterio.CRS.from_epsg(4326)
        assert file.tags().get("AREA_OR_POINT", point) == point  # PNG has none


@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65_535)])
def test_a_mask_becomes_alpha_in_png(save, tmp_path, noise, dtype, opaque, copy):
    mask = noise((40, 50)) > 99
    pixels = noise((40, 50, 3), dtype) * mask[:, :, None]
    source = save(
        "in.tif", pixels, photometric="RGB", then=lambda file: file.write_mask(mask)
    )
    copy(source, tmp_path / "out.png", format="png")
    with rasterio.open(tmp_path / "out.png") as file:
        assert_array_equal(file.read(4), mask * opaque)
        assert_array_equal(np.moveaxis(file.read([1, 2, 3]), 0, 2), pixels)


@pytest.fixture
def copy(plan, write):
    """The input once more, written as srx writes: ``copy(source, target, cog=True)``."""
    return lambda source, target, **options: write(
        target, plan(source, **options), source
    )


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_overviews_of_a_mask_and_of_jpeg(save, tmp_path, out, copy):
    mask = np.zeros((512, 512), bool)
    mask[100:, 200:] = True
    source = save(
        "in.tif", PHOTO, photometric="RGB", then=lambda file: file.write_mask(mask)
    )
    copy(source, tmp_path / "cog.tif", cog=True, creation={"STATISTICS": "YES"})
    with rasterio.open(tmp_path / "cog.tif") as file:
        assert float(file.tags(2)["STATISTICS_MEAN"]) == pytest.approx(
            PHOTO[100:, 200:, 1].mean()
        )
    creation = {"COMPRESS": "JPEG", "JPEG_QUALITY": "95"}
    copy(source, out, overviews=True, creation=creation)
    with rasterio.open(out, overview_level=0) as file:
        assert_array_equal(file.dataset_mask() > 0, mask[::2, ::2])
        assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "YCbCr JPEG"
        assert file.tags(ns="IMAGE_STRUCTURE")["JPEG_QUALITY"] == "95"


@pytest.mark.parametrize("option", ["OVERVIEW_RESAMPLING", "RESAMPLING"])
def test_smaller_copies_of_a_cog_are_made_as_asked(save, tmp_path, out, option, copy):
    source = save("in.tif", PHOTO, photometric="RGB")
    options = {option: "NEAREST", "BLOCKSIZE": "128"}
    copy(source, out, cog=True, creation=options)
    rasterio.shutil.copy(source, tmp_path / "ref.tif", driver="COG", **options)
    with (
        rasterio.open(out, overview_level=0) as a,
        rasterio.open(tmp_path / "ref.tif", overview_level=0) as b,
    ):
        assert_array_equal(a.read(), b.read())


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_has_its_place_beside_it(save, tmp_path, dtype, copy):
    pixels = PHOTO[:70, :90].astype(dtype) * (1 if dtype == "uint8" else 257)
    source = save("in.tif", pixels)
    target = tmp_path / "out.png"
    copy(source, target, format="png")
    assert names(tmp_path) == {"in.tif", "out.png", "out.pgw", "out.png.aux.xml"}
    with rasterio.open(target) as file, rasterio.open(source) as old:
        assert (file.transform, file.crs) == (old.transform, old.crs)
        assert_array_equal(file.read(), old.read())
    (tmp_path / "out.png.aux.xml").unlink()
    # the world file alone
    with rasterio.open(target) as file, rasterio.open(source) as old:
        assert file.transform == old.transform


def test_a_jpeg_is_that_of_gdal(save, tmp_path, copy):
    pixels = np.dstack([PHOTO, np.full((512, 512), 255, np.uint8)])
    source = save("in.tif", pixels, photometric="RGB", alpha="yes")
    copy(source, tmp_path / "out.jpg", format="jpg", creation={"QUALITY": "90"})
    reference = save("rgb.tif", PHOTO, photometric="RGB")
    rasterio.shutil.copy(reference, tmp_path / "ref.jpg", driver="JPEG", QUALITY="90")
    with (
        rasterio.open(tmp_path / "out.jpg") as a,
        rasterio.open(tmp_path / "ref.jpg") as b,
    ):
        assert_array_equal(a.read(), b.read())
        assert a.transform == b.transform
    assert (tmp_path / "out.jgw").exists()


@each_form
def test_a_coordinate_system_that_only_gdal_knows(save, tmp_path, options, copy):
    turned = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39 +lon_0=18 +to_meter=0.01745"
    source = save("in.tif", PHOTO[:40, :50], crs=turned)
    target = tmp_path / f"out.{options.get('format', 'tif')}"
    copy(source, target, **options)
    with rasterio.open(target) as file, rasterio.open(source) as old:
        assert "ob_tran" in old.crs.to_wkt()
        assert file.crs == old.crs


def test_files_beside_an_earlier_output_go(save, tmp_path, out, copy):
    target = out
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


@pytest.mark.posix
@pytest.mark.parametrize(
    "options", [{}, {"overviews": True}, {"cog": True}, {"format": "jpg"}], ids=str
)
def test_a_full_disk_loses_nothing(save, tmp_path, plan, write_parts, options, noise):
    import resource  # which Windows has not

    pixels = noise((300, 300, 1), seed=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    source = save("in.tif", pixels)
    out = plan(source, **options)
    target = tmp_path / f"out.{options.get('format', 'tif')}"
    with open_parts(target, out, {}) as (parts, _):
        write_parts(parts, source)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
        try:
            with pytest.raises(
                PictureError, match=f"^{target}: .*(room|raise the limit)"
            ):
                publish(parts)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not target.exists()
        publish(parts)
    with rasterio.open(target) as file:
        assert file.shape == (300, 300)
    assert target.stat().st_size > 40_000


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        (
            "write_result",
            OSError(errno.ENOSPC, "x"),
            "the disk is full; make room and run again",
        ),
        (
            "write_result",
            OSError(errno.EIO, "bad\nsector"),
            r"cannot be written \(.*bad sector\)",
        ),
        (
            "write_result",
            PermissionError(errno.EACCES, "x"),
            "no permission to write here",
        ),
        (
            "check_shape",
            RasterioIOError("block 7 is odd"),
            "cannot be written .block 7 is odd",
        ),
    ],
)
def test_failures_keep_the_old_file_and_are_one_line(
    save, tmp_path, copy, monkeypatch, step, error, words
):
    def fail(*_):
        raise error

    target = tmp_path / "a.tif"
    target.write_bytes(b"the old file")
    monkeypatch.setattr(module, step, fail)
    with pytest.raises(PictureError, match=words) as caught:
        copy(save("in.tif", PHOTO[:40, :50]), target)
    assert str(caught.value).startswith(f"{target}: ")
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"the old file"


def test_ctrl_c_does_not_wait_for_gdal(save, out, monkeypatch, copy):
    released = threading.Event()

    def writes_for_long(*_args):
        signal.raise_signal(signal.SIGINT)
        released.wait(60)

    monkeypatch.setattr(module, "write_result", writes_for_long)
    monkeypatch.setattr(module, "_SMALL", 0)
    # tests of commands change it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    target = out
    with pytest.raises(KeyboardInterrupt):
        copy(save("in.tif", PHOTO[:40, :50]), target)
    released.set()
    assert not target.exists()
    assert [path.name[:5] for path in hidden_name(target, ".parts").glob("part-*")] == [
        "part-"
    ]


def test_alpha_stays_alpha_through_all(save, tmp_path, copy):
    pixels = np.dstack([PHOTO, PHOTO[:, :, :1].clip(1)])
    source = save("in.tif", pixels, photometric="RGB", alpha="yes")
    for number, options in enumerate(({}, {"cog": True}, {"overviews": True})):
        target = tmp_path / f"{number}.tif"
        copy(source, target, **options)
        with rasterio.open(target) as file:
            assert file.colorinterp[3] == ColorInterp.alpha
            assert MaskFlags.alpha in file.mask_flag_enums[0]
            assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


def test_a_cloud_optimized_jpeg_may_turn_alpha_into_a_mask(
    save, plan, write, tmp_path, noise
):
    pixels = noise((40, 50, 4))
    out = tmp_path / "b.tif"
    pixels[:20, :, 3] = 0
    pixels[20:, :, 3] = 255
    source = save("a.tif", pixels, photometric="RGB", alpha="yes")
    profile = plan(source, cog=True, creation={"COMPRESS": "JPEG"})
    module.try_creation_options(out, profile)
    write(out, profile, source)
    with rasterio.open(out) as file:
        assert file.count == 3
        assert_array_equal(file.dataset_mask(), pixels[:, :, 3])


def test_a_cloud_optimized_jpeg_has_bands_beside_its_colours(
    save, plan, write, tmp_path
):
    """As GDAL 3.10 writes it, without chroma at half the resolution."""
    photo = np.dstack([PHOTO, PHOTO[:, :, :1]])
    source = save("a.tif", photo, photometric="RGB", alpha="no")
    profile = plan(source, cog=True, creation={"COMPRESS": "JPEG", "OVERVIEWS": "NONE"})
    out = tmp_path / "b.tif"
    module.try_creation_options(out, profile)
    write(out, profile, source)
    rasterio.shutil.copy(
        source,
        tmp_path / "ref.tif",
        driver="COG",
        COMPRESS="JPEG",
        QUALITY=profile.creation["QUALITY"],
        OVERVIEWS="NONE",
    )
    with rasterio.open(out) as file, rasterio.open(tmp_path / "ref.tif") as expected:
        assert_array_equal(file.read(), expected.read())


def test_tags_that_rasterio_cannot_set_do_no_harm(save, plan, write, tmp_path, noise):
    tags = {"": {"ns": "x", "bidx": "y", "A": "b"}, "xml:X": {"xml:X": "<a/>"}}
    source = save("a.tif", noise((4, 5, 1)))
    write(tmp_path / "b.tif", replace(plan(source), tags=tags), source)
    assert read_info(tmp_path / "b.tif").tags == {
        "": {"A": "b", "AREA_OR_POINT": "Area"}
    }


# Runs in a process of its own that is forked for every attempt, because importing takes longer.
KILLED = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
import rasterio
from srcli.imaging.rasters import publishing as module
from srcli.imaging.rasters import parts as parts_module
from srcli.imaging.rasters.canvas import open_canvas
from srcli.imaging.rasters.part_writer import PartWriter
from tests.imaging.rasters.conftest import open_source, plan, write_parts

folder, step, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
pixels = np.load(folder / "pixels.npy")
grows = options.pop("grows", False)
expected = []
parts_module._LEAST_PIXELS = 1
target = folder / ("out." + options.get("format", "tif"))

def attempt():
    out = plan(folder / "in.tif", **options)
    with parts_module.open_parts(target, out, {"input": "in.tif"}) as (parts, notes):
        assert notes == (), notes
        if grows:
            append_each(parts)
        write_parts(parts, folder / "in.tif")
        module.publish(parts)

def append_each(parts):
    with open_source(folder / "in.tif") as source, open_canvas(parts) as canvas:
        while canvas.append_next():
            pass
        for run in parts.missing():
            for number in run:
                writer = PartWriter(parts, range(number, number + 1), source, 1)
                writer.write(0, pixels)
                assert canvas.append_next()

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print("failed:", repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def check():
    with rasterio.open(target) as file:
        assert np.array_equal(np.moveaxis(file.read(), 0, 2), pixels), "other pixels"
        assert target.read_bytes() == expected[0], "other bytes"
        assert not options.get("overviews") or file.overviews(1) == [2, 4], file.overviews(1)
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert not left, left
    target.unlink()

def count_down(steps):
    # every call that changes what is on the disk is a moment at which the process may end
    def guard(owner, name):
        real = getattr(owner, name)
        def guarded(*args, **kwargs):
            for before in (True, False):
                nonlocal steps
                steps -= 1
                if steps == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                if before:
                    result = real(*args, **kwargs)
            return result
        setattr(owner, name, guarded)
    for name in ("replace", "unlink", "write_bytes", "mkdir", "rmdir"):
        guard(Path, name)
    for name in ("fsync", "rmdir", "unlink"):
        guard(os, name)
    for name in ("copy_canvas", "build_overviews", "write_cog"):
        guard(module, name)

kills = 0
assert forked(attempt) == 0
expected.append(target.read_bytes())
target.unlink()
for steps in range(1, 999, int(step)):
    code = forked(lambda: (count_down(steps), attempt()))
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    kills += 1
    assert forked(attempt) == 0
    assert forked(check) == 0
assert forked(check) == 0
print("kills", kills)
"""


def kill(folder, step, options):
    result = subprocess.run(
        [sys.executable, "-c", KILLED, folder, str(step), json.dumps(options)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[3],
        env={
            **os.environ,
            "TMPDIR": str(folder),
        },  # what is killed leaves small files there
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return int(result.stdout.split()[-1])


@pytest.fixture
def folder(save, noise):
    """Where ``in.tif`` of three chunks lies."""
    pixels = noise((600, 40, 3))
    path: Path = save("in.tif", pixels)
    np.save(path.with_name("pixels.npy"), pixels)
    return path.parent


STEPS = [
    ({"creation": SMALL, "grows": True}, 60),
    ({"creation": SMALL, "overviews": True}, 40),
    ({"creation": {**SMALL, "TFW": "YES"}}, 40),
    ({"cog": True}, 40),
    ({"format": "png"}, 50),
]


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize(("options", "least"), STEPS, ids=str)
def test_killed_at_any_step_it_is_finished_by_the_next_run(folder, options, least):
    assert kill(folder, 1, options) >= least


@pytest.mark.posix
@pytest.mark.parametrize(("options", "least"), STEPS[:2], ids=str)
def test_killed_at_some_steps_it_is_finished_by_the_next_run(folder, options, least):
    assert kill(folder, 15, options) >= least // 15
