#!/bin/bash
# litert-torch 0.10.0 (the converter of PyTorch's networks for LiteRT, the former TensorFlow Lite) has no torch.add(x, y, alpha=0.5),
# the sum with a factor that networks with scaled residuals use (EDSR, ESRGAN): a TypeError of its own code, not a word that an
# operator is missing. The same written as x + 0.5 * y is converted and gives equal values. Seen on Linux, x86-64, torch 2.13.0:
#   torch.add(x, y, alpha=0.5): TypeError: _aten_add_tensor() got an unexpected keyword argument 'alpha'
#   x + 0.5 * y: largest difference 0.0
# Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q litert-torch==0.10.0 torch==2.13.0
cat > "$folder/convert.py" <<'PY'
import sys

import litert_torch
import torch


class Alpha(torch.nn.Module):
    def forward(self, x, y):
        return torch.add(x, y, alpha=0.5)


class Product(torch.nn.Module):
    def forward(self, x, y):
        return x + 0.5 * y


x, y = torch.rand(2, 1, 3, 8, 8)
try:
    litert_torch.convert(Alpha().eval(), (x, y))
except TypeError as error:
    first = str(error).splitlines()[0]
    print(f"torch.add(x, y, alpha=0.5): TypeError: {first}", file=sys.stderr)
    assert "alpha" in first
else:
    raise SystemExit("torch.add with alpha is converted by now")
converted = litert_torch.convert(Product().eval(), (x, y))
difference = abs(torch.from_numpy(converted(x, y)) - (x + 0.5 * y)).max()
print(f"x + 0.5 * y: largest difference {difference:.1f}", file=sys.stderr)
assert difference < 1e-6
PY
"$folder/venv/bin/python" "$folder/convert.py" > "$folder/out" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
grep -E "^(torch.add|x \+)" "$folder/log"
