#!/bin/bash
# pillow-jxl-plugin 1.3.8 opens an animation in JPEG XL as one picture, and that is its last frame: n_frames is 1,
# is_animated False, and nothing warns. Of animated GIF, WebP, PNG and AVIF Pillow 13.0.0 shows the first, and counts all.
# imagecodecs 2026.3.6, by the same libjxl, gives every frame. Seen, of four frames of the grays 20, 80, 140 and 200:
#   n_frames 1, is_animated False, gray 200; imagecodecs: 20 80 140 200; GIF by Pillow: n_frames 4, gray 20
# What helps: imagecodecs.jpegxl_decode. This script fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0 pillow-jxl-plugin==1.3.8 imagecodecs==2026.3.6
"$folder/venv/bin/python" -W ignore - <<'PY'
import io

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 - which registers the format
from PIL import Image

GRAYS = (20, 80, 140, 200)
frames = np.stack([np.full((32, 32, 3), gray, np.uint8) for gray in GRAYS])
animation = imagecodecs.jpegxl_encode(frames, lossless=True)
decoded = [int(frame.mean()) for frame in imagecodecs.jpegxl_decode(animation)]
image = Image.open(io.BytesIO(animation))
seen = image.n_frames if hasattr(image, "n_frames") else 1, image.is_animated
shown = int(np.asarray(image.convert("RGB")).mean())

stream = io.BytesIO()
first, *others = map(Image.fromarray, frames)
first.save(stream, "GIF", save_all=True, append_images=others)
gif = Image.open(stream)
of_gif = gif.n_frames, int(np.asarray(gif.convert("RGB")).mean())
print(
    f"n_frames {seen[0]}, is_animated {seen[1]}, gray {shown}; imagecodecs: "
    f"{' '.join(map(str, decoded))}; GIF by Pillow: n_frames {of_gif[0]}, gray {of_gif[1]}"
)
assert decoded == list(GRAYS)
assert (*seen, shown) == (1, False, 200)
assert of_gif == (4, 20)
PY
