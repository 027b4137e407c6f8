#!/bin/bash
# A dataset of rasterio 1.4.4 (GDAL 3.10.3) names the files that it is made of in .files: of a VRT all tiles, of a tile
# index (GTI, GDAL's newer form of the same mosaic) the index alone. What relies on it, to see that a source has changed,
# to copy a dataset, or to protect tiles from being written over, fails for an index without a word. Seen with pyogrio
# 0.13.0 and shapely 2.2.0, of a mosaic of two tiles:
#   pixels equal; files of the VRT 3, of the index 1
# What helps: reading the layer's column "location". This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 pyogrio==0.13.0 shapely==2.2.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import shapely
from rasterio.transform import from_origin

rng = np.random.default_rng(0)
boxes = []
sources = ""
for number in range(2):
    left = 500000 + 160 * number
    profile = {
        "driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8",
        "crs": "EPSG:32632", "transform": from_origin(left, 5300000, 10, 10),
    }
    with rasterio.open(f"t{number}.tif", "w", **profile) as file:
        file.write(rng.integers(0, 255, (1, 16, 16), np.uint8))
        boxes.append(shapely.to_wkb(shapely.box(*file.bounds)))
    sources += (
        f'<SimpleSource><SourceFilename relativeToVRT="1">t{number}.tif</SourceFilename>'
        '<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="16" ySize="16"/>'
        f'<DstRect xOff="{16 * number}" yOff="0" xSize="16" ySize="16"/></SimpleSource>'
    )
names = np.array(["t0.tif", "t1.tif"], dtype=object)
pyogrio.raw.write(
    "index.gti.gpkg", np.array(boxes, dtype=object), [names], ["location"],
    geometry_type="Polygon", crs="EPSG:32632", driver="GPKG",
)
Path("mosaic.vrt").write_text(
    '<VRTDataset rasterXSize="32" rasterYSize="16">'
    f'<VRTRasterBand dataType="Byte" band="1">{sources}</VRTRasterBand></VRTDataset>'
)
with rasterio.open("mosaic.vrt") as vrt, rasterio.open("index.gti.gpkg") as index:
    is_equal = np.array_equal(vrt.read(), index.read())
    counts = (len(vrt.files), len(index.files))
print(f"pixels equal: {is_equal}; files of the VRT {counts[0]}, of the index {counts[1]}")
assert is_equal
assert counts == (3, 1)
PY
