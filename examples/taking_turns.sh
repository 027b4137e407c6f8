#!/usr/bin/env bash
# Look at models in the same place, one after the other, and at a network while it learns.
# Usage: examples/taking_turns.sh PHOTO PHOTOS OUT [BUDGET]
#   OUT/blink.gif: parts of PHOTO by three models
#   OUT/run/progress.gif: crops of PHOTOS as a small network enlarges them from minute to minute
set -euo pipefail
photo="${1:?photograph}"
photos="${2:?folder of photographs to train on}"
out="${3:?output folder}"
budget="${4:-5m}"

mkdir -p "$out"
srx compare "$photo" "$out/blink.gif" -m bicubic -m g-idrn -m auto
srx train rrlfn-muon -s 2 --data "$photos" --validate "$photos" --out "$out/run" \
  --budget "$budget" --set validate_every=20
