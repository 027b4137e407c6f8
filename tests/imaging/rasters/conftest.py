"""Rasters made for tests."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from rasterio.rpc import RPC
from rasterio.transform import Affine

from srcli.imaging.rasters.headers import info_of, read_info
from srcli.imaging.rasters.opening import keep_open
from srcli.imaging.rasters.output import derive_profile
from srcli.imaging.rasters.part_writer import PartWriter
from srcli.imaging.rasters.parts import open_parts
from srcli.imaging.rasters.profile import OutputOptions
from srcli.imaging.rasters.publishing import publish
from srcli.imaging.rasters.selection import choose_layout
from srcli.imaging.rasters.source import RasterSource
from srcli.ports import Window
from tests.fixtures.photographs import noise, write_by_gdal

PLACE = Affine(0.5, 0.0, 600_000.0, 0.0, -0.5, 5_100_000.0)
RPCS = RPC(
    height_off=100.0,
    height_scale=500.0,
    lat_off=48.0,
    lat_scale=0.1,
    long_off=11.0,
    long_scale=0.1,
    line_off=2049.5,
    line_scale=2050.0,
    samp_off=1999.5,
    samp_scale=2000.0,
    line_num_coeff=[0.001, 0.02, -1.01, 0.003] + [0.0] * 16,
    line_den_coeff=[1.0] + [0.0] * 19,
    samp_num_coeff=[0.002, 0.99, 0.01, 0.002] + [0.0] * 16,
    samp_den_coeff=[1.0, 0.0001] + [0.0] * 18,
    err_bias=1.5,
    err_rand=0.25,
)
"""Model of a sensor, of a picture of 4100x4000 pixels."""


@pytest.fixture
def save(tmp_path):
    """Write a raster: ``save("a.tif", pixels (H, W, C), then=what to do with the file, ...)``."""

    def write(name, pixels, **options):
        return write_by_gdal(
            tmp_path / name,
            pixels,
            **{"crs": "EPSG:32633", "transform": PLACE, **options},
        )

    return write


@pytest.fixture
def save_vrt(tmp_path):
    """Write a VRT: ``save_vrt("a.vrt", width, height, bands)``, each band (dtype, XML)."""

    def write(name, width, height, bands, head=""):
        body = "".join(
            f'<VRTRasterBand dataType="{dtype}" band="{number}">{inner}</VRTRasterBand>'
            for number, (dtype, inner) in enumerate(bands, 1)
        )
        path = tmp_path / name
        path.write_text(
            f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{head}{body}</VRTDataset>'
        )
        return path

    return write


def plan(path, scale=1, **options):
    """Profile of the output for a raster, whole."""
    info = read_info(path)
    window = Window(top=0, left=0, height=info.height, width=info.width)
    return derive_profile(
        info, choose_layout(info), window, scale, OutputOptions(**options), []
    )


@pytest.fixture(name="plan")
def _plan():
    """Profile of the output for a raster: ``plan(path, scale=1, creation=...)``."""
    return plan


@contextmanager
def open_source(path, bands=None):
    """A raster as a source, whole."""
    with keep_open(path) as opened:
        info = info_of(opened)
        window = Window(top=0, left=0, height=info.height, width=info.width)
        yield RasterSource(info, choose_layout(info, bands=bands), window)


def write_parts(parts, path, rows=None, scale=1, steps=(1, 7, 100, 300, 2)):
    """Write the missing parts of an output, some rows at a time; without any, those of the file."""
    with open_source(path) as source:
        if rows is None:
            rows = source.decode(source.window).pixels
        for run in parts.missing():
            writer = PartWriter(parts, run, source, scale)
            top = parts.span(run.start).start
            turn = 0
            while top < parts.span(run.stop - 1).stop:
                count = steps[turn % len(steps)]
                writer.write(top, rows[top : top + count])
                top = top + count
                turn = turn + 1


@pytest.fixture(name="write_parts")
def _write_parts():
    """Write missing parts: ``write_parts(parts, path, rows)``."""
    return write_parts


@pytest.fixture
def write():
    """Write an output as srx does: ``write(target, profile, path, rows)``."""

    def make(target, out, path, *rows, **options):
        with open_parts(target, out, {}) as (parts, notes):
            write_parts(parts, path, *rows, **options)
            publish(parts)
        return notes

    return make


@pytest.fixture(name="noise")
def _noise():
    """Any values of a dtype: ``noise(shape, dtype, seed)``."""
    return noise
