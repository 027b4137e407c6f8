"""Upscale a picture by a file of 'srx export', with onnxruntime, numpy and Pillow alone.

run_onnx.py MODEL.onnx IN OUT
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
from PIL import Image

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
facts = session.get_modelmeta().custom_metadata_map
scale, edge = int(facts["scale"]), int(facts["edge"])
minimum, step = int(facts["minimum"]), int(facts["multiple_of"])

picture = np.asarray(Image.open(source).convert("RGB"))
height, width = picture.shape[:2]
sides = [-(-max(n + 2 * edge, minimum) // step) * step for n in (height, width)]
padding = [(edge, sides[0] - height - edge), (edge, sides[1] - width - edge), (0, 0)]
padded = np.pad(picture, padding, mode="symmetric").transpose(2, 0, 1)[None]
(out,) = session.run(None, {"input": padded.astype(np.float32) / 255})[0]
top, bottom, right = edge * scale, (edge + height) * scale, (edge + width) * scale
pixels = out.transpose(1, 2, 0)[top:bottom, top:right]
Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(target)
