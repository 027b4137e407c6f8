"""Large arrays lie in files that leave nothing behind, and keep their values."""

from __future__ import annotations

import os

import numpy as np
import pytest

from srcli.imaging import mapped
from srcli.imaging.mapped import empty_array, release


@pytest.mark.skipif(os.name == "nt", reason="an open file keeps its name on Windows")
def test_large_arrays_lie_in_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 299)
    assert empty_array((10, 10, 3), np.uint8).base is None
    assert empty_array((99, 3), np.uint8, tmp_path).base is None
    large = empty_array((10, 10, 3), np.uint8, tmp_path)
    assert type(large.base).__name__ == "mmap"
    assert list(tmp_path.iterdir()) == []
    values = np.arange(300, dtype=np.uint16).astype(np.uint8).reshape(10, 10, 3)
    large[...] = values
    for array in (large, large[2:, :, :1], np.empty(3)):
        release(array)
    np.testing.assert_array_equal(large, values)


def test_a_missing_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LARGEST_IN_MEMORY", 0)
    with pytest.raises(FileNotFoundError):
        empty_array((3, 3), np.uint8, tmp_path / "none")
