#!/bin/bash
# rasterio 1.4.4 loses the epoch of a dynamic coordinate system (ITRF, WGS 84 by its realisations): a copy by the profile
# of a file, as most programs make it, has none, and nothing warns, as rasterio's CRS has no place for it. Positions in ITRF
# move by 2 to 7 cm a year, so that the copy is off by a metre in Australia after 15 years. rasterio.shutil.copy, which is
# GDAL's own copy, keeps it. Seen (GDAL 3.10.3), by the description that GDAL writes of each file:
#   epoch 2021.3 of the input, of the copy by profile none, of GDAL's copy 2021.3
# What helps: a VRT with coordinateEpoch in its SRS, copied by GDAL. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import re
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin


def epoch_of(name):
    rasterio.shutil.copy(name, "look.vrt", driver="VRT")
    found = re.search('coordinateEpoch="(.*?)"', Path("look.vrt").read_text())
    return found[1] if found else "none"


profile = {
    "driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8",
    "crs": "EPSG:9000", "transform": from_origin(10, 50, 0.001, 0.001),
}
with rasterio.open("plain.tif", "w", **profile) as file:
    file.write(np.zeros((1, 8, 8), "uint8"))
rasterio.shutil.copy("plain.tif", "a.vrt", driver="VRT")
text = Path("a.vrt").read_text()
Path("a.vrt").write_text(text.replace("<SRS ", '<SRS coordinateEpoch="2021.3" '))
rasterio.shutil.copy("a.vrt", "a.tif", driver="GTiff")
with rasterio.open("a.tif") as source, rasterio.open("b.tif", "w", **source.profile) as file:
    file.write(source.read())
rasterio.shutil.copy("a.tif", "c.tif", driver="GTiff")
epochs = [epoch_of(name) for name in ("a.tif", "b.tif", "c.tif")]
print("epoch {} of the input, of the copy by profile {}, of GDAL's copy {}".format(*epochs))
assert epochs == ["2021.3", "none", "2021.3"]
PY
