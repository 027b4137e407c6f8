#!/bin/bash
# One NetCDF file, three readers: netCDF4 1.7.5.1.post1 and GDAL 3.10.3 (rasterio 1.4.4) take values beyond valid_range
# for no data, xarray 2026.9.0 hands them out as they are. An interpolated fraction that overshoots 1 a little is a hole
# for two of them, though it is not the fill value. Seen, of eight values from -0.1 to 1.1, the fill value being NaN:
#   holes: netCDF4 2, rasterio 2, xarray 0
# What helps: clip to valid_range before writing. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 xarray==2026.9.0 netCDF4==1.7.5.1.post1 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import netCDF4
import numpy as np
import rasterio
import xarray as xr

row = np.linspace(-0.1, 1.1, 8).astype("float32")
with netCDF4.Dataset("a.nc", "w") as file:
    for name, size, unit in (("lat", 4, "degrees_north"), ("lon", 8, "degrees_east")):
        file.createDimension(name, size)
        axis = file.createVariable(name, "f8", (name,))
        axis.units = unit
        axis[:] = np.arange(size)
    variable = file.createVariable("fraction", "f4", ("lat", "lon"), fill_value=np.nan)
    variable.valid_range = np.array([0, 1], "float32")
    variable[:] = np.tile(row, (4, 1))
with netCDF4.Dataset("a.nc") as file:
    by_netcdf4 = np.ma.count_masked(file["fraction"][0])
with rasterio.open("a.nc") as file:
    by_rasterio = np.ma.count_masked(file.read(1, masked=True)[0])
with xr.open_dataset("a.nc") as dataset:
    by_xarray = int(dataset.fraction[0].isnull().sum())
print(f"holes: netCDF4 {by_netcdf4}, rasterio {by_rasterio}, xarray {by_xarray}")
assert (by_netcdf4, by_rasterio, by_xarray) == (2, 2, 0)
PY
