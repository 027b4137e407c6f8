#!/bin/bash
# onnx.version_converter of onnx 1.23.2 cannot take a model with a Shape node below opset 15, where that operator got two attributes,
# start and end, although the node has none of them and is the same in all opsets. Every network for free sizes that PyTorch
# exports has such nodes. Upwards it is converted. Written by hand with opset 13, the same graph is valid and gives the
# same in ONNX Runtime 1.32.0. Seen on Linux, x86-64:
#   18 to 21: converted
#   18 to 15: converted
#   18 to 13: No Adapter From Version $15 for Shape
#   the number changed by hand to 13: [2 3]
# What helps: to export with the opset that is wanted. Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

graph = helper.make_graph(
    [helper.make_node("Shape", ["x"], ["y"])], "shape",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["height", "width"])],
    [helper.make_tensor_value_info("y", TensorProto.INT64, [2])],
)


def model_of(opset):
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


found = {}
for opset in (21, 15, 13):
    try:
        version_converter.convert_version(model_of(18), opset)
        found[opset] = "converted"
    except RuntimeError as error:
        found[opset] = str(error).rpartition("failed: ")[2]
    print(f"18 to {opset}: {found[opset]}")
session = onnxruntime.InferenceSession(
    model_of(13).SerializeToString(), providers=["CPUExecutionProvider"]
)
(shape,) = session.run(None, {"x": np.zeros((2, 3), np.float32)})
print("the number changed by hand to 13:", shape)
assert found[21] == found[15] == "converted"
assert found[13] == "No Adapter From Version $15 for Shape"
assert shape.tolist() == [2, 3]
PY
