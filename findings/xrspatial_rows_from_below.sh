#!/bin/bash
# xarray-spatial 0.5.3 takes the first row of a height map for its northernmost, whatever its coordinate y says. Height maps of
# NetCDF mostly begin in the south: aspect is turned over, and hillshade lit from the south-west as valleys look like
# ridges; slope is right. Seen, a plane that rises to the north by 45 degrees, of which water runs to the south (180):
#   rows from north to south: aspect 180, hillshade 0.876
#   rows from south to north: aspect 0, hillshade 0.423
# What helps: elevation.sortby("y", ascending=False). This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 xarray==2026.9.0 xarray-spatial==0.5.3
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import xarray
from xrspatial import aspect, hillshade, slope

seen = {}
for order, y in (("north to south", np.arange(20.0)[::-1]), ("south to north", np.arange(20.0))):
    heights = np.repeat(y[:, None], 20, axis=1)
    coords = {"y": y, "x": np.arange(20.0)}
    plane = xarray.DataArray(heights.astype(np.float32), coords, ("y", "x"))
    values = (float(function(plane)[10, 10]) for function in (aspect, hillshade, slope))
    seen[order] = tuple(round(value, 3) for value in values)
    print(f"rows from {order}: aspect, hillshade, slope: {seen[order]}")
assert seen["north to south"][::2] == (180, 45)
assert seen["south to north"][::2] == (0, 45)
assert seen["north to south"][1] > 2 * seen["south to north"][1]
PY
