#!/bin/bash
# A VRT given to rasterio 1.4.4 as MemoryFile(bytes) can be opened to be changed, and is damaged where that makes its text
# longer: GDAL (3.10.3) cannot extend memory that it does not own, and rasterio raises nothing, neither when the tag is set
# nor when the file is closed. The same bytes written into an empty MemoryFile keep the tag. Seen, of a tag of 1000 letters:
#   given at once: damaged, written: kept
# What helps: memory.write(vrt). This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
cat > keeps.py <<'PY'
import sys

import rasterio
import rasterio.errors
from rasterio.io import MemoryFile

vrt = b'<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
memory = MemoryFile(vrt, ext=".vrt") if sys.argv[1] == "at once" else MemoryFile(ext=".vrt")
with memory:
    if sys.argv[1] == "written":
        memory.write(vrt)
    with rasterio.open(memory.name, "r+") as file:
        file.update_tags(note="n" * 1000)
    try:
        with rasterio.open(memory.name) as file:
            print("kept" if "note" in file.tags() else "lost")
    except rasterio.errors.RasterioIOError:
        print("damaged")
PY
at_once=$("$folder/venv/bin/python" -W ignore keeps.py "at once")
written=$("$folder/venv/bin/python" -W ignore keeps.py written)
echo "given at once: $at_once, written: $written"
[ "$at_once, $written" = "damaged, kept" ]
