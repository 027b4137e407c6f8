#!/bin/bash
# GDAL writes no bytes for tiles that hold nothing but nodata if SPARSE_OK is set, and gives them offset and length 0: half of
# a scene that does not fill its frame. async-tiff 0.7.2 (and virtual-tiff 0.5.0, on zarr) raise an error of the storage
# for such a tile instead of giving nodata, and do not say that the tile is blank. tifffile 2026.3.3 and libvips read zeros. Seen:
#   stored tile: 100; blank tile: "Requested range was invalid"
# What helps: SPARSE_OK=NO, or to look at the lengths of tiles before. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 async-tiff==0.7.2 tifffile==2026.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import asyncio

import async_tiff
import numpy as np
import rasterio
import tifffile
from async_tiff.store import LocalStore
from rasterio.windows import Window

profile = {"driver": "GTiff", "width": 128, "height": 64, "count": 1, "dtype": "uint8", "nodata": 0}
blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64, "SPARSE_OK": True}
with rasterio.open("sparse.tif", "w", **profile, **blocks) as file:
    file.write(np.full((1, 64, 64), 100, "uint8"), window=Window(0, 0, 64, 64))
with tifffile.TiffFile("sparse.tif") as file:
    assert file.pages[0].databytecounts[1] == 0
    assert file.asarray()[:, 64:].max() == 0


async def read():
    file = await async_tiff.TIFF.open("sparse.tif", store=LocalStore("."))
    tile = await file.fetch_tile(0, 0, 0)
    stored = int(np.asarray(await tile.decode()).max())
    try:
        blank = await file.fetch_tile(1, 0, 0)
        said = str(np.asarray(await blank.decode()).max())
    except Exception as error:
        said = str(error)
    return stored, said


stored, said = asyncio.run(read())
print(f"stored tile: {stored}; blank tile: {said}")
assert stored == 100
assert "Requested range was invalid" in said
PY
