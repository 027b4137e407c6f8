#!/bin/bash
# OpenVINO 2026.4.1 reads ONNX's Resize with antialias=1 and computes it without antialiasing, with no word.
# Of a picture in which one row of four is white, made four times smaller, each pixel is a quarter, as the ONNX standard
# has it and ONNX Runtime 1.32.0 computes it; OpenVINO reads black rows alone. Seen on Linux, x86-64:
#   ONNX Runtime: 0.250 to 0.250
#   OpenVINO: 0.000 to 0.000
# What helps: a convolution or AveragePool before, or Resize in another runtime. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
"$folder/venv/bin/python" - "$folder/resize.onnx" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

file = sys.argv[1]
node = helper.make_node(
    "Resize", ["x", "", "scales"], ["y"], mode="linear", antialias=1,
    coordinate_transformation_mode="half_pixel",
)
graph = helper.make_graph(
    [node], "resize",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 64, 64])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 16, 16])],
    [helper.make_tensor("scales", TensorProto.FLOAT, [4], [1, 1, 0.25, 0.25])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, file)
x = np.zeros((1, 1, 64, 64), np.float32)
x[..., ::4, :] = 1
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
(by_onnxruntime,) = session.run(None, {"x": x})
options = {"INFERENCE_PRECISION_HINT": "f32"}
by_openvino = openvino.Core().compile_model(file, "CPU", options)(x)[0]
inside = np.s_[..., 2:-2, 2:-2]
for name, y in (("ONNX Runtime", by_onnxruntime), ("OpenVINO", by_openvino)):
    print(f"{name}: {y[inside].min():.3f} to {y[inside].max():.3f}")
assert np.abs(by_onnxruntime[inside] - 0.25).max() < 0.001
assert np.abs(by_openvino[inside]).max() < 0.001
PY
