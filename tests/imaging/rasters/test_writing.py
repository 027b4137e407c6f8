"""Rasters written row by row, against files that GDAL writes at once; killed and continued."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
from PIL import ImageCms
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from srcli.errors import PictureError
from srcli.imaging.rasters import container, writing
from srcli.imaging.rasters.disk import journal_path
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.journal import Journal
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.writing import RasterWriter
from srcli.ports.image import Window

if TYPE_CHECKING:
    from pathlib import Path

SRGB = base64.b64encode(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()).decode()
SMALL = {"BLOCKXSIZE": "32", "BLOCKYSIZE": "16"}


def plan(path, **options):
    info = read_info(path)
    whole = Window(top=0, left=0, height=info.height, width=info.width)
    return make_output(info, choose_layout(info), whole, 1, OutputOptions(**options))


def write(writer, pixels, *, alpha=None, mask=None, steps=(1, 7, 100, 300, 2)):
    """Hand rows over in parts of several heights."""
    top, turn = writer.first_row, 0
    while top < len(pixels):
        part = slice(top, top + steps[turn % len(steps)])
        writer.write(
            top,
            pixels[part],
            alpha=None if alpha is None else alpha[part],
            mask=None if mask is None else mask[part],
        )
        top, turn = part.stop, turn + 1


def gdals_own(path, out, pixels, mask=None):
    """The same raster, written by rasterio in one go with the same options."""
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", height=out.height, width=out.width, count=len(out.bands),
            dtype=out.dtype, nodata=out.nodata, crs=out.crs, transform=out.transform,
            **out.creation,
        ) as file,
    ):  # fmt: skip
        file.colorinterp = [ColorInterp[band.interpretation] for band in out.bands]
        file.write(np.moveaxis(pixels, 2, 0))
        if mask is not None:
            file.write_mask(mask)
    return path


def described(path):
    """All that rasterio says of a file, its pixels included."""
    with rasterio.open(path) as file:
        names = {None, *file.tag_namespaces()} - {"DERIVED_SUBDATASETS"}  # made of the file's name
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
    ({"BIGTIFF": "YES"}, "uint8", 3),
    ({"COMPRESS": "LZW"}, "uint16", 1),
    ({"COMPRESS": "ZSTD", "INTERLEAVE": "BAND"}, "int16", 4),
    ({"COMPRESS": "NONE"}, "float32", 1),
    ({"BIGTIFF": "YES", "INTERLEAVE": "BAND"}, "float64", 8),
    ({}, "float64", 2),
    ({"COMPRESS": "JPEG"}, "uint8", 3),
    ({"COMPRESS": "JPEG", "PHOTOMETRIC": "RGB", "JPEG_QUALITY": "50"}, "uint8", 3),
    ({"COMPRESS": "JPEG", "INTERLEAVE": "BAND"}, "uint8", 4),
    ({"TILED": "NO"}, "uint32", 3),
    ({"TILED": "NO", "COMPRESS": "JPEG", "INTERLEAVE": "BAND"}, "uint8", 3),
    ({"COMPRESS": "LERC", "MAX_Z_ERROR": "0"}, "float32", 4),
    ({"SPARSE_OK": "TRUE"}, "uint8", 1),
    ({"ENDIANNESS": "BIG"}, "uint16", 3),
    ({"COMPRESS": "WEBP", "WEBP_LOSSLESS": "YES"}, "uint8", 3),
]


@pytest.mark.parametrize(("creation", "dtype", "bands"), CASES, ids=str)
def test_the_file_is_that_of_gdal(save, tmp_path, noise, creation, dtype, bands):
    pixels = noise((530, 70, bands), dtype)
    pixels[100:300] = 0
    source = save("in.tif", pixels, photometric="RGB" if bands == 3 else "MINISBLACK")
    out = plan(source, creation={**SMALL, **creation})
    target = tmp_path / "out.tif"
    writer = RasterWriter.begin(target, out, {})
    write(writer, pixels)
    writer.finish()
    assert described(target) == described(gdals_own(tmp_path / "ref.tif", out, pixels))
    if creation.get("COMPRESS") != "JPEG":
        with rasterio.open(target) as file:
            np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)
    wanted = 43 if creation.get("BIGTIFF") == "YES" else 42
    assert wanted in target.read_bytes()[2:4]
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif", "ref.tif"}


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (257, 1), (256, 32), (255, 31), (513, 65)])
@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_odd_sizes_with_a_mask(save, tmp_path, noise, size, interleave):
    pixels = noise((*size, 3))
    mask = noise(size, seed=1) > 100
    source = save("in.tif", pixels, then=lambda file: file.write_mask(mask))
    out = plan(source, creation={**SMALL, "INTERLEAVE": interleave})
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    write(writer, pixels, mask=mask)
    writer.finish()
    wanted = described(gdals_own(tmp_path / "ref.tif", out, pixels, mask))
    assert described(tmp_path / "out.tif") == wanted
    assert wanted["mask"] == (mask * np.uint8(255)).tobytes()


def test_gdal_has_nothing_to_complain_about(save, tmp_path, noise, caplog):
    for bands in (1, 2, 3, 4, 5):
        source = save("in.tif", noise((40, 50, bands)), photometric="MINISBLACK", nodata=3)
        writer = RasterWriter.begin(tmp_path / "out.tif", plan(source), {})
        writer.write(0, noise((40, 50, bands)))
        writer.finish()
        caplog.clear()
        described(tmp_path / "out.tif")
        assert [record.getMessage() for record in caplog.records] == []


def test_all_that_is_known_of_the_input_is_in_the_output(save, tmp_path, noise):
    coefficients = [1.0, *([0.001] * 19)]
    model = RPC(
        height_off=1.0, height_scale=2.0, lat_off=3.0, lat_scale=4.0, long_off=5.0, long_scale=6.0,
        line_off=7.0, line_scale=8.0, samp_off=9.0, samp_scale=10.0,
        line_num_coeff=coefficients, line_den_coeff=coefficients,
        samp_num_coeff=coefficients, samp_den_coeff=coefficients, err_bias=1.0, err_rand=2.0,
    )  # fmt: skip

    def describe(file):
        file.descriptions = ("red band", "", "blau, größer")
        file.units = ("W/m2", "", "K")
        file.scales, file.offsets = (0.1, 1, 2.5), (0, -3, 1e-9)
        file.update_tags(2, WAVELENGTH="0.6", bidx_like="x")
        file.update_tags(ns="SURVEY", FLIGHT="7 & <8>")
        file.update_tags(ns="xml:XMP", **{"<?xpacket begin": "'' id='a=b'?><x:xmpmeta/>"})
        file.update_tags(TIFFTAG_COPYRIGHT="me", AREA_OR_POINT="Point", TITLE="a=b\nc")
        file.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        file.rpcs = model

    pixels = noise((60, 50, 3), "uint16")
    source = save(
        "in.tif", pixels, nodata=65_535, photometric="RGB", compress="lzw", predictor=2,
        tiled=True, blockxsize=64, blockysize=64, SOURCE_ICC_PROFILE=SRGB, then=describe,
    )  # fmt: skip
    writer = RasterWriter.begin(tmp_path / "out.tif", plan(source), {})
    write(writer, pixels)
    writer.finish()
    found, wanted = described(tmp_path / "out.tif"), described(source)
    assert found["model"].to_dict() == model.to_dict()
    assert "xml:XMP" in wanted["tags"]
    assert found == wanted
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.tags(ns="COLOR_PROFILE")["SOURCE_ICC_PROFILE"] == SRGB


@pytest.mark.parametrize("options", [{}, {"cog": True}], ids=str)
@pytest.mark.parametrize("point", ["Area", "Point"])
def test_control_points_are_in_the_output(save, tmp_path, noise, point, options):
    def place(file):
        points = [GroundControlPoint(row=r, col=c, x=c, y=-r, z=5) for r, c in ((4, 6.25), (24, 9))]
        file.gcps = (points, rasterio.CRS.from_epsg(4326))
        file.update_tags(AREA_OR_POINT=point)

    source = save("in.tif", noise((40, 50, 1)), transform=None, crs=None, then=place)
    points = read_info(source).gcps
    out = plan(source, **options)
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    writer.write(0, noise((40, 50, 1)))
    writer.finish()
    with rasterio.open(tmp_path / "out.tif") as file:
        assert [(p.row, p.col, p.x, p.y, p.z) for p in file.gcps[0]] == [
            (p.row, p.col, p.x, p.y, p.z) for p in points
        ]
        assert file.gcps[1] == rasterio.CRS.from_epsg(4326)
        assert file.tags()["AREA_OR_POINT"] == point


@pytest.mark.parametrize(("dtype", "opaque"), [("uint8", 255), ("uint16", 65_535), ("float32", 1)])
def test_alpha_is_opaque_unless_it_is_given_or_masked(save, tmp_path, noise, dtype, opaque):
    pixels = noise((40, 50, 4), dtype)
    source = save("in.tif", pixels, photometric="RGB", alpha="yes")
    out = plan(source)
    mask = noise((40, 50)) > 99
    for given, wanted in (
        ({}, np.full((40, 50), opaque)),
        ({"alpha": pixels[:, :, 3]}, pixels[:, :, 3]),
        ({"mask": mask}, mask * opaque),
        ({"mask": mask, "alpha": pixels[:, :, 3]}, pixels[:, :, 3]),
    ):
        writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
        write(writer, pixels[:, :, :3], **given)
        writer.finish()
        with rasterio.open(tmp_path / "out.tif") as file:
            np.testing.assert_array_equal(file.read(4), wanted)
            np.testing.assert_array_equal(file.read(1), pixels[:, :, 0])


def test_rows_that_are_there_are_dropped_and_missing_ones_are_a_mistake(
    save, tmp_path, noise, monkeypatch
):
    monkeypatch.setattr(writing, "_SECONDS_BETWEEN_SYNCS", 0.0)
    pixels = noise((600, 20, 3))
    out = plan(save("in.tif", pixels), creation=SMALL)
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    writer.write(0, pixels[:300])
    with pytest.raises(ValueError, match="row 300 is next, not 301"):
        writer.write(301, pixels[301:])
    with pytest.raises(ValueError, match="row 300 of 600 is missing"):
        writer.finish()
    writer.suspend()

    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    assert writer.first_row == 256
    writer.write(0, pixels[:100] * 0)  # done long ago
    writer.write(100, np.concatenate([pixels[100:256] * 0, pixels[256:400]]))
    writer.write(390, pixels[390:])
    writer.finish()
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


def test_an_existing_file_stays_until_the_new_one_is_complete(save, tmp_path, noise):
    target = tmp_path / "out.tif"
    target.write_bytes(b"old")
    pixels = noise((20, 20, 1))
    out = plan(save("in.tif", pixels))
    writer = RasterWriter.begin(target, out, {})
    writer.write(0, pixels)
    assert target.read_bytes() == b"old"
    writer.discard()
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif"}
    assert target.read_bytes() == b"old"
    writer = RasterWriter.begin(target, out, {})
    writer.write(0, pixels)
    writer.finish()
    assert read_info(target).width == 20


def test_two_writers_of_one_file(save, tmp_path, noise):
    out = plan(save("in.tif", noise((20, 20, 1))))
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    with pytest.raises(PictureError, match="another srx is writing this file"):
        RasterWriter.begin(tmp_path / "out.tif", out, {}, resume=False)
    writer.discard()
    RasterWriter.begin(tmp_path / "out.tif", out, {}).discard()


def test_where_nothing_can_be_written(save, tmp_path, noise):
    out = plan(save("in.tif", noise((20, 20, 1))))
    (tmp_path / "folder").mkdir()
    for target, words in (
        (tmp_path / "folder", "is a folder"),
        (tmp_path / "missing" / "out.tif", "folder does not exist"),
        (tmp_path / ("x" * 300), "take a shorter one"),
    ):
        with pytest.raises(PictureError, match=words):
            RasterWriter.begin(target, out, {})


def test_a_disk_that_is_full_keeps_what_is_done(save, tmp_path, noise, monkeypatch):
    import resource

    monkeypatch.setattr(writing, "_SECONDS_BETWEEN_SYNCS", 0.0)
    pixels = noise((1100, 50, 3))
    out = plan(save("in.tif", pixels), creation=SMALL)
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(PictureError, match=r"out.tif: the disk is full; make room") as error:
            write(writer, pixels)
        assert "\n" not in str(error.value)
        with pytest.raises(ValueError, match="missing"):
            writer.finish()
        writer.suspend()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    assert (writer.first_row, writer.notes) == (512, ())
    write(writer, pixels)
    writer.finish()
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


def test_stopped_in_the_middle_of_a_chunk_it_keeps_those_before(save, tmp_path, noise, monkeypatch):
    pixels = noise((1100, 50, 3))
    out = plan(save("in.tif", pixels), creation=SMALL)
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    writer.write(0, pixels[:600])  # two chunks, not yet noted in the journal

    def stops(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(zlib, "crc32", stops)
    with pytest.raises(KeyboardInterrupt):
        writer.write(600, pixels[600:])
    monkeypatch.undo()
    writer.suspend()
    writer.suspend()
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    assert (writer.first_row, writer.notes) == (512, ())
    write(writer, pixels)
    writer.finish()
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


def test_stopped_while_the_journal_is_written_it_notes_all_once_more(
    save, tmp_path, noise, monkeypatch
):
    pixels = noise((1100, 50, 3))
    out = plan(save("in.tif", pixels), creation=SMALL)
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    writer.write(0, pixels[:300])

    def stops(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "_SECONDS_BETWEEN_SYNCS", 0.0)
    monkeypatch.setattr(Journal, "sync", stops)
    with pytest.raises(KeyboardInterrupt):
        writer.write(300, pixels[300:600])
    monkeypatch.undo()
    writer.suspend()
    journal = journal_path(tmp_path / "out.tif").read_text().splitlines()
    assert [json.loads(line)["chunk"] for line in journal[1:]] == [0, 1, 0, 1]
    writer = RasterWriter.begin(tmp_path / "out.tif", out, {})
    assert (writer.first_row, writer.notes) == (512, ())
    write(writer, pixels)
    writer.finish()
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


def test_a_file_too_large_for_a_classic_tiff(save, tmp_path, noise, monkeypatch):
    pixels = noise((600, 50, 3))
    source = save("in.tif", pixels)
    monkeypatch.setattr(container, "LARGEST_CLASSIC", 80_000)
    writer = RasterWriter.begin(tmp_path / "no.tif", plan(source, creation={"BIGTIFF": "NO"}), {})
    with pytest.raises(PictureError, match=r"4 GiB; drop --co BIGTIFF=NO"):
        write(writer, pixels)
    writer.discard()
    writer = RasterWriter.begin(tmp_path / "big.tif", plan(source), {})
    write(writer, pixels)
    writer.finish()
    assert (tmp_path / "big.tif").read_bytes()[2] == 43
    with rasterio.open(tmp_path / "big.tif") as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), pixels)


# Runs in a process of its own that is forked for every attempt, because importing takes longer.
KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
import numpy as np
import rasterio, rasterio.shutil
from srcli.imaging.rasters import finishing, writing
from srcli.imaging.rasters.info import read_info
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.output import OutputOptions, make_output
from srcli.imaging.rasters.writing import RasterWriter
from srcli.ports.image import Window

folder, mode, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
pixels = np.load(folder / "pixels.npy")
writing._SECONDS_BETWEEN_SYNCS = 0.0
target = folder / ("out." + options.get("format", "tif"))

def attempt(pause):
    info = read_info(folder / "in.tif")
    whole = Window(top=0, left=0, height=info.height, width=info.width)
    out = make_output(info, choose_layout(info), whole, 1, OutputOptions(**options))
    writer = RasterWriter.begin(target, out, {"input": "in.tif"})
    assert writer.notes == (), writer.notes
    for top in range(0, len(pixels), 50):
        time.sleep(pause)
        writer.write(top, pixels[top : top + 50])
    writer.finish()

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print("failed:", repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def check():
    with rasterio.open(target) as file:
        assert np.array_equal(np.moveaxis(file.read(), 0, 2), pixels), "other pixels"
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
    guard(os, "fsync")
    guard(Path, "replace")
    guard(Path, "unlink")
    guard(Path, "write_bytes")
    guard(Path, "mkdir")
    guard(rasterio.shutil, "copy")
    guard(finishing, "_build_overviews")
    guard(finishing.container, "write_directories")

kills = 0
if mode.startswith("every"):
    for steps in range(1, 999, int(mode[5:])):
        code = ended(forked(lambda: (count_down(steps), attempt(0))))
        if code == 0:
            break
        assert code == -signal.SIGKILL, code
        kills += 1
        assert ended(forked(lambda: attempt(0))) == 0
        forked_check = ended(forked(check))
        assert forked_check == 0
    assert ended(forked(check)) == 0
else:
    random.seed(int(mode))
    while kills < 20:
        child = forked(lambda: attempt(0.003))
        time.sleep(random.uniform(0.0, 0.25))
        os.kill(child, signal.SIGKILL)
        code = ended(child)
        assert code in (0, -signal.SIGKILL), code
        kills += code != 0
        if code == 0:
            assert ended(forked(check)) == 0
    assert ended(forked(lambda: attempt(0))) == 0
    assert ended(forked(check)) == 0
print("kills", kills)
"""


def kill(folder, mode, options):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, folder, mode, json.dumps(options)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "TMPDIR": str(folder)},  # what is killed leaves small files there
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[-1])


@pytest.fixture
def folder(save, noise):
    """Where ``in.tif`` of three chunks lies."""
    pixels = noise((600, 40, 3))
    path: Path = save("in.tif", pixels)
    np.save(path.with_name("pixels.npy"), pixels)
    return path.parent


STEPS = [
    ({"creation": SMALL, "overviews": True}, 40),
    ({"creation": {**SMALL, "TFW": "YES"}}, 40),
    ({"cog": True}, 40),
    ({"format": "png"}, 50),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "least"), STEPS, ids=str)
def test_killed_at_any_step_it_is_finished_by_the_next_run(folder, options, least):
    assert kill(folder, "every1", options) >= least


def test_killed_at_some_steps_it_is_finished_by_the_next_run(folder):
    options, least = STEPS[0]
    assert kill(folder, "every9", options) >= least // 9


def test_killed_at_random_moments_it_is_finished_in_the_end(folder):
    assert kill(folder, "7", {"creation": SMALL, "overviews": True}) == 20
