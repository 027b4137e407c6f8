"""A folder of map tiles is enlarged as one raster, and cut into tiles of the same names."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from skimage import data

import srcli
from srcli.files import lock_stream
from srcli.imaging.files.stored_parts import StoredParts
from srcli.imaging.photographs.writing import write_photograph
from srcli.pipelines.upscale import mosaic
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import read_pixels

SIDE = 48
ROWS = 2
COLUMNS = 3


@pytest.fixture(scope="module")
def photograph():
    """A photograph of 2x3 tiles."""
    return np.ascontiguousarray(
        data.astronaut()[100 : 100 + ROWS * SIDE, 150 : 150 + COLUMNS * SIDE]
    )


@pytest.fixture(scope="module")
def enlarged(photograph):
    """The photograph, enlarged at once."""
    return srcli.upscale(photograph, model="g-idrn", scale=2).astype(int)


def places():
    """Names z/x/y with their rows and columns in the photograph."""
    for column in range(COLUMNS):
        for row in range(ROWS):
            here = np.s_[
                row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE
            ]
            yield f"5/{column + 9}/{row + 99}.png", here


def larger(here):
    """The same part of the enlargement."""
    return tuple(slice(2 * side.start, 2 * side.stop) for side in here)


@pytest.fixture
def tiles(tmp_path, photograph):
    """The photograph as tiles of a web map."""
    folder = tmp_path / "tiles"
    for name, here in places():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph[here]).save(folder / name)
    return folder


def error(path, here, enlarged):
    """Largest difference of a tile from its place in the enlargement of the whole."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.abs(pixels - enlarged[larger(here)]).max()


def test_tiles_of_a_web_map_have_no_borders(srx, tiles, tmp_path, enlarged):
    srx("upscale", tiles, "one", "-s 2 -r", code=0)
    assert "6 done" in srx("upscale", tiles, "out", "-s 2 --mosaic", code=0).out
    for name, here in places():
        assert error(tmp_path / "out" / name, here, enlarged) <= 1
        assert error(tmp_path / "one" / name, here, enlarged) > 5
    names = sorted(path.name for path in Path("out").rglob("*") if path.is_file())
    # nothing else is left
    assert names == sorted(name.split("/")[-1] for name, _ in places())


def test_running_again_does_what_is_missing(srx, tiles, tmp_path, photograph):
    enlarged = srcli.upscale(photograph, model="bicubic", scale=2).astype(int)
    ask = ("upscale", tiles, "out/", "-m", "bicubic", "--mosaic", "-s", 2)
    srx(*ask, code=0)
    assert "6 skipped" in srx(*ask).out
    (name, here), (outdated, _), *_ = places()
    (tmp_path / "out" / name).unlink()
    os.utime(tmp_path / "out" / outdated, (1, 1))  # older than its input
    srx(*ask, code=0)
    assert error(tmp_path / "out" / name, here, enlarged) <= 1
    assert "6 skipped" in srx(*ask).out
    assert "6 done" in srx(*ask[:-1], 3).out


def test_missing_and_damaged_tiles_are_holes(srx, tiles, tmp_path, enlarged):
    (missing, _), (damaged, _), (name, here), *_ = places()
    (tiles / missing).unlink()
    (tiles / damaged).write_bytes((tiles / damaged).read_bytes()[:500])
    Image.new("RGB", (32, 32)).save(tiles / "5/9/101.png")
    result = srx("upscale", tiles, "out", "-s 2 --mosaic", code=1)
    assert "4 done (4 by g-idrn), 2 failed" in result.out
    assert f"{damaged}: the file is damaged or cut short" in result.err.replace(
        "\n", " "
    )
    assert "its size is 32x32, that of the others 48x48" in result.err.replace(
        "\n", " "
    )
    assert not (tmp_path / "out" / missing).exists()
    with Image.open(tmp_path / "out" / name) as image:
        assert (image.mode, image.size) == ("RGB", (96, 96))
        pixels = np.asarray(image).astype(int)
    middle = np.s_[30:-30, 30:-30]
    # far from the holes
    assert np.abs(pixels - enlarged[larger(here)])[middle].mean() < 1


def test_tiles_of_different_modes(srx, tiles, tmp_path):
    (gray, _), (alpha, _), (palette, _), (bit, _), *_ = places()
    for name, mode in ((gray, "L"), (palette, "P"), (bit, "1")):
        with Image.open(tiles / name) as image:
            changed = image.quantize(8) if mode == "P" else image.convert(mode)
        changed.save(tiles / name)
    pixels = np.dstack(
        [read_pixels(tiles / alpha), np.full((SIDE, SIDE), 255, np.uint8)]
    )
    pixels[:20, :, 3] = 0
    Image.fromarray(pixels).save(tiles / alpha)
    ask = ("upscale", tiles, "out", "-s", 2, "-m", "bicubic", "--mosaic")
    srx(*ask, code=0)
    modes = {}
    for name, _ in places():
        with Image.open(tmp_path / "out" / name) as image:
            modes[name] = image.mode
            image.load()
    assert modes == dict.fromkeys(modes, "RGB") | {gray: "L", bit: "L", alpha: "RGBA"}
    with Image.open(tmp_path / "out" / bit) as image, Image.open(tiles / bit) as before:
        assert (
            abs(np.asarray(image).mean() - np.asarray(before.convert("L")).mean()) < 4
        )
    with Image.open(tmp_path / "out" / alpha) as image:
        opacity = np.asarray(image)[:, :, 3]
    assert (opacity[:36].max(), opacity[44:].min()) == (0, 255)
    with (
        Image.open(tmp_path / "out" / palette) as image,
        Image.open(tiles / palette) as before,
    ):
        shrunk = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(
            int
        )
        assert np.abs(shrunk - np.asarray(before.convert("RGB")))[4:-4, 4:-4].mean() < 4


def test_a_map_of_transparent_tiles(srx, tiles, tmp_path):
    opacity = np.full((SIDE, SIDE), 255, np.uint8)
    opacity[:8] = 0
    for name, _ in places():
        pixels = np.dstack([read_pixels(tiles / name), opacity])
        Image.fromarray(pixels).save(tiles / name)
    srx(f"upscale tiles {tmp_path / 'out'} -s 2 --mosaic -m bicubic", code=0)
    for name, _ in places():
        with Image.open(tmp_path / "out" / name) as image:
            alpha = np.asarray(image)[:, :, 3]
        assert alpha.shape == (2 * SIDE, 2 * SIDE)
        assert (alpha[:16].max(), alpha[16:].min()) == (0, 255)


def test_clouds_on_a_map_stay_transparent(srx, tiles, tmp_path):
    """Their alpha has as many values as a picture, and changes as fast."""
    for name, _ in places():
        pixels = read_pixels(tiles / name)
        Image.fromarray(np.dstack([pixels, pixels[:, :, 0]])).save(tiles / name)
    result = srx(f"upscale tiles {tmp_path / 'out'} -s 2 --mosaic -m bicubic", code=0)
    assert "near infrared" not in result.err
    for name, _ in places():
        with Image.open(tmp_path / "out" / name) as image:
            alpha = np.asarray(image)[:, :, 3].astype(float)
        means = alpha.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
        assert np.abs(means - read_pixels(tiles / name)[:, :, 3]).mean() < 4


def save_sheet(path, pixels, x, y, crs="EPSG:32632"):
    """Write (H, W, 3) as a GeoTIFF of 20 m a pixel."""
    write_by_gdal(path, pixels, crs=crs, transform=from_origin(x, y, 20, 20))


def test_sheets_keep_their_place_and_fit_together(srx, tmp_path, photograph, enlarged):
    folder = tmp_path / "sheets"
    folder.mkdir()
    sheets = {}
    for _, here in places():
        row = here[0].start
        column = here[1].start
        if (row, column) != (SIDE, SIDE):
            sheets[f"{row}_{column}.tif"] = here
            corner = 500_000 + 20 * column, 5_000_000 - 20 * row
            save_sheet(folder / f"{row}_{column}.tif", photograph[here], *corner)
    small = np.zeros((9, 9, 3), np.uint8)
    save_sheet(folder / "crs.tif", small, 500_000, 5_000_000, crs="EPSG:32633")
    save_sheet(folder / "off.tif", small, 500_007, 5_000_000)
    save_sheet(folder / "far.tif", small, 0, 0)
    result = srx(f"upscale {folder} out -s 2 --mosaic", code=1)
    text = " ".join(result.err.split())
    assert "6 done (6 by g-idrn), 2 failed" in result.out, result
    assert (
        f"sheets: 2 groups of files lie far from each other, that of {folder}/far.tif"
        in text
    )
    assert (
        "crs.tif: its coordinate system is EPSG:32633, that of the others EPSG:32632"
        in text
    )
    assert (
        "off.tif: its place between whole pixels is (0.35, 0.0), that of the others (0.0, 0.0)"
        in text
    )
    for name, here in sheets.items():
        with (
            rasterio.open(tmp_path / "out" / name) as out,
            rasterio.open(folder / name) as sheet,
        ):
            assert out.bounds == sheet.bounds
            assert (out.res, out.crs, out.shape) == (
                (10, 10),
                sheet.crs,
                (2 * SIDE, 2 * SIDE),
            )
            assert out.dataset_mask().all()
            assert "srx" in out.tags()["TIFFTAG_SOFTWARE"]
            pixels = out.read().transpose(1, 2, 0).astype(int)
        assert np.abs(pixels - enlarged[larger(here)]).mean() < 1.5
    assert "6 skipped" in srx(f"upscale {folder} out -s 2 --mosaic").out


@pytest.mark.parametrize("mark", ["nodata", "mask", "alpha"])
def test_empty_parts_of_sheets_hide_nothing_below(srx, tmp_path, photograph, mark):
    folder = tmp_path / "2023"  # with numbers as names, which are no tiles of a web map
    (folder / "5").mkdir(parents=True)
    lower = upper = photograph[:SIDE, :SIDE].clip(1)
    seen = np.where(np.arange(SIDE) < 20, 0, 255)[:, None, None] * np.ones(
        (1, SIDE, 1), np.uint8
    )
    if mark == "alpha":
        lower, upper = (
            np.dstack([lower, a]).astype(np.uint8) for a in (seen * 0 + 255, seen)
        )
    elif mark == "nodata":
        upper = np.where(seen, upper, 0).astype(np.uint8)
    for number, pixels in enumerate((lower, upper), 11):
        save_sheet(folder / f"5/{number}.tif", pixels, 500_000, 5_000_000)
        with rasterio.open(folder / f"5/{number}.tif", "r+") as file:
            file.update_tags(SHEET=number)
            if mark == "nodata":
                file.nodata = 0
            elif mark == "mask" and number == 12:
                file.write_mask(seen[:, :, 0] > 0)
    result = srx(f"upscale {folder} out -s 2 -m rrlfn --mosaic", code=0)
    assert ".srx-mosaic" not in result.err
    with rasterio.open("out/5/11.tif") as file:
        assert (file.bounds.left, file.tags()["SHEET"]) == (500_000, "11")
        assert file.dataset_mask().all()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_bands_of_one_place_are_no_sheets(srx, photograph, dtype):
    Path("in").mkdir()
    for number in range(3):
        band = photograph[:SIDE, :SIDE, number : number + 1].astype(dtype)
        save_sheet(f"in/B0{number + 2}.tif", band, 500_000, 5_000_000)
    result = srx("upscale in out -s 2 -m bicubic --mosaic", code=1)
    text = " ".join(result.err.split())
    assert "B02.tif: B04.tif covers the same place and would hide it; bands" in text
    assert [path.name for path in Path("out").iterdir()] == ["B04.tif"]


def test_sheets_of_other_palettes_are_left_out(srx, photograph):
    for name in "abc":
        Path("in").mkdir(exist_ok=True)
        save_sheet(f"in/{name}.tif", photograph[::8, ::8, :1] // 32, 500_000, 5_000_000)
        with rasterio.open(f"in/{name}.tif", "r+") as file:
            file.write_colormap(
                1, {entry: (entry, name == "c", 0, 255) for entry in range(8)}
            )
    ask = "upscale in out -s 2 -m bicubic --mosaic"
    assert "c.tif: its palette (checksum) is" in srx(ask, "--classes yes", code=1).err


@pytest.mark.parametrize(
    "options", [("--cog",), ("--srcwin", 0, 0, 9, 9), ("--fit", "99x99")]
)
def test_options_that_a_mosaic_has_not(srx, tiles, options):
    refused = srx("upscale", tiles, "out", "--mosaic", *options, code=2).err
    assert "--mosaic" in refused
    assert ("gdalbuildvrt" in refused) == (options[0] != "--fit")
    result = srx("upscale", tiles / "5/9/99.png", "out", "--mosaic", code=2)
    assert "takes one folder" in result.err


def test_sheets_of_other_formats_are_like_any_raster(srx, tmp_path, photograph):
    folder = tmp_path / "sheets"
    folder.mkdir()
    save_sheet(folder / "a.tif", photograph, 500_000, 5_000_000)
    ask = ("upscale", folder, "-s", 2, "-m", "bicubic", "--mosaic")
    os.utime(folder / "a.tif", (10**9, 10**9))
    srx(*ask, "-o jpg -f jpg --quality 90 --keep-dates", code=0)
    assert Path("jpg/a.jpg").stat().st_mtime == 10**9
    with rasterio.open("jpg/a.jpg") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["JPEG_QUALITY"] == "90"
        assert (file.res, file.bounds.left) == ((10, 10), 500_000)
    with rasterio.open(folder / "a.tif", "r+") as file:
        file.write_mask(photograph[:, :, 0] > 90)
    srx(*ask, "-o png -f png", code=0)
    with Image.open("png/a.png") as image:
        assert image.mode == "RGBA"
        alpha = np.asarray(image)[::2, ::2, 3]
    np.testing.assert_array_equal(alpha > 0, photograph[:, :, 0] > 90)


@pytest.mark.parametrize(
    "options", [(), ("--strip-provenance",), ("--strip-metadata",)]
)
def test_classes_on_sheets_are_never_written_as_jpeg(srx, photograph, options):
    Path("in").mkdir()
    save_sheet("in/SCL.tif", photograph[::8, ::8, :1] // 32, 500_000, 5_000_000)
    ask = "upscale in out -s 2 -m bicubic --mosaic"
    assert "would change its classes" in srx(ask, "-f jpg", *options, code=2).err
    srx(ask, *options, code=0)
    with rasterio.open("out/SCL.tif") as file:
        assert ("SRX_NEAREST_BANDS" in file.tags()) == (not options)


def test_lines_for_verbose_name_the_folder(srx, tiles):
    result = srx("upscale", tiles, "out", "-s 2 -m bicubic --mosaic -v", code=0)
    lines = (result.out + result.err).splitlines()
    assert any("of which it waited" in line for line in lines)
    assert not any(".srx-mosaic" in line for line in lines)


ASK = "upscale tiles out -s 2 -m bicubic --mosaic"
MOSAIC = "srcli.pipelines.upscale.mosaic."


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_a_dry_run_tells_sizes_and_makes_nothing(srx, tiles):
    result = srx(ASK, "--dry-run", code=0)
    for name, _ in places():
        assert f"tiles/{name} -> out/{name} (96x96 png, bicubic)" in result.out
    assert "0.1 megapixels to write, 0 problems; at most" in result.out
    assert not Path("out").exists()
    assert {path.suffix for path in tiles.rglob("*") if path.is_file()} == {".png"}


def test_an_interrupted_cut_goes_on_without_the_network(srx, tiles, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(MOSAIC + "_write_map_tile", interrupt)
        srx(ASK, code=130)
    assert list(Path("out").glob(".*.srx-mosaic/.*.parts/canvas.tif"))
    started = "srcli.inference.engine.TorchEngine.start"
    monkeypatch.setattr(started, lambda *_: pytest.fail("enlarged again"))
    assert "6 done" in srx(ASK, code=0).out
    assert not list(Path("out").glob(".*"))


def test_what_is_left_behind_the_last_tile_is_removed(srx, tiles, monkeypatch):
    """All tiles are there, but the run was killed before it could remove its folder."""
    with monkeypatch.context() as patch:
        patch.setattr(StoredParts, "remove", interrupt)
        srx(ASK, code=130)
    assert list(Path("out").glob(".*.srx-mosaic"))
    srx(ASK, "--dry-run", code=0)
    assert list(Path("out").glob(".*.srx-mosaic"))
    assert "6 skipped" in srx(ASK, code=0).out
    assert not list(Path("out").glob(".*"))


def test_a_mosaic_at_work_is_left_alone(srx, tiles, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StoredParts, "remove", interrupt)
        srx(ASK, code=130)
    (folder,) = Path("out").glob(".*.srx-mosaic")
    with (folder / "lock").open("ab") as stream:
        assert lock_stream(folder / "lock", stream)
        assert "6 skipped" in srx(ASK, code=0).out
        assert folder.is_dir()
        err = srx(ASK, "--overwrite", code=2).err
        assert "another srx is writing this mosaic" in " ".join(err.split())


def test_tiles_are_cut_from_the_canvas(srx, tiles, monkeypatch):
    """No file of the whole is written on the way."""
    sizes = []
    write = mosaic._write_map_tile

    def weigh(*arguments):
        files = Path("out").rglob(".*.srx-mosaic/**/*")
        sizes.append([path.name for path in files if path.suffix == ".tif"])
        write(*arguments)

    monkeypatch.setattr(mosaic, "_write_map_tile", weigh)
    srx(ASK, code=0)
    names = {name for names in sizes for name in names}
    assert names == {"canvas.tif"}


def test_cutting_is_in_the_progress(tiles, tmp_path, notes, monkeypatch):
    """With words, and a share of the whole that is known before it begins."""
    monkeypatch.setattr(MOSAIC + "write_photograph", slow_writing(write_photograph))
    options = settle(Asked(model="bicubic", scale=2, mosaic=True))
    mosaic.upscale_mosaic(
        [tiles], tmp_path / "out", options, progress=notes, on_file=lambda _: None
    )
    reading, (_, done, texts) = notes.closed
    assert reading == ("reading", 6, [])
    assert "cutting 6 tiles" in texts
    grown = [float(text.split()[-1]) for text in texts if text.startswith("grown")]
    assert done == pytest.approx(sum(grown))
    assert f"enlarging {tiles.name}/5" in " ".join(texts)
    assert not any(".vrt" in text or "enlarged.tif" in text for text in texts)
    before = texts[: texts.index("cutting 6 tiles")]
    assert sum("grown" in text for text in before) > 1


def slow_writing(write):
    def slow(*arguments, **settings):
        time.sleep(0.05)
        return write(*arguments, **settings)

    return slow


def test_tiles_for_screens_of_high_density_have_their_names(srx, tiles):
    srx("upscale tiles out -m bicubic -s 2 --mosaic --suffix @2x", code=0)
    names = {name.replace(".png", "@2x.png") for name, _ in places()}
    found = {path.relative_to("out").as_posix() for path in Path("out").rglob("*.png")}
    assert found == names
    assert read_pixels("out/5/9/99@2x.png").shape == (2 * SIDE, 2 * SIDE, 3)
