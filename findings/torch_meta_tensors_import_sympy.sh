#!/bin/bash
# PyTorch 2.13.0: counting a network's shapes on the device "meta" computes nothing, but the first convolution there imports
# sympy, and the first ReLU the rest of torch._dynamo: 512 modules and a second of processor time, more than the import of
# PyTorch itself takes. The same operations on a processor import none of them. Seen:
#   conv2d on cpu 0, on meta 419; relu on cpu 0, on meta 93 modules of sympy and torch._dynamo
# Programs that count parameters, MACs or memory of small networks spend most of their time so. What helps: to count by
# hooks on a small input of zeros. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PY'
import sys

import torch


def loaded():
    """Count modules of sympy and of torch._dynamo."""
    return sum(name.split(".")[0] == "sympy" or name.startswith("torch._dynamo") for name in sys.modules)


def convolve(picture):
    return torch.nn.functional.conv2d(picture, torch.ones(1, 1, 3, 3, device=picture.device))


assert loaded() == 0
for operation in (convolve, torch.relu):
    for device in ("cpu", "meta"):
        picture = torch.ones(1, 1, 8, 8, device=device)
        before = loaded()
        operation(picture)
        imported = loaded() - before
        print(f"{operation.__name__} on {device}: {imported}")
        assert (imported > 50) == (device == "meta")
PY
