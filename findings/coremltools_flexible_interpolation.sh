#!/bin/bash
# coremltools 9.0 converts bilinear interpolation to the size of another tensor (a small map stretched over its picture, as in the
# attention of RFDN, RLFN and IMDN's relatives) where the picture has one size. Where its sides are given as RangeDim, it ends in
# "Unable to map torch_upsample_bilinear to core upsample", after all operators were converted. By a factor it can be flexible.
# Seen on Linux, x86-64, torch 2.13.0:
#   to a size, one size: converted
#   to a size, sides from 24 to 512: ValueError: Unable to map torch_upsample_bilinear to core upsample
#   by a factor, sides from 24 to 512: converted
# What helps: one size, or a file for each. (numpy is pinned as coremltools 9.0 converts less with 2.4.) Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.2.6 coremltools==9.0 torch==2.13.0
cat > "$folder/convert.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")

import coremltools as ct
import torch
import torch.nn.functional as F


class ToSize(torch.nn.Module):
    def forward(self, x):
        small = F.max_pool2d(x, 7, 3)
        return x * F.interpolate(small, size=x.shape[2:], mode="bilinear")


class ByFactor(torch.nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2.0, mode="bilinear")


def convert(network, shape):
    traced = torch.jit.trace(network.eval(), (torch.rand(1, 3, 48, 48),))
    inputs = [ct.TensorType(name="x", shape=shape)]
    try:
        ct.convert(traced, inputs=inputs, convert_to="mlprogram")
    except ValueError as error:
        return f"ValueError: {str(error).splitlines()[-1]}"
    return "converted"


side = ct.RangeDim(24, 512)
flexible = ct.Shape(shape=(1, 3, side, side))
results = {
    "to a size, one size": convert(ToSize(), (1, 3, 48, 48)),
    "to a size, sides from 24 to 512": convert(ToSize(), flexible),
    "by a factor, sides from 24 to 512": convert(ByFactor(), flexible),
}
for case, result in results.items():
    print(f"{case}: {result}")
assert list(results.values()) == [
    "converted",
    "ValueError: Unable to map torch_upsample_bilinear to core upsample",
    "converted",
]
PY
"$folder/venv/bin/python" "$folder/convert.py" 2> "$folder/log" || { tail "$folder/log"; exit 1; }
