#!/bin/bash
# The libvips of pyvips-binary 8.18.7 is built without ZSTD and LERC. A TIFF compressed so is not refused: with the
# options that everybody has, all its pixels are 0, and pyvips 3.2.0 raises nothing (libtiff's words appear as a log line
# at most). Both are usual compressions of GeoTIFFs. Seen, of a picture whose pixels are all 100:
#   DEFLATE 100, ZSTD 0, LERC 0; with fail_on="warning" the last two raise an error
# What helps: fail_on="warning", or files by DEFLATE. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 pyvips==3.2.0 pyvips-binary==8.18.7
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pyvips
import rasterio

profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
seen = []
for compression in ("DEFLATE", "ZSTD", "LERC"):
    name = f"{compression}.tif"
    with rasterio.open(name, "w", compress=compression, photometric="RGB", **profile) as file:
        file.write(np.full((3, 64, 64), 100, "uint8"))
    pixels = pyvips.Image.new_from_file(name).numpy()
    seen.append((compression, int(pixels.min()), int(pixels.max())))
    try:
        strict = pyvips.Image.new_from_file(name, fail_on="warning").numpy()
        refused = False
    except pyvips.Error:
        refused = True
    assert refused == (compression != "DEFLATE"), compression
print(seen)
assert seen == [("DEFLATE", 100, 100), ("ZSTD", 0, 0), ("LERC", 0, 0)]
PY
