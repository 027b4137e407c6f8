"""Memory of rasters is foreseen by width, bounded where asked, refused where it cannot be."""

from __future__ import annotations

import pytest
import rasterio

from srcli.errors import UsageError
from srcli.imaging.rasters.opening import BLOCK_CACHE
from srcli.inference.tiling import Tiling, padded_grid
from srcli.pipelines.upscale.options import PROGRAM, UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.workers import SMALLEST, WAITING, open_job, plan_memory

OPTIONS = UpscaleOptions(model="bicubic", scale=4)
TILING = Tiling(tile=192, overlap=16)


@pytest.fixture
def plan(tmp_path):
    """Plan the memory of an empty raster of some size."""

    def run(width: int, height: int, limit: int | None = None, **profile: object):
        path = tmp_path / f"{width}x{height}.tif"
        settings = {"driver": "GTiff", "width": width, "height": height, "count": 3} | profile
        settings = {"dtype": "uint8", "crs": "EPSG:32632", "nodata": 0, "tiled": True} | settings
        transform = rasterio.Affine(2, 0, 0, 0, -2, 0)
        with rasterio.open(path, "w", sparse_ok=True, transform=transform, **settings):
            pass
        job = open_job(Item(source=path, target=tmp_path / "out.tif", format="tif"), OPTIONS)
        grid = padded_grid(job.window.height, job.window.width, TILING)
        return plan_memory(job, grid, limit)

    return run


def least(plan, *size, **profile):
    """MiB that a raster needs."""
    with pytest.raises(UsageError, match=r"takes about [0-9,]+ MiB, .*--srcwin") as error:
        plan(*size, limit=1, **profile)
    return int(str(error.value).split(" about ")[1].split()[0].replace(",", ""))


def test_the_height_does_not_count_and_the_width_does(plan):
    low, high, wide = least(plan, 4000, 4000), least(plan, 4000, 16000), least(plan, 8000, 4000)
    program = PROGRAM >> 20
    assert high == pytest.approx(low, rel=0.02)  # tiles are balanced to it
    assert wide - program == pytest.approx(2 * (low - program), rel=0.2)
    assert least(plan, 4000, 4000, dtype="uint16") > low * 1.05
    assert least(plan, 50_000, 400) < 1400
    assert plan(4000, 4000) == (BLOCK_CACHE, WAITING)
    assert plan(500_000, 400, tiled=False)[0] > 1.5 * BLOCK_CACHE  # rows that all tiles share


def test_a_limit_shrinks_what_may_shrink(plan):
    limit = least(plan, 4000, 1000) + 1 << 20
    assert plan(4000, 1000, limit=limit)[1] in range(SMALLEST, SMALLEST + 2**21)
    assert plan(4000, 1000, limit=1 << 40) == plan(4000, 1000)
