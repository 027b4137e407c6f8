#!/bin/bash
# onnxconverter-common 1.16.0 makes a model half precision (float16.convert_float_to_float16) and leaves its Cast nodes to float as they
# are, while what follows becomes float16: ONNX Runtime 1.32.0 refuses the file, with an error on types. Models with sizes
# in their sums (x.shape in PyTorch) have such nodes. The function of the same name in onnxruntime.transformers, which began as a
# copy, changes them. Seen on Linux, x86-64:
#   onnxconverter-common: Type Error
#   onnxruntime.transformers: 0.00 0.25 0.50 0.75
# What helps: that one. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxconverter-common==1.16.0 onnxruntime==1.32.0
"$folder/venv/bin/python" - 2> "$folder/log" <<'PY' || { cat "$folder/log"; exit 1; }
import numpy as np
import onnx
import onnxconverter_common.float16
import onnxruntime
import onnxruntime.transformers.float16
from onnx import TensorProto, helper

nodes = [
    helper.make_node("Shape", ["x"], ["shape"], "shape_of_x"),
    helper.make_node("Gather", ["shape", "zero"], ["length"], "first_length"),
    helper.make_node("Cast", ["length"], ["count"], "as_float", to=TensorProto.FLOAT),
    helper.make_node("Div", ["x", "count"], ["y"], "share"),
]
graph = helper.make_graph(
    nodes, "shares",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor("zero", TensorProto.INT64, [], [0])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
x = np.arange(4, dtype=np.float32)
found = {}
for name, module in (
    ("onnxconverter-common", onnxconverter_common.float16),
    ("onnxruntime.transformers", onnxruntime.transformers.float16),
):
    half = module.convert_float_to_float16(model, keep_io_types=True)
    try:
        session = onnxruntime.InferenceSession(
            half.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        found[name] = " ".join(f"{value:.2f}" for value in session.run(None, {"x": x})[0])
    except Exception as error:
        found[name] = "Type Error" if "Type Error" in str(error) else str(error)
    print(f"{name}: {found[name]}")
assert found["onnxconverter-common"] == "Type Error"
assert found["onnxruntime.transformers"] == "0.00 0.25 0.50 0.75"
PY
