#!/bin/bash
# torch.onnx.export(dynamo=True) of PyTorch 2.13.0 (onnxscript 0.7.2) is asked for any number of pictures by dynamic_shapes.
# A network that takes the pictures of a batch one by one (torch.split(x, 1)) has that number unrolled: the file takes just as
# many as the example had, and neither an exception nor a warning of Python says so. torch.export.export, asked for the same,
# raises. Height and width stay free. Seen on Linux, x86-64:
#   torch.onnx.export: input of 2 x 3 x height x width
#   torch.export.export: Constraints violated (batch)!
# What helps: look at the shapes in the written file, or export by torch.export.export first. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 torch==2.13.0
"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import warnings

import torch


class OneByOne(torch.nn.Module):
    def forward(self, x):
        return torch.cat([2 * picture for picture in torch.split(x, 1)])


dimension = torch.export.Dim
axes = {0: dimension("batch"), 2: dimension("height"), 3: dimension("width")}
x = torch.rand(2, 3, 48, 40)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    program = torch.onnx.export(
        OneByOne().eval(), (x,), dynamo=True, dynamic_shapes=(axes,), verbose=False
    )
assert not [w for w in said if "batch" in str(w.message)]
shape = program.model_proto.graph.input[0].type.tensor_type.shape
sides = [side.dim_param or str(side.dim_value) for side in shape.dim]
print("torch.onnx.export: input of", " x ".join(sides))
assert sides == ["2", "3", "height", "width"], sides
try:
    torch.export.export(OneByOne().eval(), (x,), dynamic_shapes=(axes,))
except Exception as error:
    print("torch.export.export:", str(error).splitlines()[0].split(" For")[0])
    assert "batch" in str(error)
else:
    raise SystemExit("torch.export.export raises no longer")
PY
