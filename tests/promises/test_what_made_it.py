"""What made an output is told where users look: reports, --verbose, and the output itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.fixtures.files import json_lines

HALF = "-s 2 -m g-idrn-photo --strength 0.5 -v --report report.jsonl"


@pytest.fixture
def pictures(astronaut):
    """One of each kind that takes a way of its own, 32x32."""
    small = astronaut[:32, :32]
    picture = Image.fromarray(small)
    turned = Image.fromarray(small[::-1])
    picture.save("photo.png")
    picture.save("film.gif", save_all=True, append_images=[turned])
    pages = np.stack([small[:, :, 0], small[::-1, :, 0]])
    tifffile.imwrite("pages.tif", pages, photometric="minisblack", metadata=None)
    floats = pages.astype(np.float32)
    tifffile.imwrite("floats.tif", floats, photometric="minisblack", metadata=None)
    folder = Path("tiles/3/1")
    folder.mkdir(parents=True)
    picture.save(folder / "2.png")


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    "words",
    [
        "photo.png out.png",
        "film.gif out.gif",
        "film.gif out.mp4",
        "pages.tif out.tif",
        "floats.tif out.tif",
        "tiles out --mosaic",
    ],
)
def test_the_strength_stands_in_reports_and_lines(srx, words):
    result = srx(f"upscale {words}", HALF, code=0)
    assert "(g-idrn-photo at strength 0.5" in result.out + result.err
    (report,) = json_lines("report.jsonl")
    assert (report["model"], report["strength"]) == ("g-idrn-photo", 0.5)
    srx(f"upscale {words}", HALF.replace("0.5", "0"), "--overwrite", code=0)
    assert json_lines("report.jsonl")[0]["strength"] is None


def test_tiles_of_a_mosaic_tell_the_model_that_auto_has_chosen(srx):
    """Heights in colours are interpolated, by no network."""
    rows, columns = np.mgrid[:64, :64]
    heights = 105_000 + 30 * rows + 20 * columns
    colours = np.stack([heights >> 16, heights >> 8 & 255, heights & 255], axis=2)
    for column in range(2):
        folder = Path(f"tiles/14/{8000 + column}")
        folder.mkdir(parents=True)
        tile = colours[:, column * 32 : column * 32 + 32].astype(np.uint8)
        Image.fromarray(tile).save(folder / "5000.png")
    words = "upscale tiles out --mosaic -s 2 --report report.jsonl"
    srx(words, code=0)
    assert [line["model"] for line in json_lines("report.jsonl")] == ["bicubic"] * 2
    with Image.open("out/14/8000/5000.png") as first:
        assert "(bicubic x2, auto," in first.info["Software"]
    assert "2 skipped" in srx(words, code=0).out
