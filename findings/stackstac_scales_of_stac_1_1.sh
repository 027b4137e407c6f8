#!/bin/bash
# STAC 1.1 (with version 2 of the raster extension) moved what was raster:bands[0].scale and .offset to raster:scale and raster:offset.
# stackstac 0.5.1, whose stack() applies scales by default (rescale=True), looks for the old place alone: reflectances of the same file
# come as numbers between 0 and 1 from an item of STAC 1.0, and as stored from one of 1.1, without a warning. A series of both mixes
# them. Seen:
#   item of STAC 1.0: 0.05; item of STAC 1.1: 1500.0
# What helps: to apply raster:scale and raster:offset oneself. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q stackstac==0.5.1 rasterio==1.4.4 "numpy<2.5"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path

import numpy as np
import rasterio
import stackstac
from rasterio.transform import from_origin

file_name = str(Path("red.tif").resolve())
transform = from_origin(500000, 5000000, 10, 10)
profile = {"driver": "GTiff", "width": 50, "height": 40, "count": 1, "dtype": "uint16", "nodata": 0}
with rasterio.open(file_name, "w", crs="EPSG:32633", transform=transform, **profile) as file:
    file.write(np.full((1, 40, 50), 1500, "uint16"))
extensions = "https://stac-extensions.github.io/"


def item(version, projection, raster, code, asset):
    ring = [[15, 45.1], [15.1, 45.1], [15.1, 45.2], [15, 45.2], [15, 45.1]]
    return {
        "type": "Feature",
        "stac_version": version,
        "stac_extensions": [
            f"{extensions}projection/{projection}/schema.json",
            f"{extensions}raster/{raster}/schema.json",
        ],
        "id": version,
        "bbox": [15, 45.1, 15.1, 45.2],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": "2024-06-01T10:00:00Z",
            "proj:shape": [40, 50],
            "proj:transform": [10, 0, 500000, 0, -10, 5000000],
            **code,
        },
        "assets": {"red": {"href": file_name, "type": "image/tiff; application=geotiff", **asset}},
        "links": [],
    }


values = {"data_type": "uint16", "nodata": 0}
scale, offset = 0.0001, -0.1
old = {"raster:bands": [{**values, "scale": scale, "offset": offset}]}
new = {**values, "raster:scale": scale, "raster:offset": offset}
items = [
    item("1.0.0", "v1.1.0", "v1.1.0", {"proj:epsg": 32633}, old),
    item("1.1.0", "v2.0.0", "v2.0.0", {"proj:code": "EPSG:32633"}, new),
]
box = (500000, 4999600, 500500, 5000000)
means = []
for single in items:
    stack = stackstac.stack([single], epsg=32633, resolution=10, bounds=box)
    means.append(round(float(np.nanmean(stack.values)), 4))
print("item of STAC 1.0: {}; item of STAC 1.1: {}".format(*means))
assert means == [0.05, 1500.0]
PY
