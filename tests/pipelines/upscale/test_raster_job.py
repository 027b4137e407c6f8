"""Memory of rasters is foreseen by width, bounded where asked, refused where it cannot be."""

from __future__ import annotations

import pytest
import rasterio

from srcli.errors import PictureError, UsageError
from srcli.inference.tiling import Tiling, padded_grid
from srcli.pipelines.upscale.options import UpscaleOptions
from srcli.pipelines.upscale.plan import Item
from srcli.pipelines.upscale.raster_job import (
    PROGRAM,
    SMALLEST,
    WAITING,
    check_disk,
    open_job,
    plan_memory,
)

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
        return plan_memory(job, grid, OPTIONS.scale, limit)

    return run


def test_the_height_does_not_count_and_the_width_does(plan):
    low, high, wide = plan(4000, 4000), plan(4000, 16000), plan(8000, 4000)
    assert high.pictures == pytest.approx(low.pictures, rel=0.02)  # tiles are balanced to it
    assert wide.band == pytest.approx(2 * low.band, rel=0.05)
    assert plan(4000, 4000, dtype="uint16").band > 1.8 * low.band
    assert PROGRAM + plan(50_000, 400).pictures < 1.5e9
    assert (low.cache, low.waiting) == (0, WAITING)
    assert plan(500_000, 400, tiled=False).cache > 2**26  # rows that all tiles share


def test_a_limit_shrinks_what_may_shrink_and_else_is_refused(plan):
    free = plan(4000, 1000)
    least = PROGRAM + free.band + free.blocks + SMALLEST
    tight = plan(4000, 1000, limit=least + 3)
    assert PROGRAM + tight.pictures <= least + 3
    assert tight.band == free.band
    assert tight.waiting >= SMALLEST
    roomy = plan(4000, 1000, limit=1 << 40)
    assert roomy == free
    with pytest.raises(UsageError, match=r"4000x1000.tif: takes about [0-9,]+ MiB, .*--srcwin"):
        plan(4000, 1000, limit=least - 1)


def test_disk_that_cannot_hold_the_result_is_refused(plan, monkeypatch, tmp_path):
    plan(2000, 1000)
    path = tmp_path / "2000x1000.tif"
    job = open_job(Item(source=path, target=tmp_path / "new" / "out.tif", format="tif"), OPTIONS)

    class Disk:
        free = 0

    monkeypatch.setattr("shutil.disk_usage", lambda folder: Disk)
    size = 8000 * 4000 * 3 * 2  # parts and result
    for free, found in ((10 * size, None), (size // 2, "are free")):
        Disk.free = free
        told = check_disk(job)
        assert "".join(told).endswith(f"in {tmp_path}") == (found is not None)
    Disk.free = size // 10
    with pytest.raises(PictureError, match="make room, take another folder or a part"):
        check_disk(job)
