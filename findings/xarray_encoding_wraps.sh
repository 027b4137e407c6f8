#!/bin/bash
# xarray 2026.9.0 packs a decoded variable again by the encoding that it was read with, and lets values wrap that the
# packed type cannot hold: the warmest become the coldest, with no warning. Whether the encoding is there depends on how
# the values were changed: "data += 20", data[...] = and data.copy(data=...) keep it, "data + 20", where and interp drop it.
# Seen with netCDF4 1.7.5.1.post1, temperatures in hundredths as int16:
#   in memory 340.00, in the file -315.36, warnings 0; by data + 20 in the file 340.00
# What helps: data.drop_encoding() before writing, or clipping. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 xarray==2026.9.0 netCDF4==1.7.5.1.post1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import warnings

import numpy as np
import xarray as xr

source = xr.DataArray(np.linspace(-300.0, 320.0, 7), dims="x", name="t")
encoding = {"t": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -32768}}
source.to_dataset().to_netcdf("packed.nc", encoding=encoding)


def written(data):
    data.to_dataset().to_netcdf("again.nc")
    with xr.open_dataset("again.nc") as dataset:
        return dataset.t.load()


with xr.open_dataset("packed.nc") as dataset:
    data = dataset.t.load()
outside = written(data + 20)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    data += 20
    in_place = written(data)
numeric = [each for each in caught if issubclass(each.category, RuntimeWarning)]
print(
    f"in memory {data.values[-1]:.2f}, in the file {in_place.values[-1]:.2f}, "
    f"warnings {len(numeric)}; by data + 20 in the file {outside.values[-1]:.2f}"
)
assert abs(data.values[-1] - 340) < 0.01
assert abs(in_place.values[-1] + 315.36) < 0.01
assert abs(outside.values[-1] - 340) < 0.01
assert not numeric
PY
