#!/bin/bash
# A gray TIFF whose 0 is white (MINISWHITE, as scanners write) comes out of rasterio 1.4.4 (GDAL 3.10.3) as if it were a
# palette: read() gives the stored numbers, white as 0, and colorinterp says "palette", of 256 grays from white to black.
# Pillow turns the same pixels around. Who reads pixels by rasterio has a negative; who trusts the palette takes a gray
# picture for classes. Seen with Pillow 13.0.0 and tifffile 2026.3.3, of a row from black to white:
#   Pillow 0 .. 255, rasterio 255 .. 0, colorinterp palette
# What helps: tags(ns="IMAGE_STRUCTURE")["MINISWHITE"] == "YES". This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0 rasterio==1.4.4 tifffile==2026.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
import tifffile
from PIL import Image

stored = np.tile(np.arange(255, -1, -1, dtype=np.uint8), (8, 1))
tifffile.imwrite("scan.tif", stored, photometric="miniswhite")
by_pillow = np.array(Image.open("scan.tif"))[0]
with rasterio.open("scan.tif") as file:
    by_rasterio = file.read(1)[0]
    meaning = file.colorinterp[0].name
    structure = file.tags(ns="IMAGE_STRUCTURE")
print(
    f"Pillow {by_pillow[0]} .. {by_pillow[-1]}, rasterio {by_rasterio[0]} .. {by_rasterio[-1]}, "
    f"colorinterp {meaning}"
)
assert (by_pillow[0], by_pillow[-1]) == (0, 255)
assert (by_rasterio[0], by_rasterio[-1]) == (255, 0)
assert meaning == "palette"
assert structure["MINISWHITE"] == "YES"
PY
