"""Running again does what is missing, and nothing that was made otherwise passes for finished."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from srcli.imaging.photographs.reading import read_photograph
from srcli.imaging.pixels.resize import resize
from srcli.imaging.rasters import headers
from srcli.models import build_network
from srcli.models.storage import save_weights
from srcli.models.weights import WeightsInfo
from srcli.pipelines.upscale import finished, photographs
from srcli.pipelines.upscale.reporter import Item
from tests.fixtures.files import names_in
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import read_pixels, size_of

SMALL = "-m bicubic -s 2"


def picture(path, seed=0, size=(18, 14), **options):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(
        0, 256, (size[1], size[0], 3), np.uint8
    )
    Image.fromarray(values).save(path, **options)
    aged(path, 100)
    return path


def raster(path, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    write_by_gdal(
        path,
        values,
        then=lambda file: file.update_tags(TIFFTAG_SOFTWARE="Mosaic 3"),
        crs="EPSG:32632",
        transform=rasterio.Affine(1, 0, 5e5, 0, -1, 52e5),
    )
    aged(path, 100)
    return path


def aged(path, seconds):
    """Change a file's time to so many seconds ago; those below 0 are to come."""
    path = Path(path)
    now = path.stat().st_mtime_ns - int(seconds * 1e9)
    os.utime(path, ns=(now, now))


def state(path):
    path = Path(path)
    return path.stat().st_mtime_ns, path.read_bytes()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("make", "fmt"),
    [(picture, fmt) for fmt in ("png", "jpg", "webp", "avif", "tif")]
    + [(raster, fmt) for fmt in ("png", "jpg", "tif")],
)
def test_finished_means_this_model_scale_and_input(srx, tmp_path, make, fmt):
    source = make(tmp_path / ("a.jpg" if make is picture else "a.tif"))
    out = tmp_path / f"out.{fmt}"
    asked = ("upscale", source, out)
    srx(*asked, SMALL, code=0)
    before = state(out)
    (width, height) = size_of(out)
    skipped = srx(*asked, SMALL, code=0)
    assert state(out) == before
    assert "1 skipped" in skipped.out

    # srx's own output is made again, and that is told
    result = srx(*asked, "-m bicubic -s 3", code=0)
    assert f"{out}: will be made again: it was made by bicubic x2" in result.err
    assert size_of(out) == (width * 3 // 2, height * 3 // 2)
    again = "-m bicubic -s 3"
    if fmt == "png":
        again = "-m rrlfn -s 3"
        assert (
            f"{out}: will be made again: it was made by bicubic x3"
            in srx(*asked, again).err
        )
    assert "1 skipped" in srx(*asked, again).out
    aged(source, -200)
    assert (
        f"{out}: will be made again: the input has changed"
        in srx(*asked, again, code=0).err
    )


@pytest.mark.parametrize(
    "words",
    [
        "--fit 9x9",
        "--quality 9",
        "--tta",
        "--back-project",
        "--range 0,9",
        "--cog",
        "-co TILED=NO",
    ],
)
def test_other_options_are_another_picture(srx, words):
    asked = ("upscale", raster("a.tif"), "out.tif", SMALL)
    if words.startswith(("--fit", "--quality")):
        asked = ("upscale", picture("a.png"), "out.jpg", SMALL)
    srx(*asked, code=0)
    for options in (words.split(), ()):
        assert "made again: it was made with other options" in srx(*asked, *options).err
        assert "1 skipped" in srx(*asked, *options).out


def test_options_of_rasters_do_not_count_for_photographs(srx):
    picture("in/a.png")
    asked = f"upscale in out {SMALL}"
    assert "1 done" in srx(asked).out
    assert "1 skipped" in srx(asked, "--nodata 0").out


def test_a_part_of_a_raster_is_not_another_part(srx):
    asked = ("upscale", raster("a.tif"), "out.tif", SMALL)
    for column, told in ((0, "1 done"), (8, "1 done"), (8, "1 skipped")):
        result = srx(*asked, "--srcwin", column, 0, 8, 8, code=0)
        assert told in result.out, result.err
    with rasterio.open("out.tif") as file:
        assert file.transform.c == 5e5 + 8


def save_small_network(path, seed=0):
    path = Path(path)
    options = {"channels": 8, "num_blocks": 1, "num_groups": 1}
    torch.manual_seed(seed)
    network = build_network("g-idrn", scale=2, options=options)
    path.parent.mkdir(exist_ok=True)
    info = WeightsInfo(model="g-idrn", scale=2, network=options)
    save_weights(path, network.state_dict(), info)


def test_weights_files_of_one_name_are_told_apart(srx):
    save_small_network("x/best.safetensors", seed=1)
    save_small_network("y/best.safetensors", seed=2)
    asked = ("upscale", picture("a.png"), "out.png", "-m")
    srx(*asked, "x/best.safetensors", code=0)
    assert "1 skipped" in srx(*asked, "x/best.safetensors").out
    result = srx(*asked, "y/best.safetensors")
    assert "made again: it was made by best.safetensors x2" in result.err
    assert "1 done" in result.out
    shutil.copy("y/best.safetensors", "final.safetensors")
    assert "1 skipped" in srx(*asked, "final.safetensors").out


@pytest.mark.parametrize("becomes", ["gone", "other", "damaged"])
def test_a_run_ends_with_the_weights_that_it_began_with(srx, monkeypatch, becomes):
    file = Path("best.safetensors")
    save_small_network(file, seed=1)
    picture("in/a.png")
    asked = ("upscale", "in", "-o")
    srx(*asked, "expected", "-m", file, code=0)

    def read(*arguments):
        if becomes == "gone":
            file.unlink(missing_ok=True)
        elif becomes == "other":
            save_small_network(file, seed=2)
        else:
            file.write_bytes(b"cut")
        return read_photograph(*arguments)

    monkeypatch.setattr(photographs, "read_photograph", read)
    srx(*asked, "out", "-m", file, code=0)
    assert np.array_equal(read_pixels("out/a.png"), read_pixels("expected/a.png"))


def test_newer_versions_and_weights_of_a_model_change_nothing(srx, tmp_path):
    out = tmp_path / "out.png"
    asked = ("upscale", picture("a.png"), out, "-m", "rrlfn", "-s", 2)
    srx(*asked, code=0)
    with Image.open(out) as image:
        text = image.info["Software"]
        info = PngInfo()
        version = text.split()[1]
        weights = text.partition("weights ")[2][:16]
        info.add_text(
            "Software", text.replace(version, "0.0.1").replace(weights, "0" * 16)
        )
        image.save(out, pnginfo=info)
    assert "1 skipped" in srx(*asked).out


def test_the_last_line_counts_the_model_of_each_output(srx, tmp_path, astronaut):
    (tmp_path / "in").mkdir()
    small = Image.fromarray(astronaut[:24, :32])
    small.save("in/blocks.jpg", quality=30)
    turned = small.transpose(Image.Transpose.ROTATE_180)
    small.save("in/turns.webp", save_all=True, append_images=[turned], lossless=True)
    Path("in/none.png").write_bytes(b"")
    told = srx("upscale in out -s 2 -m fast", code=1).out
    assert "2 done (1 by quick-photo, 1 by quick), 1 failed" in told


@pytest.mark.usefixtures("shallow_g_idrn")
def test_auto_looks_again_at_what_it_has_not_chosen_itself(
    srx, tmp_path, astronaut, monkeypatch
):
    for name, quality in (("fine.png", 100), ("blocks.jpg", 30)):
        Path("in").mkdir(exist_ok=True)
        Image.fromarray(astronaut[:72, :96]).save(
            tmp_path / "in" / name, quality=quality
        )
        aged(tmp_path / "in" / name, 100)
    asked = "upscale in out -s 2 -m"
    assert "2 done" in srx(asked, "g-idrn").out
    auto = srx(asked, "auto")
    assert "blocks.jpg: will be made again: it was made by g-idrn x2" in auto.err
    assert "1 done (1 by g-idrn-photo), 1 skipped" in auto.out
    Path("out/fine.png").unlink()
    assert "1 done (1 by g-idrn), 1 skipped" in srx(asked, "auto").out
    monkeypatch.setattr(
        finished, "look_for_model", lambda *_: pytest.fail("chosen before")
    )
    assert "2 skipped" in srx(asked, "auto").out
    assert "(1 by g-idrn-photo), 1 skipped" in srx(asked, "auto", "--strength 0").out


def test_finished_outputs_are_known_by_their_headers(srx, monkeypatch):
    for number, suffix in enumerate((".png", ".jpg", ".webp", ".avif", ".tif")):
        picture(f"in/{number}{suffix}")
    asked = f"upscale in out {SMALL}"
    assert "5 done" in srx(asked).out
    for module, name in (
        (finished, "open_picture"),
        (finished, "open_item"),
        (headers, "read_info"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("was opened"))
    assert "5 skipped" in srx(asked).out
    assert srx(asked, "--dry-run").out.count("(skip, exists)") == 5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.bmp", ()),
        ("out.gif", ()),
        ("out.png", ("--strip-metadata",)),
        ("out.png", ("--strip-provenance",)),
    ],
)
def test_without_a_record_sizes_and_times_decide_and_nothing_is_replaced(
    srx, tmp_path, name, words
):
    source = picture("a.png")
    out = tmp_path / name
    srx(f"upscale {source} {out} {SMALL}", *words, code=0)
    before = state(out)
    assert "1 skipped" in srx(f"upscale {source} {out} {SMALL}", *words).out
    larger = srx(f"upscale {source} {out} -m bicubic -s 3", *words, code=1)
    assert (
        "has 36x28 pixels and not 54x42, and nothing in it says that srx" in larger.err
    )
    assert (
        "and not 20x16"
        in srx(f"upscale {source} {out} {SMALL} --fit 20x20", *words).err
    )
    aged(source, -200)
    newer = srx(f"upscale {source} {out} {SMALL}", *words, code=1)
    assert f"{out}: is older than {source}" in newer.err
    assert "--overwrite" in newer.err
    assert state(out) == before
    srx(f"upscale {source} {out} {SMALL}", *words, "--overwrite", code=0)
    assert state(out)[0] > before[0]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("word", ["--strip-metadata", "--strip-provenance"])
def test_outputs_that_say_more_than_is_asked_for_are_made_again(
    srx, tmp_path, name, word
):
    source = (raster if name == "a.tif" else picture)(tmp_path / name)
    srx(f"upscale {source}", tmp_path / "once" / name, SMALL, code=0)
    asked = ("upscale", tmp_path / "once" / name, tmp_path / "twice" / name, SMALL)
    srx(*asked, code=0)
    assert "made again: it says what made it" in srx(*asked, word, code=0).err
    # it may hold the entry of its input
    assert "1 skipped" in srx(*asked, word, code=0).out


def test_a_window_decides_the_size_of_a_raster_without_a_record(srx):
    asked = ("upscale", raster("a.tif"), "o.tif", SMALL, "--strip-metadata")
    srx(*asked, "--srcwin 0 0 8 8", code=0)
    assert "1 skipped" in srx(*asked, "--srcwin 0 0 8 8").out
    assert "has 16x16 pixels and not 32x32" in srx(*asked, code=1).err


@pytest.mark.parametrize(
    "software", [None, "GIMP 2.10", "srx 0.1 (bicubic x2); GIMP 2.10", "srx"]
)
def test_a_picture_of_the_users_own_is_never_replaced(srx, software):
    source = picture("a.png")
    drawing = "out/a.png"
    info = PngInfo()
    if software:
        info.add_text("Software", software)
    before = state(picture(drawing, seed=1, pnginfo=info))
    result = srx(f"upscale {source} out {SMALL}", code=1)
    assert state(drawing) == before
    assert result.err.startswith(f"error: {drawing}: ")


def test_pictures_of_one_name_from_two_folders_do_not_pass_for_each_other(
    srx, tmp_path
):
    for seed, folder in enumerate(("monday", "tuesday")):
        picture(tmp_path / folder / "1.bmp", seed)  # of one size in pixels and in bytes
    out = tmp_path / "out" / "1.bmp"
    options = f"out {SMALL} -f png"
    asked = f"upscale tuesday/1.bmp {options}"
    srx(f"upscale monday/1.bmp {options}", code=0)
    before = state(out.with_suffix(".png"))
    aged("tuesday/1.bmp", -200)
    second = srx(asked, code=1)
    assert state(out.with_suffix(".png")) == before
    assert "was made from another picture than" in second.err
    assert "1 skipped" in srx(f"upscale monday/1.bmp {options}").out
    # what has moved as it is stays finished
    Path("monday").rename("archive")
    assert "1 skipped" in srx(f"upscale archive/1.bmp {options}").out


def test_an_input_that_was_restored_from_a_backup_is_told(srx):
    source = picture("in/a.png")
    asked = ("upscale", source, "out", SMALL)
    srx(*asked, code=0)
    before = state("out/a.png")
    picture(source, seed=1)
    aged(source, 100)
    srx(*asked, code=1)
    assert state("out/a.png") == before
    picture(source, seed=1)
    aged(source, -200)
    assert "the input has changed since" in srx(*asked).err


@pytest.mark.parametrize("make", [picture, raster])
def test_an_input_that_changes_while_it_is_enlarged_is_not_mixed(
    srx, monkeypatch, make
):
    source = make("a.tif")
    make_folder = Item.make_folder

    def change(item, folder=None):  # after the input was opened
        make_folder(item, folder)
        aged(source if folder else make(source, seed=1), 0)

    with monkeypatch.context() as patch:
        patch.setattr(Item, "make_folder", change)
        failed = srx(f"upscale {source} out {SMALL}", code=2)
    assert "a.tif: has changed while it was enlarged; run again" in failed.err
    assert "made again" not in srx(f"upscale {source} out {SMALL}", code=0).err


def test_an_input_that_changes_before_its_turn_has_its_own_metadata(srx, monkeypatch):
    first = raster("a.tif")
    earlier, later = Image.Exif(), Image.Exif()
    earlier[Base.Artist] = "earlier"
    later[Base.Artist] = "later"
    second = picture("b.jpg", exif=earlier)
    make_folder = Item.make_folder

    def change(item, folder=None):  # after both headers were read
        make_folder(item, folder)
        if item.source.name == first and folder is None:
            picture(second, seed=1, exif=later)

    monkeypatch.setattr(Item, "make_folder", change)
    srx(f"upscale {first} {second} out {SMALL} --bidx 1,2,3 -f tif", code=0)
    with Image.open("out/b.tif") as image:
        assert image.getexif()[Base.Artist] == "later"


@pytest.mark.parametrize(
    "words", [("-f", "png"), ("-f", "bmp"), ("-f", "png", "--strip-metadata")]
)
def test_one_picture_after_another_as_find_gives_them(srx, tmp_path, words):
    sources = [picture(f"in/a.{ext}", n) for n, ext in enumerate(("jpg", "png"))]
    out = tmp_path / "out"
    for round_, order in enumerate((sources, sources[::-1], sources)):
        for source in order:
            result = srx(f"upscale {source} {out}/ {SMALL}", *words, code=0)
            assert round_ < 2 or "1 skipped" in result.out
    outputs = [
        np.asarray(Image.open(path).convert("RGB")) for path in sorted(out.iterdir())
    ]
    for source in sources:
        expected = resize(read_pixels(source), 2)
        assert any(np.array_equal(values, expected) for values in outputs), source
    if words == ("-f", "png"):
        assert names_in(out) == ["a.png", "a_png.png"]


def test_a_mosaic_is_as_new_as_its_newest_part(srx):
    tile = raster("part.tif")
    rasterio.shutil.copy(tile, "all.vrt", driver="VRT")
    aged("all.vrt", 100)
    asked = f"upscale all.vrt out.tif {SMALL}"
    srx(asked, code=0)
    assert "1 skipped" in srx(asked).out
    aged(tile, -200)
    assert "the input has changed since" in srx(asked).err


def test_the_second_of_two_paths_is_the_output(srx, tmp_path):
    source = raster("in.tif")
    out = tmp_path / "out.tif"
    for words, told in (
        ((), "1 done"),
        ((), "1 skipped"),
        (("--overwrite",), "1 done"),
    ):
        result = srx(f"upscale {source} {out} {SMALL}", *words, code=0)
        assert told in result.out, result.err
    before = state(raster(out, seed=1))
    srx(f"upscale {source} {out} {SMALL}", code=1)
    assert state(out) == before
    long = srx(f"upscale {source} {'n' * 300}.png {SMALL}", code=2)
    assert "the name is too long" in long.err
    itself = srx(f"upscale {source} {source} {SMALL} --overwrite", code=2)
    assert "the last argument is the output" in itself.err
    srx(f"upscale {source} {out} {SMALL} --overwrite", code=0)
    assert size_of(out) == (32, 32)


def test_a_dry_run_tells_what_would_be_made_again_and_what_kept(srx, tmp_path):
    for name in ("0/a.png", "a.png", "b.png", "c.png"):
        picture(tmp_path / "in" / name)
    asked = f"upscale in out -r {SMALL}"
    picture("out/c.png", seed=1)
    Path("out/0").touch()  # in the way of the folder of one
    assert "2 done, 2 failed" in srx(asked).out
    plan = srx("upscale in out -r -m bicubic -s 3 --dry-run", code=1)
    assert "a.png and 1 more: will be made again: it was made by bicubic x2" in plan.out
    assert "would fail: out/c.png: has 18x14 pixels" in plan.out
    assert size_of("out/a.png") == (36, 28)
