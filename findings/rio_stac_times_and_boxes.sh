#!/bin/bash
# rio-stac 0.12.0 dates an item by the moment at which it is made, though the TIFF says when it was taken
# (TIFFTAG_DATETIME); only GDAL's domain IMAGERY is looked at. Of a raster that crosses 180 degrees the geometry is cut
# as it should be, but its bbox goes from -180 to 180: a search finds a scene of 3 degrees anywhere on its latitude.
# RFC 7946 has west > east. Seen with rasterio 1.4.4:
#   taken 2010, item of today; bbox 360 degrees wide, raster 2.7 degrees
# What helps: input_datetime=, and a bbox of your own. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 rio-stac==0.12.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from datetime import UTC, datetime

import numpy as np
import rasterio
import rio_stac
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

profile = {
    "driver": "GTiff", "width": 50, "height": 40, "count": 1, "dtype": "uint8",
    "crs": "EPSG:32601", "transform": from_origin(150000, 5300000, 4000, 4000),
}
with rasterio.open("a.tif", "w", **profile) as file:
    file.write(np.zeros((1, 40, 50), "uint8"))
    file.update_tags(TIFFTAG_DATETIME="2010:04:01 12:00:00")
with rasterio.open("a.tif") as file:
    west, _, east, _ = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
item = rio_stac.create_stac_item("a.tif")
age = datetime.now(UTC) - item.datetime
width = item.bbox[2] - item.bbox[0]
print(f"taken 2010, item of today: {age.days < 1}; bbox {width:g} degrees wide, raster {east + 360 - west:.1f} degrees")
assert age.days < 1
assert width == 360
assert east + 360 - west < 3
assert item.geometry["type"] == "MultiPolygon"
PY
