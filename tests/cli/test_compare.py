"""`srx compare`: parts of a photograph by every model, on a sheet."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

import srcli
from srcli.models import MODELS
from srcli.models.weights import shipped_scales
from srcli.pipelines.compare import CELL_SIDE, choose_parts, compare
from srcli.ports.progress import Progress


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.png"
    Image.fromarray(data.astronaut()[:200, :260]).save(file)
    return file


def test_a_sheet_has_a_row_for_each_part_and_a_column_for_each_model(
    srx, photo, tmp_path
):
    crops = ("--crop", "10,20,40,30", "--crop", "100,60,30,60")
    srx("compare", photo, tmp_path / "s.png", "-m bicubic -m rrlfn", *crops, code=0)
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size == (
            3 * (CELL_SIDE + 8),
            (CELL_SIDE * 3 // 4 + 26) + (CELL_SIDE + 26),
        )
    srx("compare", photo, tmp_path / "s.png", "-m bicubic --crop 0,0,200,100", code=0)
    with Image.open(tmp_path / "s.png") as sheet:  # in full size
        assert sheet.size == (2 * 808, 400 + 26)


def test_each_model_enlarges_the_part_as_it_enlarges_the_photograph(photo):
    rows = compare(photo, ("bicubic", "rrlfn"), 2, [(64, 48, 40, 30)], Progress())
    ((area, row),) = rows.items()
    shown = {caption.partition(",")[0]: picture for caption, picture in row.items()}
    assert (area, [*shown]) == ((64, 48, 40, 30), ["input", "bicubic", "rrlfn"])
    pixels = np.asarray(Image.open(photo))
    near = pixels[48:78, 64:104].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(shown["input"], near)
    enlarged = srcli.upscale(pixels, "bicubic", 2)[96:156, 128:208]
    np.testing.assert_array_equal(shown["bicubic"], enlarged)


def test_auto_is_what_the_whole_photograph_gets(tmp_path):
    fine = tmp_path / "fine.jpg"  # clean by its pixels, but a JPEG
    Image.fromarray(data.astronaut()[:120, :130]).save(fine, quality=98)
    rows = compare(fine, ("auto",), 2, [(64, 48, 40, 30)], Progress())
    row, *_ = rows.values()
    _, shown = row.values()
    enlarged = srcli.upscale(
        np.asarray(Image.open(fine)), "g-idrn-photo", 2, strength=0.5
    )
    apart = np.abs(shown.astype(int) - enlarged[96:156, 128:208])
    assert apart.mean() < 0.5  # models see 32 pixels around a part
    clean = srcli.upscale(np.asarray(Image.open(fine)), "g-idrn", 2)
    assert np.abs(shown.astype(int) - clean[96:156, 128:208]).mean() > 1


def test_by_default_all_shipped_models_enlarge_what_was_chosen(
    srx, tmp_path, monkeypatch
):
    asked = []

    def enlarge(pixels, model, scale, strength):
        asked.append(model)
        return pixels.repeat(scale, axis=0).repeat(scale, axis=1)

    monkeypatch.setattr("srcli.pipelines.compare.upscale", enlarge)
    Image.fromarray(np.full((30, 300), 7, np.uint16) * 257).save(tmp_path / "deep.png")
    srx("compare", tmp_path / "deep.png", tmp_path / "s.png", "-s 3", code=0)
    for name, entry in MODELS.items():
        is_due = not entry.is_baseline and 3 in shipped_scales(name)
        assert (name in asked) == is_due
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.getpixel((9, 9)) == (7, 7, 7)  # of 255, as in the photograph


def test_parts_are_chosen_by_their_detail_and_do_not_overlap():
    pixels = np.full((240, 320, 3), 90, np.uint8)
    pixels[80:160, 160:240, :] = np.random.default_rng(0).integers(0, 255, (80, 80, 1))
    pixels[160:240, 0:80:4] = 120
    parts = choose_parts(pixels)
    assert parts[:2] == [(160, 80, 80, 80), (0, 160, 80, 80)]
    assert len(set(parts)) == len(parts) == 3
    assert choose_parts(pixels[:50, :60]) == [(0, 0, 60, 50)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("photo.png s.gif", "give a name that ends in .png"),
        ("photo.png s.png --crop 1,2,3", "is not X,Y,W,H"),
        ("photo.png s.png --crop 1,2,0,3", "must be above 0"),
        ("photo.png s.png --crop 250,2,20,9", "which has 260x200 pixels"),
        ("photo.png s.png -m gidrn", "did you mean g-idrn?"),
        ("photo.png no/s.png -m bicubic", "no/s.png"),
        ("dem.tif s.png", "dem.tif: is a raster (one band of floats)"),
        ("nothing.png s.png", "nothing.png: no such file"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    srx, photo, monkeypatch, tmp_path, words, message
):
    monkeypatch.chdir(tmp_path)
    Image.new("F", (9, 9)).save("dem.tif")
    result = srx("compare", *words.split())
    assert result.code == (1 if "nothing.png" in words else 2)
    assert message in " ".join(result.err.split())
    assert not (tmp_path / "s.png").exists()


def test_the_time_of_a_megapixel_counts_all_that_was_enlarged(photo, monkeypatch):
    clock = [0.0]

    def enlarge(pixels, model, scale, strength):
        pixels_made = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
        clock[0] += 2 * pixels_made[:, :, 0].size / 1e6  # seconds
        return pixels_made

    monkeypatch.setattr("srcli.pipelines.compare.upscale", enlarge)
    monkeypatch.setattr("srcli.pipelines.compare.time.perf_counter", lambda: clock[0])
    rows = compare(photo, ("rrlfn",), 4, [(64, 48, 40, 30), (0, 0, 20, 20)], Progress())
    assert list(map(list, rows.values())) == [["input", "rrlfn, 2.0 s/MP"]] * 2
