#!/bin/bash
# A COG of GDAL 3.10.3 (rasterio 1.4.4) with COMPRESS=WEBP and QUALITY=100 is without loss in full size, as its
# documentation says of 100, while its overviews lose: only the first is told to be lossless. Whoever checks the
# full size against its source finds them equal, and sees other colours at every smaller zoom. Seen, of noise, beside the
# overviews of a COG by DEFLATE of the same picture:
#   full size: differs by 0, first overview: differs by more than 50
# What helps: OVERVIEW_COMPRESS=DEFLATE, or WEBP_LOSSLESS in a GeoTIFF. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
import rasterio.shutil

noise = np.random.default_rng(0).integers(0, 256, (3, 1024, 1024), dtype="uint8")
profile = {"driver": "GTiff", "width": 1024, "height": 1024, "count": 3, "dtype": "uint8"}
with rasterio.open("plain.tif", "w", photometric="RGB", **profile) as file:
    file.write(noise)
common = {"driver": "COG", "OVERVIEW_RESAMPLING": "AVERAGE"}
rasterio.shutil.copy("plain.tif", "webp.tif", COMPRESS="WEBP", QUALITY="100", **common)
rasterio.shutil.copy("plain.tif", "deflate.tif", COMPRESS="DEFLATE", **common)
pixels = {}
for name in ("webp.tif", "deflate.tif"):
    with rasterio.open(name) as file:
        full = file.read()
    with rasterio.open(name, overview_level=0) as file:
        pixels[name] = full, file.read().astype(int)
full = int(np.abs(pixels["webp.tif"][0].astype(int) - noise).max())
smaller = int(np.abs(pixels["webp.tif"][1] - pixels["deflate.tif"][1]).max())
print(f"full size: differs by {full}, first overview: differs by {smaller}")
assert full == 0
assert smaller > 50
PY
