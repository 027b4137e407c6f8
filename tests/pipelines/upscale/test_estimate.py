"""Sizes, memory and failures of a run are estimated, and nothing is done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from srcli.errors import ModelError, PictureError, UsageError
from srcli.imaging.reading import open_picture
from srcli.imaging.resize import UNBOUNDED, Box
from srcli.inference.engines import EngineOptions
from srcli.pipelines.upscale.estimate import Estimate, estimate_files, estimate_photograph
from srcli.pipelines.upscale.options import RasterOptions, UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.run import upscale_files

OPTIONS = UpscaleOptions(model="bicubic", scale=2, tile=64, overlap=8)


@pytest.fixture
def wide(tmp_path):
    Image.new("RGB", (5000, 2), "red").save(tmp_path / "wide.png")
    return Item(source=tmp_path / "wide.png", target=tmp_path / "wide.webp", format="webp")


def scaled(scale, fit=UNBOUNDED):
    return replace(OPTIONS, scale=scale, fit=fit)


def test_sizes_that_a_format_cannot_hold_are_refused(wide):
    assert estimate_photograph(wide, open_picture(wide.source), scaled(3), None).width == 15000
    with pytest.raises(PictureError, match=r"wide\.png.*16.?383"):
        estimate_photograph(wide, open_picture(wide.source), scaled(4), None)


def test_what_is_made_smaller_again_needs_memory_as_before_and_less_disk(wide):
    options = scaled(4, Box(width=2000))
    estimate = estimate_photograph(wide, open_picture(wide.source), options, None)
    assert (estimate.height, estimate.width) == (1, 2000)
    assert estimate.bytes == 2000 * 3
    assert estimate.memory > 20_000 * 8 * 3
    assert estimate.warnings == ("becomes 2000x1, smaller than the input (5000x2)",)
    whole = estimate_photograph(wide, open_picture(wide.source), scaled(2, Box(height=4)), None)
    assert whole.warnings == ()
    assert (whole.height, whole.width, whole.bytes) == (4, 10_000, 4 * 10_000 * 3)


def estimate_of(run, place=0):
    estimate = run.items[place][1]
    assert isinstance(estimate, Estimate), estimate
    return estimate


def test_sizes_come_true(srx_data, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", srx_data / "geotiff" / "landsat_rgb_uint8_nodata_utm18.tif"]
    run = estimate_files(sources, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()
    done = upscale_files(sources, tmp_path / "out", OPTIONS)
    sizes = {report.source: report.size for report in done.files}
    for place, source in enumerate(sources):
        estimate = estimate_of(run, place)
        assert (estimate.height, estimate.width) == sizes[source]
        if place:  # tiles at the edges are as large as all others, and directories need room
            whole = -(-estimate.height // 512) * -(-estimate.width // 512) * 512**2 * 3
            assert 2 * whole < estimate.bytes < 2.004 * whole + 2**20  # parts and result
        else:
            assert estimate.bytes == estimate.height * estimate.width * 3
    again = estimate_files(sources, tmp_path / "out", OPTIONS)
    assert again.memory == 0  # all of it is there


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "g-idrm"}, ModelError),
        ({"model": "missing.safetensors"}, ModelError),
        ({"model": "g-idrn-aerial", "scale": 3}, ModelError),
        ({"engine": EngineOptions(device="cuda:99")}, UsageError),
        ({"engine": EngineOptions(device="cpu", precision="fp16")}, UsageError),
    ],
)
def test_networks_that_cannot_be_run_are_refused(wide, change, error):
    with pytest.raises(error):
        estimate_files([wide.source], wide.target, replace(OPTIONS, **change))


def test_a_part_of_a_raster_counts_as_such(srx_data, tmp_path):
    source = srx_data / "geotiff" / "satellite_rgb_uint16_utm18.tif"
    options = replace(OPTIONS, raster=RasterOptions(srcwin=(10, 20, 30, 40), bands=(2,)))
    estimate = estimate_of(estimate_files([source], tmp_path / "out", options))
    assert (estimate.height, estimate.width) == (80, 60)
    assert 80 * 60 * 2 * 2 < estimate.bytes < 80 * 80 * 2 * 2 + 2**20 + 100
    assert "are black to white" in estimate.remarks[0]
    whole = estimate_of(estimate_files([source], tmp_path / "out", OPTIONS))
    assert whole.memory > estimate.memory
    assert any("--rgb" in warning for warning in whole.warnings)


@pytest.mark.parametrize(
    ("raster", "message"),
    [
        (RasterOptions(bands=(9,)), "9"),
        (RasterOptions(srcwin=(5000, 0, 5, 5)), "outside"),
        (RasterOptions(max_memory=1), "--max-memory"),
        (RasterOptions(nodata=-5.0), "uint16"),
        (RasterOptions(creation={"FOO": "1"}), "--co: GDAL says"),
        (RasterOptions(creation={"TARGET_SRS": "EPSG:4326"}, cog=True), "change --co"),
    ],
)
def test_what_would_fail_says_why(srx_data, tmp_path, raster, message):
    source = srx_data / "geotiff" / "satellite_rgb_uint16_utm18.tif"
    run = estimate_files([source], tmp_path / "out", replace(OPTIONS, raster=raster))
    ((_, reason),) = run.items
    assert isinstance(reason, str)
    assert message in reason
