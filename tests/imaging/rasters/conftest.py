"""Rasters made for tests."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

PLACE = Affine(0.5, 0.0, 600_000.0, 0.0, -0.5, 5_100_000.0)


@pytest.fixture
def save(tmp_path):
    """Write a raster: ``save("a.tif", pixels (H, W, C), then=what to do with the file, ...)``."""

    def write(name, pixels, *, then=None, **profile):
        path = tmp_path / name
        pixels = np.atleast_3d(pixels)
        height, width, bands = pixels.shape
        defaults = {"driver": "GTiff", "crs": "EPSG:32633", "transform": PLACE}
        profile = {"dtype": pixels.dtype.name, **defaults, **profile}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(
                path, "w", height=height, width=width, count=bands, **profile
            ) as file:
                file.write(np.moveaxis(pixels, 2, 0))
                if then is not None:
                    then(file)
        return path

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


def noise(shape, dtype=np.uint8, seed=0):
    """Any values of a dtype: all that integers hold, -1 to 3 of floats."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return (rng.random(shape) * 4 - 1).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


@pytest.fixture(name="noise")
def _noise():
    """Any values of a dtype: ``noise(shape, dtype, seed)``."""
    return noise
