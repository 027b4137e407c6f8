#!/bin/bash
# PROJ_DEBUG=0 in the environment, which asks PROJ to be as silent as it is by default, makes rasterio 1.4.4 (GDAL 3.10.3) read no
# coordinate system where WKT 1 lacks the method, such as Equal Earth (EPSG:8857): GDAL falls back from WKT 1 to WKT 2
# only where PROJ reports an error, and then PROJ reports none. The file is as it was. Seen:
#   PROJ_DEBUG unset: EPSG:8857; 0: None; 1: EPSG:8857
# What helps: leave PROJ_DEBUG alone. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
unset PROJ_DEBUG
read_crs='import rasterio, sys; print(rasterio.open(sys.argv[1]).crs)'
"$folder/venv/bin/python" - "$folder/a.tif" <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin

profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
place = {"crs": "EPSG:8857", "transform": from_origin(0, 0, 10, 10)}
with rasterio.open(sys.argv[1], "w", **profile, **place) as file:
    file.write(np.zeros((1, 8, 8), "uint8"))
PY
unset_=$("$folder/venv/bin/python" -c "$read_crs" "$folder/a.tif" 2>/dev/null)
zero=$(PROJ_DEBUG=0 "$folder/venv/bin/python" -c "$read_crs" "$folder/a.tif" 2>/dev/null)
one=$(PROJ_DEBUG=1 "$folder/venv/bin/python" -c "$read_crs" "$folder/a.tif" 2>/dev/null)
echo "PROJ_DEBUG unset: $unset_; 0: $zero; 1: $one"
[ "$unset_" = "EPSG:8857" ]
[ "$zero" = "None" ]
[ "$one" = "EPSG:8857" ]
