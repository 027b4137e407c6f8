"""A forecast tells sizes, memory, time and failures of a run, and does nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from srcli.pipelines.upscale.estimate import Outlook
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.outlook import foresee_files
from srcli.pipelines.upscale.rasters.options import RasterOptions
from srcli.pipelines.upscale.run import upscale_files

OPTIONS = UpscaleOptions(model="bicubic", scale=2, tile=64, overlap=8)


def outlook_of(forecast, place=0):
    outlook = forecast.items[place][1]
    assert isinstance(outlook, Outlook), outlook
    return outlook


def test_sizes_come_true(srx_data, tmp_path, astronaut):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", srx_data / "geotiff" / "landsat_rgb_uint8_nodata_utm18.tif"]
    forecast = foresee_files(sources, tmp_path / "out", OPTIONS)
    assert not (tmp_path / "out").exists()
    assert forecast.seconds > 0
    done = upscale_files(sources, tmp_path / "out", OPTIONS)
    sizes = {report.source: report.size for report in done.files}
    for place, source in enumerate(sources):
        outlook = outlook_of(forecast, place)
        assert (outlook.height, outlook.width) == sizes[source]
        if place:  # tiles at the edges are as large as all others, and directories need room
            whole = -(-outlook.height // 512) * -(-outlook.width // 512) * 512**2 * 3
            assert whole < outlook.bytes < 1.002 * whole + 2**20
        else:
            assert outlook.bytes == outlook.height * outlook.width * 3
    again = foresee_files(sources, tmp_path / "out", OPTIONS)
    assert (again.seconds, again.memory) == (0, 0)  # all of it is there


def test_a_part_of_a_raster_counts_as_such(srx_data, tmp_path):
    source = srx_data / "geotiff" / "satellite_rgb_uint16_utm18.tif"
    options = replace(OPTIONS, raster=RasterOptions(srcwin=(10, 20, 30, 40), bands=(2,)))
    outlook = outlook_of(foresee_files([source], tmp_path / "out", options))
    assert (outlook.height, outlook.width) == (80, 60)
    assert 80 * 60 * 2 < outlook.bytes < 80 * 80 * 2 + 2**20 + 100
    assert "are black to white" in outlook.remarks[0]
    whole = outlook_of(foresee_files([source], tmp_path / "out", OPTIONS))
    assert whole.memory > outlook.memory
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
    forecast = foresee_files([source], tmp_path / "out", replace(OPTIONS, raster=raster))
    ((_, reason),) = forecast.items
    assert isinstance(reason, str)
    assert message in reason
    assert forecast.seconds == 0
