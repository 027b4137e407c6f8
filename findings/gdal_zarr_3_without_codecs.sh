#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) opens no store that zarr-python 3.1.6 writes in its own format, Zarr 3, with compression
# or without: "Unsupported codec: bytes", the codec that the specification (3.0) asks of every chain. Of format 2 all is
# read. So what xarray's to_zarr writes today by itself is not read by rasterio and rioxarray through GDAL. Seen:
#   Zarr 3, zstd: Unsupported codec: bytes; Zarr 3, plain: Unsupported codec: bytes; Zarr 2: sum 1842240
# What helps: zarr_format=2, or xarray.open_zarr. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 zarr==3.1.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import rasterio
import zarr

VALUES = np.arange(1920, dtype="float32").reshape(40, 48)


def read(path, **options):
    array = zarr.create_array(path, shape=(40, 48), chunks=(20, 24), dtype="float32", **options)
    array[:] = VALUES
    assert (zarr.open(path)[:] == VALUES).all()
    try:
        with rasterio.open(path) as raster:
            return f"sum {raster.read(1).sum(dtype=float):.0f}"
    except rasterio.errors.RasterioIOError as error:
        return str(error)


found = [
    read("packed.zarr"),
    read("plain.zarr", compressors=None),
    read("second.zarr", zarr_format=2),
]
print("Zarr 3, zstd: {}; Zarr 3, plain: {}; Zarr 2: {}".format(*found))
assert found == ["Unsupported codec: bytes", "Unsupported codec: bytes", "sum 1842240"]
PY
