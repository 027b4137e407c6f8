#!/bin/bash
# torch.jit.optimize_for_inference of PyTorch 2.13.0 replaces adaptive average pooling by one of oneDNN that knows sizes alone
# which the output's size divides. The optimised program, without a word when it is made, raises for all other pictures, on
# which the plain and the frozen program run. Seen on Linux, x86-64, of a pool to 4x4:
#   plain: 32x32 runs, 30x30 runs
#   frozen: 32x32 runs, 30x30 runs
#   optimised: 32x32 runs, 30x30 raises (input size is not divisible by the output size is not supported yet)
# What helps: torch.jit.freeze alone, or sides that divide. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
from torch import nn

network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AdaptiveAvgPool2d(4)).eval()
with torch.no_grad():
    plain = torch.jit.trace(network, torch.rand(1, 3, 30, 30))
    programs = {
        "plain": plain,
        "frozen": torch.jit.freeze(plain),
        "optimised": torch.jit.optimize_for_inference(plain),
    }
    raised = set()
    for name, program in programs.items():
        words = []
        for side in (32, 30):
            try:
                program(torch.rand(1, 3, side, side))
                words.append(f"{side}x{side} runs")
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[-1].removeprefix("RuntimeError: ")
                words.append(f"{side}x{side} raises ({reason})")
                raised.add((name, side))
        print(f"{name}: {', '.join(words)}")
assert raised == {("optimised", 30)}
PY
