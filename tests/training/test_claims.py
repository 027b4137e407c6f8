"""Claims keep processes apart, and end with them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from srcli.errors import DataError
from srcli.training import claims
from srcli.training.claims import claim

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")


def test_one_at_a_time(tmp_path):
    file = tmp_path / "claims" / "key.lock"
    with claim(file) as first:
        assert first
        with claim(file) as second:
            assert not second
        with claim(file.with_name("other.lock")) as other:
            assert other
    with claim(file) as again:
        assert again


def test_a_killed_process_leaves_nothing_that_matters(tmp_path):
    file = tmp_path / "key.lock"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from srcli.training.claims import claim\n"
        "with claim(Path(sys.argv[1])) as own:\n"
        "    print(own, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with claim(file) as own:
            assert not own
        process.send_signal(signal.SIGKILL)
        process.wait()
        with claim(file) as own:
            assert own


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "claims").touch()
    with (
        pytest.raises(DataError, match=r"key\.lock: cannot be written"),
        claim(tmp_path / "claims" / "key.lock"),
    ):
        pass


def test_a_file_that_was_removed_is_nobodys(tmp_path, monkeypatch):
    file = tmp_path / "key.lock"
    lock = claims._lock

    def late(stream):
        file.unlink()  # by its former holder, between opening and locking
        return lock(stream)

    monkeypatch.setattr(claims, "_lock", late)
    with claim(file) as own:
        assert not own
