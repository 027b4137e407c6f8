#!/bin/bash
# The universal quality index of sewar 0.4.10 (uqi; d_lambda, d_s and qnr of pansharpening are made of it) means something else than
# that of Wang and Bovik (IEEE Signal Processing Letters 9, 2002): its windows hold means where the formula takes sums, so that
# brightness is all that counts. Two pictures of noise, and a picture and its negative, are almost the same. Seen, 100 to 156, 8x8 windows:
#   noise and other noise: sewar 0.983, formula -0.018
#   noise and its negative: sewar 0.968, formula -1.000
# What helps: uqi of your own, or torchmetrics in float64. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 sewar==0.4.10
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import sewar
from numpy.lib.stride_tricks import sliding_window_view


def by_formula(first, second):
    """Return the mean of Q over all windows of 8x8 pixels."""
    x = sliding_window_view(first, (8, 8)).reshape(-1, 64)
    y = sliding_window_view(second, (8, 8)).reshape(-1, 64)
    mean_x, mean_y = x.mean(1), y.mean(1)
    covariance = ((x - mean_x[:, None]) * (y - mean_y[:, None])).sum(1) / 63
    spread = x.var(1, ddof=1) + y.var(1, ddof=1)
    return (4 * covariance * mean_x * mean_y / (spread * (mean_x**2 + mean_y**2))).mean()


rng = np.random.default_rng(0)
noise, other = rng.uniform(100, 156, (2, 64, 64))
assert sewar.uqi(noise, noise) == 1
for name, second in (("other noise", other), ("its negative", 256 - noise)):
    by_sewar, expected = sewar.uqi(noise, second), by_formula(noise, second)
    print(f"noise and {name}: sewar {by_sewar:.3f}, formula {expected:.3f}")
    assert by_sewar > 0.95
    assert expected < 0.05
PY
