#!/bin/bash
# The universal image quality index of torchmetrics 1.9.0 (and its spectral distortion index and QNR, which are made of it) adds the
# float type's epsilon to a product of squares, 1.2e-7 in float32. Of reflectances, 0 to 1 and mostly dark, that product is
# smaller: a picture of water is not equal to itself, and the same pixels times 255 or in float64 score otherwise. Seen:
#   values 0.02 to 0.04 with themselves: float32 0.116, float64 1.000, float32 times 255 1.000
#   values 0.05 to 0.10 with themselves: float32 0.799, float64 1.000, float32 times 255 1.000
# What helps: .double(), or values times 255. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 torch==2.13.0 torchmetrics==1.9.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import universal_image_quality_index as uqi

surface = gaussian_filter(np.random.default_rng(0).standard_normal((64, 64)), 1.5)
surface = (surface - surface.min()) / (surface.max() - surface.min())
for low, high, most in ((0.02, 0.04, 0.2), (0.05, 0.1, 0.9)):
    picture = torch.from_numpy(low + (high - low) * surface)[None, None]
    single = uqi(picture.float(), picture.float()).item()
    double = uqi(picture, picture).item()
    larger = uqi(picture.float() * 255, picture.float() * 255).item()
    shown = f"float32 {single:.3f}, float64 {double:.3f}, float32 times 255 {larger:.3f}"
    print(f"values {low:.2f} to {high:.2f} with themselves: {shown}")
    assert single < most
    assert abs(double - 1) < 1e-6
    assert abs(larger - 1) < 1e-3
PY
