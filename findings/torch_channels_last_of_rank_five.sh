#!/bin/bash
# PyTorch 2.13.0: Module.to(memory_format=torch.channels_last) asks each floating-point parameter of rank 4 *or 5* to take
# the format, and a tensor of rank 5 refuses it. A model with one Conv3d, or any parameter of five dimensions among its
# Conv2d layers, cannot be moved as a whole, though the format is meant for rank 4. torch.channels_last_3d fails the other
# way round, at the first Conv2d. Seen:
#   channels_last, rank 5: required rank 4 tensor to use channels_last format
#   channels_last_3d, rank 4: required rank 5 tensor to use channels_last_3d format
# What helps: to set the format parameter by parameter, those of rank 4 alone. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0
"$folder/venv/bin/python" - <<'PY'
import torch

cases = (
    (torch.channels_last, torch.nn.Conv3d(3, 4, 3), 5),
    (torch.channels_last_3d, torch.nn.Conv2d(3, 4, 3), 4),
)
for form, layer, rank in cases:
    try:
        torch.nn.Sequential(layer).to(memory_format=form)
    except RuntimeError as error:
        name = str(form).removeprefix("torch.")
        print(f"{name}, rank {rank}: {error}")
        assert f"to use {name} format" in str(error)
    else:
        raise AssertionError(f"{form} is taken at rank {rank} now")
PY
