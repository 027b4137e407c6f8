#!/bin/bash
# Overlays of polygons often give a GeoJSON GeometryCollection (Shapely's intersection does). rasterio 1.4.4 forgets the transform in
# features.bounds() of one, and so takes coordinates on the ground for columns and rows: geometry_window() gives another place, and
# mask.mask(crop=True) cuts out another part of the raster, without a word, where the numbers happen to lie inside it. Seen, of pixels
# half a metre wide:
#   Polygon: window 40 40 20 20, 400 pixels kept; collection of it: window 50 50 10 10, 100 pixels kept
# What helps: to hand over the members of the collection (its "geometries"). This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import rasterio
from rasterio.features import geometry_window
from rasterio.mask import mask
from rasterio.transform import from_origin

profile = {"driver": "GTiff", "width": 100, "height": 100, "count": 1, "dtype": "uint8"}
place = {"crs": "EPSG:32633", "transform": from_origin(30, 80, 0.5, 0.5)}
with rasterio.open("ground.tif", "w", **profile, **place) as file:
    file.write(np.full((1, 100, 100), 7, "uint8"))
ring = [(50, 50), (60, 50), (60, 60), (50, 60), (50, 50)]
polygon = {"type": "Polygon", "coordinates": [ring]}
collection = {"type": "GeometryCollection", "geometries": [polygon]}
seen = []
with rasterio.open("ground.tif") as file:
    for shape in (polygon, collection):
        window = geometry_window(file, [shape])
        cut, _ = mask(file, [shape], crop=True)
        seen.append((*map(int, window.flatten()), int((cut == 7).sum())))
print("Polygon: window {} {} {} {}, {} pixels kept;".format(*seen[0]), end=" ")
print("collection of it: window {} {} {} {}, {} pixels kept".format(*seen[1]))
assert seen[0] == (40, 40, 20, 20, 400)
assert seen[1] == (50, 50, 10, 10, 100)
PY
