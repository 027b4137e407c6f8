#!/bin/bash
# Of a rotated raster rioxarray 0.19.0 gives every slice the transform of the whole: data[20:, 10:] has the right
# two-dimensional coordinates xc and yc, but rio.transform() and rio.bounds() are those of the uncut raster, and
# rio.to_raster() writes the part to the wrong place, with no warning. Pixel sizes after coarsen() stay the old ones, too.
# Rasters along the axes are right, as their places come from x and y. Seen (xarray 2026.9.0):
#   corner of the part 500150 5299850, in the file 500000 5300000
# What helps: rio.write_transform(transform * Affine.translation(10, 20)). This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 xarray==2026.9.0 rioxarray==0.19.0 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
import rioxarray

rotated = rasterio.Affine(9, 3, 500000, 3, -9, 5300000)
profile = {
    "driver": "GTiff", "width": 50, "height": 40, "count": 1, "dtype": "uint8",
    "crs": "EPSG:32632", "transform": rotated,
}
with rasterio.open("a.tif", "w", **profile) as file:
    file.write(np.zeros((1, 40, 50), "uint8"))
whole = rioxarray.open_rasterio("a.tif")
part = whole.isel(y=slice(20, None), x=slice(10, None))
part.rio.to_raster("part.tif")
with rasterio.open("part.tif") as file:
    written = file.transform
x = rotated.c + 10 * rotated.a + 20 * rotated.b
y = rotated.f + 10 * rotated.d + 20 * rotated.e
print(f"corner of the part {x:.0f} {y:.0f}, in the file {written.c:.0f} {written.f:.0f}")
# the coordinates of its first pixel, which are right, are half a pixel away
assert abs(float(part.xc[0, 0]) - (x + 6)) < 1e-6
assert (written.c, written.f) == (500000, 5300000)
assert whole.coarsen(x=2, y=2).mean().rio.transform().a == 9
PY
