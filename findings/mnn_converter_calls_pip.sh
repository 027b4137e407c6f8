#!/bin/bash
# mnnconvert of the Python package MNN 3.6.1 turns an ONNX model into a MNN one, and on the way calls "pip install -U
# aliyun-log-python-sdk" in the environment it runs in, before it converts, so that it can send its makers figures of use. Its --help
# has no word and no option for it. In an environment with onnx 1.23.2 what came with that package took protobuf back from 7 to 5.29.6,
# and onnx could not be imported any more. Here a file named pip stands in for pip and notes how it is called: nothing is installed or
# sent. Seen:
#   converted: True; pip was called with: install -U aliyun-log-python-sdk
# What helps: to convert in an environment of its own, without a network. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 onnx==1.23.2
"$folder/venv/bin/pip" install -q --no-deps MNN==3.6.1
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

shape = [1, 3, 8, 8]
kernel = numpy_helper.from_array(np.ones((3, 3, 3, 3), "float32"), "kernel")
node = helper.make_node("Conv", ["x", "kernel"], ["y"], pads=[1, 1, 1, 1])
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
graph = helper.make_graph([node], "one_convolution", ends[:1], ends[1:], [kernel])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
onnx.save(model, "model.onnx")
PY
mkdir stand_in
printf '#!/bin/bash\necho "$*" >> "%s/calls"\n' "$folder" > stand_in/pip
chmod +x stand_in/pip
touch calls
PATH="$folder/stand_in:$PATH" "$folder/venv/bin/mnnconvert" -f ONNX --modelFile model.onnx --MNNModel model.mnn --bizCode x > log 2>&1
converted=False
if [ -s model.mnn ]; then converted=True; fi
echo "converted: $converted; pip was called with: $(sort -u calls)"
[ "$converted" = True ]
[ "$(sort -u calls)" = "install -U aliyun-log-python-sdk" ]
