#!/bin/bash
# In ecCodes 2.50.0 the short name "sst" is another quantity by edition: set in a GRIB1 message it is parameter 34, sea
# surface temperature in kelvin, in a GRIB2 message 151159, "specified sea surface temperature" in degrees Celsius. No
# error, no warning, and the values stay as they are: 290 K is stored as 290 degrees. Converting a GRIB1 message gives 34,
# as paramId does; of 2t and skt both editions are the same. Seen:
#   GRIB1 sst: 34 K; GRIB2 sst: 151159 deg C; GRIB1 made GRIB2: 34 K; 2t: 167 K and 167 K
# What helps: set paramId (34), not shortName. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 eccodes==2.50.0
"$folder/venv/bin/python" - <<'PY'
import eccodes


def made(edition, name):
    message = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    eccodes.codes_set(message, "shortName", name)
    assert eccodes.codes_get(message, "shortName") == name
    return message


def told(message):
    return f"{eccodes.codes_get(message, 'paramId')} {eccodes.codes_get(message, 'units')}"


first, second = told(made(1, "sst")), told(made(2, "sst"))
converted = made(1, "sst")
eccodes.codes_set(converted, "edition", 2)
air = [told(made(edition, "2t")) for edition in (1, 2)]
print(
    f"GRIB1 sst: {first}; GRIB2 sst: {second}; GRIB1 made GRIB2: {told(converted)}; "
    f"2t: {' and '.join(air)}"
)
assert first == told(converted) == "34 K"
assert second == "151159 deg C"
assert air == ["167 K", "167 K"]
PY
