#!/usr/bin/env bash
# Upscale a folder and print what became of every file.
# Usage: examples/upscale_folder.sh PHOTOS OUT [SCALE]
set -euo pipefail
photos="${1:?folder of photographs}"
out="${2:?output folder}"
scale="${3:-4}"

mkdir -p "$out"
report="$out/report.jsonl"
code=0
srx upscale "$photos" "$out" --recursive --scale "$scale" --report "$report" || code=$?

echo
echo "file, state, seconds, output size:"
python3 - "$report" <<'PYTHON'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        file = json.loads(line)
        size = f"{file['width']}x{file['height']}" if file["width"] else "-"
        print(f"  {file['source']}, {file['state']}, {file['seconds']:.1f} s, {size}")
        for text in [*file["warnings"], file["error"]]:
            if text:
                print(f"      {text}")
PYTHON
exit "$code"
