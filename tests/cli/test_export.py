"""`srx export`: names of files, what is printed, what is refused."""

from __future__ import annotations

import json

import pytest


def test_an_export_says_what_was_written_and_checked(srx, tmp_path):
    file = tmp_path / "bicubic.pt"
    result = srx("export", file, "-m bicubic -s 2 --json", tmp_path / "out.json", "-v")
    assert result.code == 0
    assert "bicubic x2" in result.out
    assert "differs from PyTorch by 0.0000 levels of 255" in result.out
    assert "  input_range: 0..1" in result.out
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["metadata"]["scale"] == "2"
    assert content["parities"][0]["largest"] < 0.0002  # levels of 255
    again = srx("export", file, "-m bicubic -s 2", code=2)
    assert "exists already; give --overwrite" in again.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("net.tflite", "the name must end in .onnx or .pt or .param"),
        ("none/net.pt", "there is no folder none"),
        ("net.pt --size 12", "is not WIDTHxHEIGHT"),
        ("net.pt -m none", "no model 'none'"),
    ],
)
def test_wrong_usage_is_refused(srx, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in srx("export", *arguments.split(), code=2).err
    assert not list(tmp_path.iterdir())
