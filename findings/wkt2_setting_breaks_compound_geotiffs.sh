#!/bin/bash
# OSR_WKT_FORMAT=WKT2_2018 (GDAL's setting of the WKT by which rasterio 1.4.4, GDAL 3.10.3, hands systems on) makes some
# compound systems that are written to a GeoTIFF user-defined: EPSG:7415 (RD New and NAP heights) loses its code, and
# readers of codes the whole. Without the setting it stays; systems of one part, and others such as EPSG:5972, stay in any case. Seen:
#   EPSG:32632: plain 32632, with the setting 32632
#   EPSG:5972: plain 5972, with the setting 5972
#   EPSG:7415: plain 7415, with the setting None
# What helps: to read systems with the setting, and to write without. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
cat > write.py <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin

name, code = sys.argv[1:]
profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
place = {"crs": code, "transform": from_origin(0, 0, 10, 10)}
with rasterio.open(name, "w", **profile, **place) as file:
    file.write(np.zeros((1, 8, 8), "uint8"))
PY
cat > read.py <<'PY'
import sys

import rasterio

with rasterio.open(sys.argv[1]) as file:
    print(file.crs.to_epsg() if file.crs else None)
PY
for code in 32632 5972 7415; do
  env -u OSR_WKT_FORMAT venv/bin/python write.py plain.tif EPSG:$code 2>/dev/null
  OSR_WKT_FORMAT=WKT2_2018 venv/bin/python write.py set.tif EPSG:$code 2>/dev/null
  plain=$(venv/bin/python read.py plain.tif 2>/dev/null)
  set_=$(venv/bin/python read.py set.tif 2>/dev/null)
  echo "EPSG:$code: plain $plain, with the setting $set_"
  seen=$code
  [ "$code" = 7415 ] && seen=None
  [ "$plain" = "$code" ]
  [ "$set_" = "$seen" ]
done
