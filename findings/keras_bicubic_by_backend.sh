#!/bin/bash
# Keras 3.15.1 enlarges by "bicubic" with another kernel on PyTorch than on JAX: keras.ops.image.resize and the layers UpSampling2D and
# Resizing, which super-resolution networks end or begin with. On JAX it is Keys' cubic of -0.5, as in Pillow and MATLAB; on PyTorch
# that of -0.75, as in OpenCV, until antialias=True, which ought to change nothing where pictures grow, gives -0.5. A network that was
# trained on one backend gets other pixels on the other. Seen, a row of one white pixel enlarged twice, and UpSampling2D of noise:
#   torch: 0 -35 -105 262 879 879 262 -105 -35 0 thousandths; with antialias 0 -23 -70 227 867 867 227 -70 -23 0
#   jax: 0 -23 -70 227 867 867 227 -70 -23 0; with antialias the same
#   UpSampling2D, the backends apart: 19 levels of 255 at most
# What helps: antialias=True in ops.image.resize and Resizing(antialias=True). This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 jax==0.10.2 keras==3.15.1
cat > "$folder/enlarge.py" <<'PY'
import sys

import keras
import numpy as np

backend = keras.backend.backend()
row = np.zeros((1, 1, 8, 1), np.float32)
row[0, 0, 3, 0] = 1
shown = []
for antialias in (False, True):
    enlarged = keras.ops.image.resize(
        row, (1, 16), interpolation="bicubic", antialias=antialias
    )
    thousandths = keras.ops.convert_to_numpy(enlarged)[0, 0, 2:12, 0] * 1000
    shown.append(np.round(thousandths).astype(int).tolist())
print(f"{backend}: {shown[0]}, with antialias {shown[1]}")
if backend == "torch":
    assert abs(shown[0][2] - -105) <= 1
    assert abs(shown[1][2] - -70) <= 1
else:
    assert abs(shown[0][2] - -70) <= 1
    assert shown[0] == shown[1]
noise = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
layer = keras.layers.UpSampling2D(2, interpolation="bicubic", data_format="channels_last")
np.save(sys.argv[1], keras.ops.convert_to_numpy(layer(noise)))
PY
for backend in torch jax; do
  KERAS_BACKEND=$backend "$folder/venv/bin/python" -W ignore "$folder/enlarge.py" "$folder/$backend.npy"
done
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import numpy as np

torch, jax = (np.load(f"{sys.argv[1]}/{name}.npy") for name in ("torch", "jax"))
apart = 255 * np.abs(torch - jax).max()
print(f"UpSampling2D, the backends apart: {apart:.0f} levels of 255 at most")
assert apart > 10
PY
