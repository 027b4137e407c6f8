#!/bin/bash
# The package "tiff" of npm (7.1.3; image-js opens TIFFs by it) reads files in tiles, which all large GeoTIFFs are. Of colours,
# and of gray with a predictor (a default of many writers), it gives other pixels without an error: colours fill
# a third of the picture, and the predictor is undone along rows of the picture instead of rows of a tile. Seen, right pixels of
# pictures of 96x64 in tiles of 32x32, and in strips:
#   gray tiles: all right; gray tiles, predictor: wrong; colour tiles: wrong; colour strips, predictor: all right
# What helps: geotiff.js, or strips. This script fails where that has changed. It needs node and npm.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 tifffile==2026.3.3 imagecodecs==2026.3.6
cd "$folder"
npm install --silent --no-fund --no-audit tiff@7.1.3
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import tifffile

noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype="uint8")
gray = noise[:, :, 0].copy()
noise.tofile("colours.raw")
gray.tofile("gray.raw")
tiles = {"tile": (32, 32), "compression": "zlib"}
strips = {"rowsperstrip": 16, "compression": "zlib"}
tifffile.imwrite("gray_tiles.tif", gray, **tiles)
tifffile.imwrite("gray_tiles_predictor.tif", gray, predictor=2, **tiles)
tifffile.imwrite("colours_tiles.tif", noise, photometric="rgb", **tiles)
tifffile.imwrite("colours_strips_predictor.tif", noise, photometric="rgb", predictor=2, **strips)
PY
cat > read.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { decode } from 'tiff';

const expected = {
  gray_tiles: true,
  gray_tiles_predictor: false,
  colours_tiles: false,
  colours_strips_predictor: true,
};
for (const [name, right] of Object.entries(expected)) {
  const pixels = Buffer.from(decode(readFileSync(`${name}.tif`))[0].data);
  const same = pixels.equals(readFileSync(name.startsWith('gray') ? 'gray.raw' : 'colours.raw'));
  console.log(`${name}: ${same ? 'all right' : 'wrong'}`);
  if (same !== right) process.exit(1);
}
JS
node read.mjs
