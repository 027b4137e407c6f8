#!/bin/bash
# GDAL 3.10.3 (rasterio 1.4.4) reads 1970-01-01 as the time of a Landsat scene whose MTL file quotes it, as those of
# Collection 1 do: SCENE_CENTER_TIME = "10:15:16.1230000Z". Without the quotes it is right. Files of Collection 2, whose
# groups have other names, give none. IMAGERY's ACQUISITIONDATETIME is what catalogues take. Seen, of one scene of 2021:
#   quoted 1970-01-01 00:00:00, bare 2021-06-03 10:15:16, Collection 2 none
# What helps: DATE_ACQUIRED and SCENE_CENTER_TIME in the domain IMD. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

PROFILE = {
    "driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint16",
    "crs": "EPSG:32632", "transform": from_origin(500000, 5300000, 30, 30),
}


def time_of(scene, root, group, time):
    with rasterio.open(f"{scene}_B4.TIF", "w", **PROFILE) as file:
        file.write(np.zeros((1, 8, 8), "uint16"))
    Path(f"{scene}_MTL.txt").write_text(
        f'GROUP = {root}\n  GROUP = {group}\n    SPACECRAFT_ID = "LANDSAT_8"\n'
        f"    DATE_ACQUIRED = 2021-06-03\n    SCENE_CENTER_TIME = {time}\n"
        f"  END_GROUP = {group}\nEND_GROUP = {root}\nEND\n"
    )
    with rasterio.open(f"{scene}_B4.TIF") as file:
        assert file.tags(ns="IMD")[f"{root}.{group}.DATE_ACQUIRED"] == "2021-06-03"
        return file.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "none")


name = "LC08_L1TP_194026_20210603_2021060{}_0{}_T1"
first = ("L1_METADATA_FILE", "PRODUCT_METADATA")
quoted = time_of(name.format(8, 1), *first, '"10:15:16.1230000Z"')
bare = time_of(name.format(9, 1), *first, "10:15:16.1230000Z")
second = time_of(
    name.format(8, 2), "LANDSAT_METADATA_FILE", "IMAGE_ATTRIBUTES", '"10:15:16.1230000Z"'
)
print(f"quoted {quoted}, bare {bare}, Collection 2 {second}")
assert quoted == "1970-01-01 00:00:00"
assert bare == "2021-06-03 10:15:16"
assert second == "none"
PY
