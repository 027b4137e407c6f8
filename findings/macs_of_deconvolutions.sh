#!/bin/bash
# thop 0.1.1.post2209072238 and torchinfo 1.8.0 count the MACs of a transposed convolution for each pixel of its output.
# It multiplies each weight once for each pixel of its input, so that both are too high by stride^2, 16 times at stride 4.
# Seen with PyTorch 2.13.0; what the layer itself multiplies is counted by ones, and lacks what falls off the borders:
#   true 18579456, products 18258296, thop 297271296, torchinfo 297271296
# Tables of networks that end in one (FSRCNN and its descendants) differ by it. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 torchinfo==1.8.0 thop==0.1.1.post2209072238
"$folder/venv/bin/python" - <<'PY'
import torch
from thop import profile
from torchinfo import summary

side = 64
layer = torch.nn.ConvTranspose2d(56, 1, 9, stride=4, padding=4, output_padding=3, bias=False)
x = torch.zeros(1, 56, side, side)
true = layer.weight.numel() * side * side

# every product is one: what comes out of ones sums up to their number, but for those that fall off the borders
layer.weight.data.fill_(1.0)
with torch.no_grad():
    products = float(layer(torch.ones_like(x)).double().sum())
by_thop, _ = profile(layer, inputs=(x,), verbose=False)
by_torchinfo = summary(layer, input_data=x, verbose=0).total_mult_adds
print(f"true {true}, products {products:.0f}, thop {by_thop:.0f}, torchinfo {by_torchinfo}")
assert 0.9 * true < products <= true
assert by_thop == 16 * true
assert by_torchinfo == 16 * true
PY
