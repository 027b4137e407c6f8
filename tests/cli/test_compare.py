"""`srx compare`: parts of a photograph by every model, on a sheet."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from skimage import data

import srcli
from srcli.models import MODELS
from srcli.models.weights import shipped_scales, weights_path
from srcli.pipelines.compare import CELL_SIDE, compare
from srcli.ports import Progress
from srcli.report.pictures import choose_parts


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


@pytest.mark.parametrize("name", ["photo.png", "link.png"])
def test_the_photograph_itself_is_not_replaced(srx, photo, name):
    before = photo.read_bytes()
    (photo.parent / "link.png").hardlink_to(photo)
    told = srx("compare", photo, photo.parent / name, "-m bicubic", code=2).err
    assert "is the photograph itself" in told
    assert photo.read_bytes() == before


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_models_take_turns_in_the_same_place(srx, tmp_path, suffix):
    photo = np.zeros((60, 60, 3), np.uint8)
    photo[:, 30:] = 200  # an edge, at which alone models differ
    Image.fromarray(photo).save(tmp_path / "photo.png")
    out = tmp_path / f"turns{suffix}"
    crops = ("--crop", "10,10,40,40", "--crop", "10,10,40,20")
    srx("compare", tmp_path / "photo.png", out, "-m bicubic -s 2", *crops, code=0)
    if suffix == ".mp4":
        turns_shown = [*_video_frames(out)]
    else:
        with Image.open(out) as turns:
            assert turns.info["loop"] == 0
            turns_shown = []
            for turn in ImageSequence.Iterator(turns):
                turns_shown.append(np.asarray(turn.convert("RGB")))
                assert turn.info["duration"] == 1000
    frames = np.stack(turns_shown)
    # two cells of 320x320 and 320x160 with borders, and a line for the name
    assert frames.shape == (2, 320 + 8 + 28, 2 * 320 + 12, 3)
    changed = np.abs(frames[0].astype(int) - frames[1]).max(axis=2)
    shown = changed[4:324, 4:324]
    assert shown[:, 140:180].max() > 30  # the edge
    assert shown[:, :100].max() <= 6  # nothing else; 0 but for the video
    assert shown[:, 220:].max() <= 6
    assert changed[330:350, :100].max() > 200  # the names
    assert np.ptp(frames[:, 164:324, 328:].astype(int)) < 12  # below the flat part


def _video_frames(file):
    """Yield all frames of a video of a frame a second."""
    with av.open(str(file)) as video:
        assert video.streams.video[0].average_rate == 1
        for frame in video.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def test_turns_as_a_video_need_the_extra_before_anything_is_enlarged(
    srx, photo, tmp_path, monkeypatch
):
    monkeypatch.setattr("srcli.report.pictures.find_spec", lambda name: None)
    monkeypatch.setattr("srcli.pipelines.compare.upscale", None)
    result = srx("compare", photo, tmp_path / "s.mp4", code=2)
    assert 'pip install "srcli[video]"' in " ".join(result.err.split())


def test_each_model_enlarges_the_part_as_it_enlarges_the_photograph(photo):
    rows = compare(photo, ("bicubic", "rrlfn"), 2, [(64, 48, 40, 30)], Progress())
    ((area, row),) = rows.items()
    shown = {caption.partition(":")[0]: picture for caption, picture in row.items()}
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
        ("photo.png s.tif", "give a name that ends in .png, .gif, .webp, .mp4"),
        ("photo.png s.png --crop 1,2,3", "is not X,Y,W,H"),
        ("photo.png s.png --crop 1,2,0,3", "must be above 0"),
        ("photo.png s.png --crop 250,2,20,9", "which has 260x200 pixels"),
        ("photo.png s.png -m gidrn", "did you mean g-idrn?"),
        ("photo.png no/s.png -m bicubic", "no/s.png"),
        ("dem.tif s.png", "dem.tif: is a raster (one band of floats)"),
        ("a.ppm s.png", "a.ppm: is a raster (a format of GDAL (PNM))"),
        ("nothing.png s.png", "nothing.png: no such file"),
        ("cut.png s.png", "cut.png: the file is damaged or cut short"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    srx, photo, monkeypatch, tmp_path, words, message
):
    monkeypatch.chdir(tmp_path)
    Image.new("F", (9, 9)).save("dem.tif")
    Image.new("RGB", (9, 9)).save("a.ppm")
    Path("cut.png").write_bytes(photo.read_bytes()[:40])
    result = srx("compare", *words.split())
    assert result.code == 2
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
    trained = photo.parent / "run/best.safetensors"
    trained.parent.mkdir()
    trained.write_bytes(weights_path("rrlfn", 4).read_bytes())
    parts = [(64, 48, 40, 30), (0, 0, 20, 20)]
    models = ("rrlfn", "auto", str(trained), "fast")
    labels = ("", "", "", "soon")
    rows = compare(photo, models, 4, parts, Progress(), labels)
    captions = [
        "input",
        "rrlfn: 2.0 s a megapixel",
        "auto (g-idrn): 2.0 s a megapixel",
        "run: 2.0 s a megapixel",  # "best" says nothing
        "soon (quick-photo): 2.0 s a megapixel",
    ]
    assert list(map(list, rows.values())) == [captions, captions]
