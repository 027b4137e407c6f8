#!/bin/bash
# rasterio 1.4.4 (GDAL 3.10.3) cuts a ring that crosses 180 degrees by its coordinate system: transform_geom makes a
# MultiPolygon of a square in UTM zone 1, and of one in Web Mercator a Polygon that goes around the globe the other way,
# 357 degrees wide instead of 2.7. Nothing warns; transform_bounds gives west > east for both, as RFC 7946 has it. Seen:
#   EPSG:32601: MultiPolygon, widest part 1.5 degrees
#   EPSG:3857: Polygon, widest part 357.3 degrees
# What helps: follow the longitudes along the ring, and cut it yourself. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
"$folder/venv/bin/python" - <<'PY'
from rasterio.warp import transform_bounds, transform_geom

squares = {
    "EPSG:32601": (160000, 5200000, 350000, 5300000),
    "EPSG:3857": (19900000, -5300000, 20200000, -5000000),
}
found = {}
for crs, (left, bottom, right, top) in squares.items():
    ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    geometry = transform_geom(crs, "OGC:CRS84", {"type": "Polygon", "coordinates": [ring]})
    parts = geometry["coordinates"]
    if geometry["type"] == "Polygon":
        parts = [parts]
    widths = []
    for part in parts:
        longitudes = [x for x, _ in part[0]]
        widths.append(max(longitudes) - min(longitudes))
    found[crs] = (geometry["type"], max(widths))
    print(f"{crs}: {geometry['type']}, widest part {max(widths):.1f} degrees")
    west, _, east, _ = transform_bounds(crs, "OGC:CRS84", left, bottom, right, top)
    assert west > east
assert found["EPSG:32601"][0] == "MultiPolygon"
assert found["EPSG:32601"][1] < 3
assert found["EPSG:3857"][0] == "Polygon"
assert found["EPSG:3857"][1] > 350
PY
