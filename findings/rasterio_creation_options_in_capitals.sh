#!/bin/bash
# rasterio 1.4.4 (1.5.2 too) turns the values of GDAL's creation options into capitals, also of those that are texts:
# a comment of a JPEG, a title of a PNG, and name, type and description of MBTiles, where the specification asks for
# "overlay" or "baselayer" and readers find "OVERLAY". GDAL's own commands keep them. Seen (GDAL 3.10.3):
#   a comment "My harbour" is 'MY HARBOUR', a type "baselayer" is 'BASELAYER'
# What helps: of MBTiles, the table metadata by sqlite3 afterwards. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import sqlite3

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin

side = 20037508.342789244 / 128 / 2**12
profile = {
    "driver": "GTiff", "width": 256, "height": 256, "count": 3, "dtype": "uint8",
    "crs": "EPSG:3857", "transform": from_origin(0, 0, side, side),
}
with rasterio.open("plain.tif", "w", **profile) as file:
    file.write(np.full((3, 256, 256), 7, "uint8"))
rasterio.shutil.copy("plain.tif", "a.jpg", driver="JPEG", COMMENT="My harbour")
with rasterio.open("a.jpg") as file:
    comment = file.tags()["COMMENT"]
rasterio.shutil.copy("plain.tif", "a.mbtiles", driver="MBTiles", TYPE="baselayer")
metadata = dict(sqlite3.connect("a.mbtiles").execute("SELECT * FROM metadata"))
print(f'a comment "My harbour" is {comment!r}, a type "baselayer" is {metadata["type"]!r}')
assert (comment, metadata["type"]) == ("MY HARBOUR", "BASELAYER")
PY
