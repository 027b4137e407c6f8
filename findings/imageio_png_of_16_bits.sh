#!/bin/bash
# imageio 2.38.1 and scikit-image 0.26.0 read a colour PNG of 16 bits as bytes, without a word: the low byte of each
# sample is lost, as Pillow, which reads it for them, has no such mode. Gray of 16 bits comes whole. Seen:
#   written uint16 0x1234, imageio uint8 0x12, scikit-image uint8 0x12, GDAL uint16 0x1234; gray: imageio uint16 0x1234
# What helps: GDAL, OpenCV (IMREAD_UNCHANGED) or pyvips. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 imageio==2.38.1 scikit-image==0.26.0 pillow==13.0.0 rasterio==1.4.4
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
import warnings

import imageio.v3
import numpy as np
import rasterio
import skimage.io

warnings.simplefilter("ignore")
colour, gray = f"{sys.argv[1]}/colour.png", f"{sys.argv[1]}/gray.png"
for path, bands in ((colour, 3), (gray, 1)):
    size = {"width": 4, "height": 4, "count": bands, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="PNG", **size) as file:
        file.write(np.full((bands, 4, 4), 0x1234, "uint16"))
with rasterio.open(colour) as file:
    by_gdal = file.read()
readings = {
    "imageio": imageio.v3.imread(colour),
    "scikit-image": skimage.io.imread(colour),
    "GDAL": by_gdal,
    "gray: imageio": imageio.v3.imread(gray),
}
for name, pixels in readings.items():
    print(f"{name} {pixels.dtype} {pixels.flat[0]:#x}")
assert readings["imageio"].dtype == "uint8" and readings["imageio"].flat[0] == 0x12
assert readings["scikit-image"].dtype == "uint8" and readings["scikit-image"].flat[0] == 0x12
assert readings["GDAL"].dtype == "uint16" and readings["GDAL"].flat[0] == 0x1234
assert readings["gray: imageio"].flat[0] == 0x1234
PY
