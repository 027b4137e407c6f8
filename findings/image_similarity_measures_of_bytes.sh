#!/bin/bash
# image-similarity-measures 0.3.6, which "evaluates an image super resolution model", takes white for 4095 whatever the pictures are: of
# PNG and JPEG files its PSNR is 24.1 dB too high, and evaluation(), which reads files, has no way to tell it. Its spectral
# angle multiplies bytes as bytes, so that they wrap: a picture is 89 degrees away from itself. Seen, bytes with noise of up to 10 levels:
#   PSNR by evaluation() of two PNG files: 56.7, by scikit-image 32.6
#   spectral angle of a picture and itself: bytes 89.5 degrees, as floats 0.0
# What helps: max_p=255 in psnr, ssim and rmse, floats for sam. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==1.26.4 image-similarity-measures==0.3.6
"$folder/venv/bin/python" -W ignore - "$folder" <<'PY'
import sys

import cv2
import numpy as np
from image_similarity_measures.evaluate import evaluation
from image_similarity_measures.quality_metrics import sam
from skimage.metrics import peak_signal_noise_ratio

random = np.random.default_rng(0)
clean = random.integers(0, 256, (64, 64, 3)).astype(np.uint8)
noise = random.integers(-10, 11, clean.shape)
noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
files = [f"{sys.argv[1]}/{name}.png" for name in ("clean", "noisy")]
for file, picture in zip(files, (clean, noisy)):
    cv2.imwrite(file, picture)
score = evaluation(*files, metrics=["psnr"])["psnr"]
true = peak_signal_noise_ratio(clean, noisy)
print(f"PSNR by evaluation() of two PNG files: {score:.1f}, by scikit-image {true:.1f}")
assert abs(score - true - 20 * np.log10(4095 / 255)) < 0.05
of_bytes = sam(clean, clean)
of_floats = sam(clean.astype(float), clean.astype(float))
print(f"spectral angle of a picture and itself: bytes {of_bytes:.1f} degrees, as floats {of_floats:.1f}")
assert of_bytes > 45
assert of_floats < 0.01
PY
