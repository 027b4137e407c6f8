#!/bin/bash
# A picture (height, width, 3) becomes a network's input (3, height, width) by transpose(2, 0, 1), a view with other strides. The Python
# package ncnn 1.0.20261020 takes the shape of such a view and the memory behind it in the order in which it lies: ncnn.Mat(view) and
# its clone() hold a scrambled picture, and nothing is said. NumPy, PyTorch and ONNX Runtime read the strides. Seen:
#   greatest difference: view 160.0, np.ascontiguousarray(view) 0.0
# What helps: np.ascontiguousarray, in a variable that lives as long as the Mat. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 ncnn==1.0.20261020
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import ncnn
import numpy as np

row = np.arange(0, 240, 20, dtype="float32")
picture = np.stack([row, row + 5, row + 10], axis=-1)[None].repeat(4, axis=0)
view = picture.transpose(2, 0, 1)
packed = np.ascontiguousarray(view)
differences = []
for array in (view, packed):
    mat = ncnn.Mat(array)
    assert (mat.c, mat.h, mat.w) == view.shape
    differences.append(float(np.abs(np.array(mat.clone()) - view).max()))
print("greatest difference: view {}, np.ascontiguousarray(view) {}".format(*differences))
assert differences[0] > 100
assert differences[1] == 0
PY
