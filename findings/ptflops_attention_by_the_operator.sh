#!/bin/bash
# ptflops 0.7.5, with its default backend, counts a product of matrices that is written as torch.matmul(a, b), and not the
# same product written as a @ b, nor convolutions by torch.nn.functional.conv2d. Networks whose attention is written with @, as most
# of super-resolution, come out several times too light in tables of MACs. Seen, attention over 100 pixels of 16 channels:
#   attention: true 345,600; torch.matmul 345,600; @ 25,600; aten 345,600
#   functional.conv2d: 0; aten 21,600
# What helps: backend="aten". This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 ptflops==0.7.5
"$folder/venv/bin/python" -W ignore - <<'PY'
import torch
from ptflops import get_model_complexity_info


class Attention(torch.nn.Module):
    def __init__(self, written_as):
        super().__init__()
        self.written_as = written_as
        self.query = torch.nn.Linear(16, 16, bias=False)

    def forward(self, x):
        pixels = x.flatten(2).transpose(1, 2)
        keys = pixels.transpose(1, 2)
        if self.written_as == "@":
            return (self.query(pixels) @ keys).softmax(-1) @ pixels
        scores = torch.matmul(self.query(pixels), keys)
        return torch.matmul(scores.softmax(-1), pixels)


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(8, 3, 3, 3))

    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.weight, padding=1)


def count(network, channels, **options):
    macs, _ = get_model_complexity_info(
        network, (channels, 10, 10), as_strings=False, print_per_layer_stat=False, **options
    )
    return int(macs)


true = 100 * 16 * 16 + 2 * 100 * 100 * 16
by_name = count(Attention("matmul"), 16)
by_operator = count(Attention("@"), 16)
by_aten = count(Attention("@"), 16, backend="aten")
print(f"attention: true {true:,}; torch.matmul {by_name:,}; @ {by_operator:,}; aten {by_aten:,}")
assert by_aten == true
assert by_name >= true
assert by_operator < true / 5
plain = count(Convolution(), 3)
by_aten = count(Convolution(), 3, backend="aten")
print(f"functional.conv2d: {plain:,}; aten {by_aten:,}")
assert plain == 0
assert by_aten == 100 * 8 * 27
PY
