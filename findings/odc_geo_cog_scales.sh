#!/bin/bash
# odc-geo 0.5.3 writes an array that rioxarray 0.19.0 has read as a COG without its scale and offset (write_cog looks for "scales" and
# "offsets", rioxarray says "scale_factor" and "add_offset" where all bands share them), and bands that differ in them not at
# all. The values stay the stored ones, so that a temperature of 35 reads as 1500 afterwards. Names of bands go, too; units stay. Seen:
#   scale 0.02, offset 5: written by rioxarray 0.02 and 5, by odc-geo 1 and 0, no error
#   scales 2 and 1: written by rioxarray 2 and 1, by odc-geo ValueError: One scale for each band is required
# What helps: array.rio.to_raster(..., driver="COG"). This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0 odc-geo==0.5.3 dask==2026.8.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PY'
import sys
from pathlib import Path

import numpy as np
import odc.geo.xr
import rasterio
import rioxarray

folder = Path(sys.argv[1])


def write(name, scales, offsets):
    stored = np.full((len(scales), 64, 64), 1500, np.int16)
    transform = rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000)
    options = {"driver": "GTiff", "crs": "EPSG:32633", "transform": transform}
    options |= {"count": len(scales), "height": 64, "width": 64, "dtype": "int16"}
    with rasterio.open(folder / name, "w", **options) as raster:
        raster.write(stored)
        raster.scales = scales
        raster.offsets = offsets
    return rioxarray.open_rasterio(folder / name)


def placed(name):
    with rasterio.open(folder / name) as raster:
        return raster.scales, raster.offsets


shared = write("shared.tif", (0.02,), (5.0,))
shared.rio.to_raster(folder / "by_rioxarray.tif", driver="COG")
shared.odc.write_cog(folder / "by_odc.tif")
print("scale 0.02, offset 5: by rioxarray", *placed("by_rioxarray.tif"), "by odc-geo", *placed("by_odc.tif"))
assert placed("by_rioxarray.tif") == ((0.02,), (5.0,))
assert placed("by_odc.tif") == ((1.0,), (0.0,))
different = write("different.tif", (2.0, 1.0), (0.0, 0.0))
different.rio.to_raster(folder / "by_rioxarray.tif", driver="COG")
try:
    different.odc.write_cog(folder / "by_odc_2.tif")
except ValueError as error:
    refused = str(error)
print("scales 2 and 1: by rioxarray", placed("by_rioxarray.tif")[0], "by odc-geo", refused)
assert placed("by_rioxarray.tif")[0] == (2.0, 1.0)
assert refused == "One scale for each band is required"
PY
