"""Sizes, disk and failures of a run are foreseen, and nothing is done."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.files import cache_folder
from srcli.imaging.pixels.geometry import Box
from srcli.pipelines.upscale import speeds
from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.reporter import Reporter
from srcli.pipelines.upscale.run import upscale_files
from tests.fixtures.geotiffs import SIXTEEN_BITS, WITH_NODATA
from tests.fixtures.photographs import PLACE, noise, write_by_gdal

OPTIONS = settle(Asked(model="bicubic", scale=2))
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.larger = nn.Upsample(scale_factor=scale)

    def forward(self, x):
        return self.larger(x)
"""


@pytest.fixture
def wide(tmp_path):
    """A picture whose enlargement by 4 is wider than WebP can hold."""
    Image.new("RGB", (5000, 2)).save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def estimate(source, target, options):
    (report,) = upscale_files([source], target, options, dry_run=True).files
    assert not target.exists()
    return report


def test_sizes_that_a_format_cannot_hold_are_refused(wide, tmp_path):
    out = tmp_path / "wide.webp"
    assert estimate(wide, out, replace(OPTIONS, scale=3)).size == (6, 15000)
    error = estimate(wide, out, replace(OPTIONS, scale=4)).error
    assert "wide.png" in error
    assert "16,383" in error or "16383" in error


def test_what_is_made_smaller_again_needs_less_disk(wide, tmp_path):
    out = tmp_path / "out.png"
    narrow = estimate(wide, out, replace(OPTIONS, scale=4, fit=Box(width=2000)))
    assert (narrow.size, narrow.bytes) == ((1, 2000), 2000 * 3)
    assert narrow.warnings == ("becomes 2000x1, smaller than the input (5000x2)",)
    usual = estimate(wide, out, replace(OPTIONS, fit=Box(height=4)))
    assert (usual.size, usual.bytes, usual.warnings) == (
        (4, 10_000),
        4 * 10_000 * 3,
        (),
    )


def test_sizes_come_true(geotiffs, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", geotiffs / WITH_NODATA]
    planned = upscale_files(sources, tmp_path / "out", OPTIONS, dry_run=True)
    assert not (tmp_path / "out").exists()
    summary = upscale_files(sources, tmp_path / "out", OPTIONS)
    for plan, report in zip(planned.files, summary.files, strict=True):
        assert plan.size == report.size
    photograph, raster = planned.files
    assert photograph.bytes == 256 * 320 * 3
    # tiles at the edges are as large as all others, and directories need room
    assert raster.size is not None
    pixel_bytes = -(-raster.size[0] // 512) * -(-raster.size[1] // 512) * 512**2 * 3
    # parts and result
    assert 0 < raster.bytes - 2**20 - 2 * pixel_bytes < 0.004 * pixel_bytes
    assert (
        upscale_files(sources, tmp_path / "out", OPTIONS, dry_run=True).counts[
            "skipped"
        ]
        == 2
    )


def test_a_part_of_a_raster_counts_as_such(geotiffs, tmp_path):
    source = geotiffs / SIXTEEN_BITS
    options = replace(
        OPTIONS,
        model="rrlfn",
        srcwin=(10, 20, 30, 40),
        bands=(2,),
    )
    report = estimate(source, tmp_path / "out", options)
    assert report.size == (80, 60)
    assert 80 * 60 * 2 * 2 < report.bytes < 80 * 80 * 2 * 2 + 2**20 + 100
    assert "as black and" in report.details[0]
    assert "--rgb" in " ".join(estimate(source, tmp_path / "out", OPTIONS).warnings)


def test_the_time_is_told_at_the_speed_of_the_last_run(srx, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (600, 500)).save("a.png")
    Image.new("RGB", (600, 1000)).save("b.png")
    asked = "-s 2 -m bicubic"
    assert "takes about" not in srx(f"upscale b.png c.png {asked} --dry-run").out
    # 1.2 megapixels in 4 seconds
    monkeypatch.setattr(Reporter, "seconds", 4.0)
    srx(f"upscale a.png c.png {asked}", code=0)
    told = srx(f"upscale b.png d.png {asked} --dry-run", code=0).out
    assert "takes about 8 s, at the speed of the last run" in told
    told = srx("upscale b.png d.png -s 3 -m bicubic --dry-run", code=0).out
    assert "takes about" not in told


def test_a_long_wait_is_told_before_it_begins(srx, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (90, 90)).save("a.png")
    Path("net.py").write_text(NET)
    asked = "upscale a.png out -s 2 -m net.py:Net -t 32 --overwrite"
    # all that takes longer than a moment is long, from its first tiles on
    with monkeypatch.context() as patch:
        patch.setattr(speeds, "_LEAST_SECONDS", 0.0)
        patch.setattr(speeds, "LONG_SECONDS", 0.001)
        assert srx(asked, code=0).err.count("without a GPU this takes about") == 1
    file = cache_folder() / "speeds.json"
    speed_of = json.loads(file.read_text())
    (work,) = [name for name in speed_of if name.startswith("tiles of net.py")]
    speed_of[work] = 1e-4  # of a hundredth of a megapixel, and more with overlaps
    file.write_text(json.dumps(speed_of))
    told = srx(asked, code=0).err
    words = r"without a GPU this takes about (\d+) min; -m fast takes about (\d+) ms"
    ((minutes, fast),) = re.findall(words, told)
    assert 2 <= int(minutes) <= 8
    assert int(fast) < 1000
    assert "without a GPU" not in srx(f"{asked} -q", code=0).err
    assert "without a GPU" not in srx(f"{asked} -m bicubic", code=0).err


@pytest.mark.parametrize("name", ["plain.tif", "landcover.tif", "four.tif"])
def test_what_needs_no_network_is_not_foreseen_to_take_long(
    srx, monkeypatch, tmp_path, name
):
    monkeypatch.chdir(tmp_path)
    write_by_gdal("plain.tif", np.add.outer(range(60), range(60)) * 0.01, **PLACE)
    write_by_gdal("landcover.tif", np.eye(60, dtype=np.uint8) + 1, **PLACE)
    write_by_gdal("four.tif", noise((60, 60, 4)), **PLACE)
    options = settle(Asked(scale=2))
    file = cache_folder() / "speeds.json"
    file.parent.mkdir(parents=True)
    # by which a network takes 144 s for 60x60 pixels, for four bands twice that
    file.write_text(json.dumps({f"tiles of {speeds.speed_name(options)}": 25e-6}))
    monkeypatch.setattr(speeds.WaitForecast, "_fast_speed", lambda _: 0.0)
    monkeypatch.setattr(speeds, "_LEAST_SECONDS", 1e9)
    told = srx(f"upscale {name} out -s 2", code=0).err
    assert ("without a GPU" in told) == (name == "four.tif")


def test_the_model_is_told_for_every_input_as_the_run_tells_it(
    srx, monkeypatch, tmp_path, astronaut
):
    monkeypatch.chdir(tmp_path)
    photograph = Image.fromarray(astronaut[:96, :96])
    photograph.save("a.png")
    photograph.save("b.jpg", quality=30)
    photograph.save("c.gif", save_all=True, append_images=[photograph.rotate(90)])
    asked = "upscale a.png b.jpg c.gif out -s 2 -v"
    foreseen = srx(f"{asked} -m fast --dry-run", code=0).out
    done = srx(f"{asked} -m fast", code=0)
    models = [line.rpartition("(")[2] for line in done.err.splitlines() if "->" in line]
    assert len(models) == 3
    for model in models:
        assert model.rpartition(",")[0] in foreseen
    named = srx("upscale a.png d.png -s 2 -m bicubic --dry-run", code=0).out
    assert "a.png -> d.png (192x192 png, bicubic)" in named
