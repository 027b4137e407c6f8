"""What makes results several times smaller is told where nobody would look for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from srcli.pipelines.upscale import smaller_files


@pytest.fixture
def heic(monkeypatch):
    """A photograph in a format that is read, but not written."""
    pillow_heif = pytest.importorskip("pillow_heif")
    monkeypatch.setattr(smaller_files, "LEAST_BYTES", 0)
    pillow_heif.from_pillow(Image.fromarray(data.astronaut())).save("a.heic")
    return "a.heic"


def test_a_heic_becomes_a_png_and_jpeg_is_named(srx, heic):
    told = srx(f"upscale {heic} out/ -s 2 -m bicubic", code=0).err
    told = " ".join(told.split())
    assert "becomes a PNG of" in told
    times = int(told.partition(" times smaller")[0].rpartition("about ")[2])
    told = srx(f"upscale {heic} jpg/ -s 2 -m bicubic -f jpg", code=0).err
    assert "becomes" not in told
    sizes = [Path(name).stat().st_size for name in ("out/a.png", "jpg/a.jpg")]
    assert times == pytest.approx(sizes[0] / sizes[1], rel=0.35)


def test_nothing_is_told_of_what_was_asked_for(srx, heic):
    asked = srx(f"upscale {heic} out/ -s 2 -m bicubic -f png", code=0).err
    assert "times smaller" not in asked
    Image.fromarray(data.astronaut()).save("b.png")
    assert "times smaller" not in srx("upscale b.png out/ -s 2 -m bicubic").err
