#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) turns a variable of NetCDF that has no coordinates upside down: its first row becomes the last. Bands
# of swaths (EMIT) and plain matrices are meant so: rows as stored. Rows of a variable with latitudes that go
# southwards stay. Seen, of a variable whose rows hold 0, 1, 2, 3:
#   default 3 2 1 0; GDAL_NETCDF_BOTTOMUP=NO 0 1 2 3; with lat and lon from the north 0 1 2 3
# What helps: GDAL_NETCDF_BOTTOMUP=NO for files without a place. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 scipy
cd "$folder"
venv/bin/python -W ignore - <<'PY'
import numpy as np
import rasterio
from scipy.io import netcdf_file

ROWS = np.repeat(np.arange(4, dtype="int16"), 6).reshape(4, 6)


def write(name, with_place):
    with netcdf_file(name, "w") as file:
        file.createDimension("lat", 4)
        file.createDimension("lon", 6)
        if with_place:
            for axis, values in (("lat", 48 - np.arange(4.0)), ("lon", 8 + np.arange(6.0))):
                variable = file.createVariable(axis, "d", (axis,))
                variable[:] = values
                variable.units = "degrees_north" if axis == "lat" else "degrees_east"
        data = file.createVariable("band", "h", ("lat", "lon"))
        data[:] = ROWS


def rows_of(name, **options):
    with rasterio.Env(**options), rasterio.open(f"NETCDF:{name}:band") as file:
        return file.read(1)[:, 0].tolist()


write("plain.nc", False)
write("place.nc", True)
default = rows_of("plain.nc")
asked = rows_of("plain.nc", GDAL_NETCDF_BOTTOMUP="NO")
placed = rows_of("place.nc")
print("default", *default, "| GDAL_NETCDF_BOTTOMUP=NO", *asked, "| with a place", *placed)
assert default == [3, 2, 1, 0]
assert asked == [0, 1, 2, 3]
assert placed == [0, 1, 2, 3]
PY
