#!/bin/bash
# The reader generic_image of satpy 0.60.0 takes the fourth band of every GeoTIFF for alpha: of an aerial picture in red, green, blue and
# near infrared (ColorInterp undefined, ExtraSamples unspecified) the infrared is lost, and what is black in it, as water
# is, becomes NaN in all colours. No word is said. Seen, a picture of four bands whose upper half has no infrared:
#   bands R, G, B; share of NaN 0.5; below, values as stored
# What helps: write the infrared as a file of its own, or read by rasterio. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 rioxarray==0.19.0 xarray==2026.9.0 satpy==0.60.0
"$folder/venv/bin/python" -W ignore - "$folder" <<'PY'
import sys

import numpy as np
import rasterio
from satpy import Scene

stored = np.random.default_rng(0).integers(1, 255, (4, 50, 60)).astype(np.uint8)
stored[3, :25] = 0
name = f"{sys.argv[1]}/aerial.tif"
options = {"driver": "GTiff", "count": 4, "height": 50, "width": 60, "dtype": "uint8"}
options |= {"photometric": "RGB", "alpha": "unspecified", "crs": "EPSG:32633"}
options["transform"] = rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)
with rasterio.open(name, "w", **options) as raster:
    raster.write(stored)
    assert raster.colorinterp[3].name == "undefined"
scene = Scene([name], reader="generic_image")
scene.load(["image"])
image = scene["image"]
share = float(image.isnull().mean())
print("bands", ", ".join(map(str, image.bands.values)), "share of NaN", share)
assert list(image.bands.values) == ["R", "G", "B"]
assert share == 0.5
assert (image.values[:, 25:] == stored[:3, 25:]).all()
PY
