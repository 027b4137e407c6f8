#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) cannot read unsigned bytes of NetCDF-4 in the usual form, signed bytes with the attribute
# _Unsigned (quality flags of GOES-R): it opens them as uint8 and asks the library for unsigned bytes, which refuses
# negative ones. Two-byte integers of the same form are read. The driver HDF5 reads the file, but signed: 255 is -1.
# Seen with netCDF4 1.7.5.1.post1:
#   netCDF4 255; rasterio, bytes: Numeric conversion not representable; HDF5: -1; two bytes 65535
# What helps: xarray or netCDF4. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 netCDF4==1.7.5.1.post1 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import netCDF4
import numpy as np
import rasterio

for name, kind in (("bytes", "i1"), ("words", "i2")):
    with netCDF4.Dataset(f"{name}.nc", "w") as file:
        file.createDimension("y", 4)
        file.createDimension("x", 4)
        flags = file.createVariable("DQF", kind, ("y", "x"))
        flags.set_auto_maskandscale(False)
        flags._Unsigned = "true"
        flags[:] = np.full((4, 4), -1, kind)
with netCDF4.Dataset("bytes.nc") as file:
    variable = file["DQF"]
    variable.set_auto_mask(False)
    by_netcdf4 = int(variable[:].max())
reason = ""
with rasterio.open("bytes.nc") as file:
    assert file.dtypes == ("uint8",)
    try:
        file.read()
    except rasterio.errors.RasterioIOError as error:
        reason = str(error.__cause__ or error)
with rasterio.open('HDF5:"bytes.nc"://DQF') as file:
    by_hdf5 = int(file.read().min())
with rasterio.open("words.nc") as file:
    of_words = int(file.read().max())
words = "Numeric conversion not representable"
print(f"netCDF4 {by_netcdf4}; rasterio, bytes: {words if words in reason else reason}; HDF5: {by_hdf5}; two bytes {of_words}")
assert by_netcdf4 == 255
assert words in reason
assert by_hdf5 == -1
assert of_words == 65535
PY
