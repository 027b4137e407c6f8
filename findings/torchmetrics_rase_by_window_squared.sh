#!/bin/bash
# The relative average spectral error (RASE) of torchmetrics 1.9.0 is a percentage, the error of all bands by their mean, and comes out
# too large by the square of window_size, 64 times by default: means of windows are divided by their number of pixels once more.
# Tables that mix it with other tools, or windows with each other, compare nothing. Seen, of noise of about 8 on a brightness of 128:
#   by formula 6.2 %; torchmetrics 400.5 with window_size=8, 99.5 with window_size=4; sewar 0.4.10 6.3
# What helps: divide by window_size**2. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 torchmetrics==1.9.0 sewar==0.4.10
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import sewar
import torch
from torchmetrics.functional.image import relative_average_spectral_error

rng = np.random.default_rng(0)
truth = np.full((64, 64, 3), 128.0)
result = truth + rng.normal(0, 8, truth.shape)
by_formula = 100 / truth.mean() * np.sqrt(((result - truth) ** 2).mean())
first, second = (torch.from_numpy(x).permute(2, 0, 1)[None] for x in (result, truth))
by_window = {}
for size in (8, 4):
    by_window[size] = relative_average_spectral_error(first, second, window_size=size).item()
by_sewar = sewar.rase(truth, result)
shown = ", ".join(f"{value:.1f} with window_size={size}" for size, value in by_window.items())
print(f"by formula {by_formula:.1f} %; torchmetrics {shown}; sewar 0.4.10 {by_sewar:.1f}")
for size, value in by_window.items():
    assert 0.9 < value / size**2 / by_formula < 1.1
assert 0.9 < by_sewar / by_formula < 1.1
PY
