#!/bin/bash
# ImageData.mask of rio-tiler 9.4.12 is "in form of rasterio dataset mask", as its documentation says, which is 0 and 255 as
# uint8. Of bands that are no bytes it has the band's type and that type's extremes instead: where a DEM is without data,
# mask is -3.4e38 and not 0, so that "mask == 0" finds no pixel and "mask > 0" is right by luck. Seen, of 8 rows without data in 64:
#   uint8 [0, 255], int16 [-32768, 32767], float32 [-3.4028235e+38, 3.4028235e+38]; rasterio: [0, 255] each time
# What helps: array.mask, numpy's mask. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 rio-tiler==9.4.12
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
from rasterio.transform import from_origin
from rio_tiler.io import Reader

for dtype in ("uint8", "int16", "float32"):
    values = np.full((1, 64, 64), 5, dtype)
    values[0, :8] = 0
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": dtype}
    place = {"transform": from_origin(0, 64, 1, 1), "crs": "EPSG:3857", "nodata": 0}
    with rasterio.open("dem.tif", "w", **profile, **place) as file:
        file.write(values)
    with rasterio.open("dem.tif") as file:
        assert np.unique(file.dataset_mask()).tolist() == [0, 255]
    with Reader("dem.tif") as reader:
        image = reader.read()
    assert image.array.mask.sum() == 8 * 64
    seen = np.unique(image.mask)
    print(dtype, seen.tolist())
    limits = np.finfo(dtype) if dtype == "float32" else np.iinfo(dtype)
    assert seen.dtype == dtype
    assert seen.tolist() == [limits.min, limits.max]
PY
