#!/bin/bash
# The visual information fidelity (VIF) of torchmetrics 1.9.0 and sewar 0.4.10 holds for values from 0 to 255 alone, which neither
# says: its noise of the eye has a variance of 2 levels. torchmetrics' other metrics of pictures take [0, 1], and its own
# example normal noise. Of the same pictures as [0, 1] a noisy copy scores almost as the picture itself. Seen, texture with noise of 13 levels:
#   0 to 255: torchmetrics 0.398, sewar 0.398
#   0 to 1: torchmetrics 0.990, sewar 0.990; with sigma_n_sq=2 / 255**2 0.398
#   the picture itself: 1.000
# What helps: values times 255, or sigma_n_sq=2 / 255**2 for [0, 1]. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 torch==2.13.0 torchmetrics==1.9.0 sewar==0.4.10
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import sewar
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import visual_information_fidelity as vif

random = np.random.default_rng(0)
clean = gaussian_filter(random.standard_normal((128, 128)), 1.5)
clean = (clean - clean.min()) / (clean.max() - clean.min())
noisy = np.clip(clean + random.normal(0, 0.05, clean.shape), 0, 1)


def by_torchmetrics(picture, **options):
    pictures = (torch.from_numpy(values)[None, None] for values in (picture, clean * scale))
    return vif(*pictures, **options).item()


scores = {}
for scale in (255, 1):
    scores[scale] = by_torchmetrics(noisy * scale), sewar.vifp(clean * scale, noisy * scale)
    print(f"0 to {scale}: torchmetrics {scores[scale][0]:.3f}, sewar {scores[scale][1]:.3f}")
mended = by_torchmetrics(noisy, sigma_n_sq=2 / 255**2)
print(f"0 to 1 with sigma_n_sq=2 / 255**2: {mended:.3f}")
print(f"the picture itself, 0 to 1: {by_torchmetrics(clean):.3f}")
assert max(scores[255]) < 0.5
assert min(scores[1]) > 0.95
assert abs(mended - scores[255][0]) < 0.01
PY
