"""`srx upscale --dry-run` prints whatever name a file has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from PIL import Image


def test_names_that_are_not_utf8_are_shown_escaped(tmp_path, astronaut):
    folder = tmp_path / "in"
    folder.mkdir()
    picture = folder / os.fsdecode(b"caf\xe9.png")
    try:
        picture.touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    Image.fromarray(astronaut[:16, :16]).save(picture, "PNG")
    done = subprocess.run(
        [sys.executable, "-m", "srcli", "upscale", folder, tmp_path / "out", "--dry-run"],
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert rb"caf\udce9.png" in done.stdout
