#!/bin/bash
# The wheel of rasterio 1.4.4 decodes JPEG by the Independent JPEG Group's libjpeg 9f, which enlarges colours stored at half
# the resolution (4:2:0, what cameras and COGs by JPEG have) inside its DCT; libjpeg-turbo, which Pillow 13.0.0, OpenCV
# and libvips hold, interpolates them. One JPEG is so read as two pictures: Seen, of smooth colours with fine detail:
#   colours in full: differ by at most 1; at half the resolution: by more than 10 of 255
# Scores of enlarged JPEGs, and checks of a COG against its source, depend on the reader. What helps: one reader for all
# that is compared. This script fails where that has changed.
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

y, x = np.mgrid[:256, :256]
red = 127 + 90 * np.sin(x / 3) * np.cos(y / 40)
green = 127 + 90 * np.sin(y / 5 + x / 60)
blue = 127 + 90 * np.cos((x + y) / 4)
picture = Image.fromarray(np.stack([red, green, blue], axis=-1).astype("uint8"))
seen = {}
for name, subsampling in (("full", 0), ("half", 2)):
    picture.save("a.jpg", quality=95, subsampling=subsampling)
    with rasterio.open("a.jpg") as file:
        by_rasterio = np.moveaxis(file.read(), 0, -1).astype(int)
    with Image.open("a.jpg") as image:
        by_pillow = np.asarray(image).astype(int)
    seen[name] = int(np.abs(by_rasterio - by_pillow).max())
print(f"colours in full: differ by {seen['full']}; at half the resolution: by {seen['half']}")
assert seen["full"] <= 1
assert seen["half"] > 10
PY
