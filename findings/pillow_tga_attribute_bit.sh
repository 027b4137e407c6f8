#!/bin/bash
# Pillow 13.0.0 reads the highest bit of a 16-bit TGA as transparency, the wrong way round, even where the header says that there are
# no attribute bits: of two red pixels, 0x7C00 and 0xFC00, the second one becomes invisible. FFmpeg (PyAV 18.1.0) and SDL_image (pygame-ce
# 2.5.8) show both. Tools that set the bit for "opaque" give textures that vanish in Pillow. Seen on Linux, x86-64:
#   Pillow: RGBA (255, 0, 0, 255) (255, 0, 0, 0)
#   FFmpeg: rgb555le, no transparency
#   SDL_image: (255, 0, 0, 255) (255, 0, 0, 255)
# Fails where that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 pillow==13.0.0 pygame-ce==2.5.8
SDL_VIDEODRIVER=dummy PYGAME_HIDE_SUPPORT_PROMPT=1 "$folder/venv/bin/python" - "$folder/two.tga" <<'PY'
import struct
import sys

import av
import pygame
from PIL import Image

# an uncompressed picture of 16 pixels of 16 bits; the last byte says: 0 attribute bits
header = struct.pack("<3B2HB4H2B", 0, 0, 2, 0, 0, 0, 0, 0, 16, 1, 16, 0)
with open(sys.argv[1], "wb") as file:
    file.write(header + 8 * struct.pack("<2H", 0x7C00, 0xFC00))
picture = Image.open(sys.argv[1])
by_pillow = [picture.getpixel((column, 0)) for column in (0, 1)]
print("Pillow:", picture.mode, *by_pillow)
with av.open(sys.argv[1]) as container:
    frame = next(container.decode(video=0))
has_alpha = any(component.is_alpha for component in frame.format.components)
print(f"FFmpeg: {frame.format.name}, {'' if has_alpha else 'no '}transparency")
surface = pygame.image.load(sys.argv[1])
by_sdl = [tuple(surface.get_at((column, 0))) for column in (0, 1)]
print("SDL_image:", *by_sdl)
assert by_pillow == [(255, 0, 0, 255), (255, 0, 0, 0)]
assert not has_alpha
assert by_sdl == [(255, 0, 0, 255)] * 2
PY
