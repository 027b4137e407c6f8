#!/bin/bash
# A band whose values are stored as whole numbers with a scale and an offset (temperatures, heights): of the same GeoTIFF
# rasterstats 0.21.0 gives the mean of the stored numbers, exactextract 0.3.0 that of the values, scale and offset applied.
# Neither says which, and with a scale of 1 nobody sees a difference. Seen, of stored numbers that are all 400, with scale
# 0.01 and offset 10:
#   rasterstats 400, exactextract 14
# What helps: know the scale of the band (rasterio: dataset.scales), or store values. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 rasterstats==0.21.0 exactextract==0.3.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
import rasterstats
from exactextract import exact_extract
from rasterio.transform import from_origin

profile = {"driver": "GTiff", "width": 32, "height": 32, "count": 1, "dtype": "int16"}
place = {"transform": from_origin(0, 32, 1, 1), "crs": "EPSG:32633", "nodata": -32768}
with rasterio.open("scaled.tif", "w", **profile, **place) as file:
    file.write(np.full((1, 32, 32), 400, "int16"))
    file.scales = [0.01]
    file.offsets = [10]
corners = [(2, 2), (30, 2), (30, 30), (2, 30), (2, 2)]
zone = {"type": "Polygon", "coordinates": [corners]}
stored = rasterstats.zonal_stats(zone, "scaled.tif", stats="mean")[0]["mean"]
feature = {"type": "Feature", "geometry": zone, "properties": {}}
values = exact_extract("scaled.tif", feature, ["mean"])[0]["properties"]["mean"]
print(f"rasterstats {stored:g}, exactextract {values:g}")
assert stored == 400
assert abs(values - 14) < 1e-6
PY
