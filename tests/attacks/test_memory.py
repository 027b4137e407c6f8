"""Ceilings: the memory of a run does not grow with what its photographs become."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.opening import open_picture

pytestmark = [
    pytest.mark.attack,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise"),
]
SIZE = 8000, 5000


RUN = """
import re, sys
from pathlib import Path
from srcli.cli.main import main
try:
    sys.exit(main())
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def peak(*arguments):
    """Run ``srx`` and return the most memory that it took, in MiB."""
    command = [sys.executable, "-c", RUN, *map(str, arguments), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    )
    return int(result.stdout.split()[-1]) >> 10


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photograph(tmp_path, astronaut, tell, orientation):
    times = (SIZE[1] // astronaut.shape[0] + 1, SIZE[0] // astronaut.shape[1] + 1, 1)
    pixels = np.tile(astronaut, times)[: SIZE[1], : SIZE[0]]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "large.jpg", exif=exif)
    Image.fromarray(astronaut).save(tmp_path / "small.jpg", exif=exif)
    settings = ["-m", "bicubic", "-s", "2"]
    usual = peak("upscale", tmp_path / "small.jpg", tmp_path / "a.jpg", *settings)
    most = peak("upscale", tmp_path / "large.jpg", tmp_path / "b.jpg", *settings)
    result = open_picture(tmp_path / "b.jpg")
    assert sorted((result.height, result.width)) == sorted((2 * SIZE[0], 2 * SIZE[1]))
    tell(
        f"40 megapixels x2, orientation {orientation}: {most} MiB; 20 kilopixels: {usual} MiB"
    )
    # the pixels, and Pillow's copy in four bytes each while they are read; the result
    # has 458 MiB
    assert most - usual < 450
