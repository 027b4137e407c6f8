#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) writes half floats (NBITS=16) by cutting digits, so that a nodata of -9999 is stored as
# -9992, which no longer equals the nodata that the same file declares: its pixels are valid to every reader. numpy rounds
# to -10000, which is no nodata either. Seen:
#   declared -9999, stored -9992, numpy -10000, masked pixels 0 of 16
# What helps: a nodata that a half float holds, such as -9984, -32768 or NaN. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio

profile = {
    "driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "float32",
    "NBITS": 16, "nodata": -9999,
}
with rasterio.open("a.tif", "w", **profile) as file:
    file.write(np.full((1, 4, 4), -9999, "float32"))
with rasterio.open("a.tif") as file:
    stored = float(file.read(1)[0, 0])
    masked = int(file.read(1, masked=True).mask.sum())
    declared = file.nodata
by_numpy = float(np.float16(-9999))
print(f"declared {declared:g}, stored {stored:g}, numpy {by_numpy:g}, masked pixels {masked} of 16")
assert (declared, stored, by_numpy, masked) == (-9999, -9992, -10000, 0)
profile["nodata"] = -9984
with rasterio.open("b.tif", "w", **profile) as file:
    file.write(np.full((1, 4, 4), -9984, "float32"))
with rasterio.open("b.tif") as file:
    assert file.read(1, masked=True).mask.all()
PY
