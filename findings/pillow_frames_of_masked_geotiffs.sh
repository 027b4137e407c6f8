#!/bin/bash
# GDAL keeps a mask inside a GeoTIFF as a second directory: one bit, PhotometricInterpretation 4 (transparency mask, TIFF 6.0
# p. 37). Pillow 13.0.0 opens and reads the picture of such a file, but asking it how many frames there are raises
# SyntaxError, an exception for Python's grammar, which "except OSError" does not catch. Seen, of a picture of 64x64:
#   pixels: 100, n_frames: SyntaxError: unknown pixel mode
# What helps: catch SyntaxError beside OSError, or read such files by tifffile or GDAL. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
from PIL import Image

profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8"}
with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
    with rasterio.open("masked.tif", "w", photometric="RGB", **profile) as file:
        file.write(np.full((3, 64, 64), 100, "uint8"))
        file.write_mask(np.eye(64, dtype="uint8") * 255)
with Image.open("masked.tif") as image:
    pixels = np.asarray(image)
    assert (pixels == 100).all()
    try:
        count = image.n_frames
    except SyntaxError as error:
        count = f"SyntaxError: {error}"
print(f"pixels: {pixels.max()}, n_frames: {count}")
assert count == "SyntaxError: unknown pixel mode"
PY
