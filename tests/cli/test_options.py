"""Options of several commands: files that cannot be written are refused at once."""

from __future__ import annotations

import os
import tempfile

import pytest

from srcli.cli.options import check_targets, held_out_names
from srcli.errors import UsageError


def test_files_that_can_be_written_leave_nothing_behind(tmp_path):
    (tmp_path / "old.html").write_text("old")
    check_targets({"--json": tmp_path / "a.json", "--html": tmp_path / "old.html", "--csv": None})
    check_targets({"--json": "-"})
    assert [each.name for each in tmp_path.iterdir()] == ["old.html"]
    assert (tmp_path / "old.html").read_text() == "old"


def test_a_folder_that_takes_no_files_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match=r"--html .*a\.html: cannot be written, Permission denied"):
        check_targets({"--html": tmp_path / "a.html"})


def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--json .*: cannot be written, \w+"):
        check_targets({"--json": tmp_path / ("a" * 300)})


def test_folders_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        check_targets({"--json": tmp_path})
    with pytest.raises(UsageError, match="there is no folder"):
        check_targets({"--json": tmp_path / "no" / "a.json"})
    with pytest.raises(UsageError, match="only one of --json, --csv"):
        check_targets({"--json": "-", "--csv": "-"})


def test_two_texts_for_one_file_are_refused(tmp_path):
    target, link = tmp_path / "a.json", tmp_path / "b.json"
    link.symlink_to(target)
    with pytest.raises(UsageError, match="--json and --html are both"):
        check_targets({"--json": target, "--csv": tmp_path / "a.csv", "--html": link})
    check_targets({"--json": os.devnull, "--csv": os.devnull})


def test_names_to_hold_out_come_from_the_command_line_and_from_files(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("cup\n\n face \n", encoding="utf-8")
    assert held_out_names(()) == (None, ())
    assert held_out_names(("none",)) == ((), ())
    assert held_out_names(("suit", str(file))) == (("suit",), ("cup", "face"))
    with pytest.raises(UsageError, match="alone"):
        held_out_names(("none", "suit"))
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(UsageError, match="no photograph"):
        held_out_names((str(file),))
