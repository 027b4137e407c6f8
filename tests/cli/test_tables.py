"""Tables of the terminal: names as they are, whole where no terminal gives a width."""

from __future__ import annotations

import os
import subprocess
import sys

from PIL import Image


def test_names_stay_whole_and_unread_in_a_job_without_a_terminal(tmp_path, astronaut):
    """Names hold what rich would read as markup, and a width of 80 would break them."""
    folder = tmp_path / "aerial_pictures_of_a_long_name"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "a_town_from_low_above[bold]:smile:.png")
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "srcli", "eval", "-m", "bicubic", "-m", "g-idrn-aerial"]
    options = ["-s", "4", "--data", str(folder), "--no-cost", "-v"]
    done = subprocess.run(
        command + options,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [x for x in done.stdout.splitlines() if "smile" in x and "bicubic" not in x]
    assert "aerial_pictures_of_a_long_name/a_town_from_low_above[bold]:smile:" in line
    assert "g-idrn-aerial" in line
    assert all(len(line) <= 200 for line in done.stdout.splitlines() if folder.name in line)
