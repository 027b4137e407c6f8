#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) compresses a GeoTIFF by several threads (NUM_THREADS=2, DEFLATE), and the disk becomes full, here a limit
# on the size of files: rasterio.shutil.copy returns as if all was well, and the file cannot be opened. By one thread it raises.
# On standard error libtiff prints "_tiffWriteProc: File too large." for each block, which no log handler of rasterio gets.
# Seen on Linux, x86-64:
#   NUM_THREADS=1: CPLE_AppDefinedError, no file
#   NUM_THREADS=2: no error, a file of 1048576 bytes that cannot be opened
# What helps: read the copy again, or write into memory and write that yourself. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cat > "$folder/full_disk.py" <<'PY'
import os
import resource
import sys

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioIOError
from rasterio.io import MemoryFile
from rasterio.transform import Affine

LIMIT = 2**20
noise = np.random.default_rng(0).integers(0, 256, (1, 2048, 2048), np.uint8)
place = {"crs": "EPSG:32632", "transform": Affine.scale(2.0, 3.0)}
os.chdir(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
found = {}
for threads in ("1", "2"):
    with MemoryFile() as memory:
        shape = {"width": 2048, "height": 2048, "count": 1, "dtype": "uint8"}
        with memory.open(driver="GTiff", **shape, **place) as dataset:
            dataset.write(noise)
        options = {"TILED": "YES", "COMPRESS": "DEFLATE", "NUM_THREADS": threads}
        result = "no error"
        try:
            rasterio.shutil.copy(memory.name, "out.tif", driver="GTiff", **options)
        except Exception as error:
            result = type(error).__name__
    what = "no file"
    if os.path.exists("out.tif"):
        what = f"a file of {os.path.getsize('out.tif')} bytes"
        try:
            rasterio.open("out.tif").close()
        except RasterioIOError:
            what += " that cannot be opened"
        os.remove("out.tif")
    print(f"NUM_THREADS={threads}: {result}, {what}")
    found[threads] = result, what
assert found["1"] == ("CPLE_AppDefinedError", "no file"), found
assert found["2"] == ("no error", f"a file of {LIMIT} bytes that cannot be opened"), found
PY
"$folder/venv/bin/python" "$folder/full_disk.py" "$folder" 2> /dev/null
