#!/usr/bin/env bash
# Check and time everything on a GPU in at most 9 minutes, and write benchmarks/gpu.md.
#
#   bash benchmarks/gpu.sh                          on the first GPU
#   bash benchmarks/gpu.sh --device cpu --quick     tries the script itself, in a minute or two
#
# Needs no installation and no network: python3 with torch, numpy, Pillow, scikit-image, safetensors,
# click and rich is enough. $OUT, if set, gets the table.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
