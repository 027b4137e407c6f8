#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) calls the unit of a GRIB1 field of ECMWF's own tables "[C]", but gives kelvin: 2 metre
# temperature (2t), sea surface temperature (sst), skin temperature (skt), as ERA5 has them. Of temperature on levels (t),
# and of the same fields in GRIB2, values are in degrees Celsius, as the unit says (GRIB_NORMALIZE_UNITS is on). Seen, of a
# field of 270 to 300 K:
#   GRIB1 2t: [C] 270.00 to 300.00, GRIB1 t: [C] -3.15 to 26.85, GRIB2 2t: [C] -3.15 to 26.85
# What helps: cfgrib or eccodes, which leave kelvin, or a look at the values. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4 eccodes==2.50.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import eccodes
import numpy as np
import rasterio

KELVIN = np.linspace(270, 300, 120)
GRID = {
    "Ni": 12, "Nj": 10,
    "latitudeOfFirstGridPointInDegrees": 50, "latitudeOfLastGridPointInDegrees": 41,
    "longitudeOfFirstGridPointInDegrees": 5, "longitudeOfLastGridPointInDegrees": 16,
    "iDirectionIncrementInDegrees": 1, "jDirectionIncrementInDegrees": 1,
}


def read(edition, name):
    message = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    for key, value in (GRID | {"shortName": name}).items():
        eccodes.codes_set(message, key, value)
    eccodes.codes_set_values(message, KELVIN)
    assert eccodes.codes_get(message, "units") == "K"
    with open("field.grib", "wb") as file:
        eccodes.codes_write(message, file)
    with rasterio.open("field.grib") as raster:
        values = raster.read(1)
        unit = raster.tags(1)["GRIB_UNIT"]
    print(f"GRIB{edition} {name}: {unit} {values.min():.2f} to {values.max():.2f}")
    return unit, round(float(values.min()), 2)


for name in ("2t", "sst", "skt"):
    assert read(1, name) == ("[C]", 270)
assert read(1, "t") == ("[C]", -3.15)
assert read(2, "2t") == ("[C]", -3.15)
PY
