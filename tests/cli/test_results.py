"""Results as text: whole files, pipes as they are, ``--report``, and refusals before any work."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import threading
from operator import itemgetter
from pathlib import Path

import pytest
from PIL import Image

from srcli.cli.console import json_text, write_text
from srcli.cli.options import check_targets, parse_hold_out
from srcli.errors import UsageError


def read_pipe(name, count=-1):
    """Make a pipe whose reader takes so many bytes; return its thread, and what it got."""
    os.mkfifo(name)
    got: list[bytes] = []

    def read():
        with name.open("rb") as stream:
            got.append(stream.read(count))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, got


@pytest.mark.posix
def test_a_pipe_gets_the_text_and_stays_a_pipe(tmp_path):
    name = tmp_path / "pipe"
    reader, got = read_pipe(name)
    check_targets({"--json": name})
    write_text(str(name), json_text({"a": 1}))
    reader.join(10)
    assert got == [b'{\n  "a": 1\n}\n']
    assert stat.S_ISFIFO(name.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [name]
    check_targets({"--csv": name})  # would hang if it opened the pipe


@pytest.mark.posix
def test_a_reader_that_leaves_early_is_no_failure(tmp_path, capsys):
    read_pipe(tmp_path / "pipe", 1)
    write_text(str(tmp_path / "pipe"), "x" * 10_000_000)
    assert f"warning: {tmp_path / 'pipe'}" in capsys.readouterr().err


@pytest.mark.posix
def test_a_file_is_replaced_whole_with_its_mode_and_links_are_followed(tmp_path):
    (tmp_path / "old.json").write_text("old")
    (tmp_path / "old.json").chmod(0o600)
    (tmp_path / "link.json").symlink_to("old.json")
    write_text(str(tmp_path / "link.json"), "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "old.json").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "old.json").stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.posix
def test_bytes_that_are_not_utf8_are_escaped(tmp_path, monkeypatch):
    name = os.fsdecode(b"a\xff.png")
    write_text(str(tmp_path / "a.csv"), name)
    assert (tmp_path / "a.csv").read_text() == r"a\udcff.png"
    for errors, expected in (
        ("strict", rb"a\udcff.png"),
        ("surrogateescape", b"a\xff.png"),
    ):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(
            raw, encoding="utf-8", errors=errors, write_through=True
        )
        monkeypatch.setattr(sys, "stdout", stream)
        write_text("-", name)
        assert raw.getvalue() == expected


@pytest.mark.posix
def test_files_that_cannot_be_written_are_refused_before_any_work(tmp_path):
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    for targets, message in (
        ({"--json": tmp_path}, "is a folder"),
        ({"--json": tmp_path / "no" / "a.json"}, "there is no folder"),
        ({"--json": tmp_path / ("a" * 300)}, r"--json .*: cannot be written, \w+"),
        ({"--json": "-", "--csv": "-"}, "--json and --csv are both -"),
        (
            {"--json": tmp_path / "a.json", "--html": tmp_path / "b.json"},
            "--json and --html are",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            check_targets(targets)

    check_targets({"--json": "-", "--csv": os.devnull, "--html": tmp_path / "c.html"})
    assert list(tmp_path.iterdir()) == [tmp_path / "b.json"]


def test_names_to_hold_out():
    assert parse_hold_out(()) is None
    assert parse_hold_out(("none",)) == ()
    assert parse_hold_out(("suit", "cup")) == ("suit", "cup")
    with pytest.raises(UsageError, match="alone"):
        parse_hold_out(("none", "suit"))


@pytest.fixture
def upscale(srx, tmp_path, astronaut):
    """Upscale a folder of one picture with this report."""
    folder = tmp_path / "in"
    folder.mkdir()
    picture = Image.fromarray(astronaut[:16, :16])
    picture.save(folder / "Straße.png")

    def call(report, *names, **code):
        for name in names:
            picture.save(folder / name, "PNG")
        words = ("upscale", folder, tmp_path / "out", "-m", "bicubic", "--overwrite")
        return srx(*words, "--report", report, **code)

    return call


@pytest.mark.posix
def test_names_of_any_bytes_survive_and_former_reports_are_written_anew(
    upscale, tmp_path
):
    name = os.fsdecode(b"caf\xe9.png")
    try:
        (tmp_path / "in" / name).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    report = tmp_path / "r.jsonl"
    for former in ("", '{"source": "former.png"}\n'):
        report.write_text(former)
        upscale(report, tmp_path / "in" / name, code=0)
        text = report.read_text(encoding="utf-8")
        assert "Straße.png" in text
        lines = list(map(json.loads, text.splitlines()))
        assert [Path(line["source"]).name for line in lines] == ["Straße.png", name]
        assert set(map(itemgetter("state"), lines)) == {"done"}


@pytest.mark.posix
def test_a_picture_is_not_taken_for_a_report(upscale, tmp_path):
    picture = tmp_path / "in" / "Straße.png"
    before = picture.read_bytes()
    (tmp_path / "link").symlink_to(picture)
    for report in (picture, tmp_path / "link"):
        result = upscale(report, code=2)
        assert f"--report {report}: exists and is no report" in result.err
    result = upscale(Path("-"))
    assert (result.code, "--report -: give the name of a file" in result.err) == (
        2,
        True,
    )
    assert picture.read_bytes() == before
    assert not (tmp_path / "out").exists()
    result = upscale(tmp_path / "no" / "r.jsonl")
    assert (result.code, "cannot be written (No such file" in result.err) == (2, True)


def test_lines_that_fail_later_are_told_once(upscale, tmp_path):
    reader, _ = read_pipe(tmp_path / "pipe", 0)
    result = upscale(tmp_path / "pipe", "a.png", "b.png")
    reader.join(10)
    assert result.code == 1
    assert result.err.count("error:") == 1
    assert (
        f"--report {tmp_path / 'pipe'}: cannot be written (Broken pipe)" in result.err
    )
