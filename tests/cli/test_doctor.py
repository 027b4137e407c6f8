"""``srx doctor`` shows what a bug report needs."""

from __future__ import annotations

import json

import torch

import srcli


def test_versions_devices_weights_and_data_are_shown(srx, tmp_path, monkeypatch):
    (tmp_path / "benchmarks" / "Mine").mkdir(parents=True)
    monkeypatch.setenv("SRX_DATA", str(tmp_path))
    result = srx("doctor")
    assert result.code == 0, result.err
    for part in (srcli.__version__, f"torch {torch.__version__}", "g-idrn x2 x3 x4", "cpu"):
        assert part in result.out
    found = json.loads(srx("doctor", "--json", "-").out)
    assert found["SRX_DATA"].endswith("sets: Mine")
    assert "png" in found["formats"]
