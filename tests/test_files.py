"""Files appear whole or not at all."""

from __future__ import annotations

import pytest

from srcli.files import replacing, write_whole


def test_a_file_appears_whole_under_any_name(tmp_path):
    file = tmp_path / ("x" * 255)  # no room for a longer name beside it
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_failing_write_leaves_the_former_file(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    write_whole(file, b"old")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(file, b"half")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_interruption_leaves_nothing_behind(tmp_path):
    file = tmp_path / "a.json"

    def interrupted():
        with replacing(file, tmp_path / "b.part") as part:
            part.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_former_file_stays_until_the_new_one_is_complete(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b"old")
    with replacing(file) as part:
        part.write_bytes(b"new")
        assert file.read_bytes() == b"old"
        assert part.parent == tmp_path
        assert part.name.startswith(".")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]
