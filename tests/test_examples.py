"""The example scripts do what their first lines say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.evaluation.sets import find_set
from srcli.imaging.resize import downscale

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def run(monkeypatch):
    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")

    return call


def test_degraded_pictures_are_a_set_that_eval_reads(run, tmp_path, astronaut, capsys):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name, picture in [("one", astronaut), ("two", astronaut[:61, :47])]:
        Image.fromarray(np.ascontiguousarray(picture)).save(source / f"{name}.png")
    run("degrade_pictures.py", out, source, "--scale", 4)
    assert f"--hr {out / 'HR'} --lr {out / 'LR_photo' / 'X4'}" in capsys.readouterr().out
    for name in ("bicubic", "photo", "aerial"):
        found = find_set(str(out / "HR"), 4, lr_folder=out / f"LR_{name}" / "X4")
        assert [item.name for item in found.items] == ["one", "two"]
        assert not found.missing
        assert not found.orphans
        for item in found.items:
            assert item.hr is not None
            assert item.lr is not None
            hr, lr = np.asarray(Image.open(item.hr)), np.asarray(Image.open(item.lr))
            assert hr.shape == (4 * lr.shape[0], 4 * lr.shape[1], 3)
            assert np.array_equal(lr, downscale(hr, 4)) == (name == "bicubic")
    before = (out / "LR_aerial" / "X4" / "onex4.png").read_bytes()
    run("degrade_pictures.py", out, source)
    assert (out / "LR_aerial" / "X4" / "onex4.png").read_bytes() == before
    run("degrade_pictures.py", out, source, "--seed", 1)
    assert (out / "LR_aerial" / "X4" / "onex4.png").read_bytes() != before


def test_pictures_that_are_not_there_are_told_in_one_line(run, tmp_path):
    with pytest.raises(SystemExit, match="no such file"):
        run("degrade_pictures.py", tmp_path / "out", tmp_path / "none")
