"""Rows into parts: from any pieces, with alpha and masks, on a full disk."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import rasterio

from srcli.errors import PictureError
from srcli.imaging.rasters import parts as parts_module
from srcli.imaging.rasters.part_writing import PartWriter, writer_memory
from srcli.imaging.rasters.resuming import open_parts


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(parts_module, "_LEAST_PIXELS", 1)


def read(parts, mask=False):
    """All rows of all parts."""
    found = []
    for _, path in sorted(parts.found().items()):
        with rasterio.open(path) as file:
            found.append(file.dataset_mask() > 0 if mask else np.moveaxis(file.read(), 0, 2))
    return np.concatenate(found)


def test_rows_that_are_there_are_dropped_and_missing_ones_are_a_mistake(
    save, plan, tmp_path, noise
):
    pixels = noise((600, 20, 3))
    with open_parts(tmp_path / "out.tif", plan(save("in.tif", pixels)), {}) as (parts, _):
        writer = PartWriter(parts, range(1, 3))
        with pytest.raises(ValueError, match="row 256 is next, not 257"):
            writer.write(257, pixels[257:])
        writer.write(200, np.concatenate([pixels[200:256] * 0, pixels[256:400]]))
        with pytest.raises(ValueError, match="row 400 of part 1 is missing"):
            writer.finish()
        writer.write(390, pixels[390:])
        writer.finish()
        assert parts.missing() == [range(1)]
        np.testing.assert_array_equal(read(parts), pixels[256:])
        writer = PartWriter(parts, range(1))
        writer.write(0, pixels)  # more rows than the run has
        writer.finish()
        np.testing.assert_array_equal(read(parts), pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 33), (257, 1), (256, 32), (255, 31), (513, 65)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64"])
def test_odd_sizes_with_a_mask(save, plan, write_parts, tmp_path, noise, size, dtype):
    pixels, mask = noise((*size, 3), dtype), noise(size, seed=1) > 100
    out = plan(save("in.tif", pixels, then=lambda file: file.write_mask(mask)))
    with open_parts(tmp_path / "out.tif", out, {}) as (parts, _):
        write_parts(parts, pixels, mask=mask)
        np.testing.assert_array_equal(read(parts), pixels)
        np.testing.assert_array_equal(read(parts, mask=True), mask)


def test_empty_rows_take_no_room(save, plan, write_parts, tmp_path, noise):
    sizes = []
    for name, pixels in (
        ("a.tif", noise((256, 600, 3))),
        ("b.tif", np.full((256, 600, 3), 7, np.uint8)),
    ):
        out = plan(save("in.tif", pixels, nodata=7))
        with open_parts(tmp_path / name, out, {}) as (parts, _):
            write_parts(parts, pixels)
            np.testing.assert_array_equal(read(parts), pixels)
            sizes += [path.stat().st_size for path in parts.found().values()]
    assert sizes[1] < 2000 < 100_000 < sizes[0]


def test_a_disk_that_is_full_keeps_what_is_done(save, plan, write_parts, tmp_path, noise):
    pixels = noise((1100, 200, 3))
    out = plan(save("in.tif", pixels))
    with open_parts(tmp_path / "out.tif", out, {}) as (parts, _):
        writer = PartWriter(parts, range(5))
        writer.write(0, pixels[:512])
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
        try:
            with pytest.raises(PictureError, match=r"out.tif: .*(room|raise the limit)") as error:
                writer.write(512, pixels[512:])
            assert "\n" not in str(error.value)
            with pytest.raises(ValueError, match="missing"):
                writer.finish()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert parts.missing() == [range(2, 5)]
        assert not [path for path in parts.folder.iterdir() if path.name.endswith("part")]
        write_parts(parts, pixels)
        np.testing.assert_array_equal(read(parts), pixels)


def test_an_unfinished_part_is_removed(save, plan, tmp_path, noise):
    pixels = noise((1100, 50, 3))
    with open_parts(tmp_path / "out.tif", plan(save("in.tif", pixels)), {}) as (parts, _):
        writer = PartWriter(parts, range(5))
        writer.write(0, pixels[:600])
        assert parts.missing() == [range(2, 5)]
        assert not [path for path in parts.folder.iterdir() if path.name.endswith("part")]


def test_memory_is_bounded_in_height(save, plan, noise):
    low, high = (plan(save("in.tif", noise((h, 50, 3)))) for h in (256, 2000))
    assert writer_memory(low) == writer_memory(high) == 2 * 256 * 50 * 3
