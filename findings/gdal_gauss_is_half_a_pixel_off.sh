#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) makes rasters smaller by GAUSS half an input pixel beside their place, to the right and down, as reads
# of fewer pixels (out_shape) and as overviews of a GeoTIFF or a COG: its kernels of 3, 5 and 7 pixels stand on an input pixel, not between two.
# AVERAGE, BILINEAR, CUBIC and LANCZOS are in place. A low resolution made so lies beside its high resolution, and an
# overview jumps where a viewer changes to it. Seen of a ramp in which each pixel holds its column or row, as pixels of the input:
#   2 times smaller: gauss +0.5 x, +0.5 y; average +0.0 x, +0.0 y
#   4 times smaller: gauss +0.5 x, +0.5 y; average +0.0 x, +0.0 y
# What helps: another method, or a Gaussian of scipy before AVERAGE. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin

rows, columns = np.mgrid[:256, :256].astype("float32")
profile = {"driver": "GTiff", "width": 256, "height": 256, "count": 2, "dtype": "float32"}
place = {"transform": from_origin(0, 256, 1, 1), "crs": "EPSG:32633"}


def offsets(factor, method):
    """Return by how much x and y lie beside their places, read at a smaller size and of an overview."""
    with rasterio.open("ramp.tif", "w", **profile, **place) as file:
        file.write(np.stack([columns, rows]))
    with rasterio.open("ramp.tif") as file:
        size = 256 // factor
        read = file.read(out_shape=(2, size, size), resampling=method)
    with rasterio.open("ramp.tif", "r+") as file:
        file.build_overviews([factor], method)
    with rasterio.open("ramp.tif", overview_level=0) as file:
        overview = file.read()
    middle = size // 2
    expected = factor * (middle + 0.5) - 0.5
    assert np.allclose(read[:, middle, middle], overview[:, middle, middle])
    return read[:, middle, middle] - expected


for factor in (2, 4):
    shown = []
    for method, off in ((Resampling.gauss, 0.5), (Resampling.average, 0)):
        x, y = offsets(factor, method)
        shown.append(f"{method.name} {x:+.1f} x, {y:+.1f} y")
        assert abs(x - off) < 0.01 and abs(y - off) < 0.01
    print(f"{factor} times smaller: " + "; ".join(shown))
PY
