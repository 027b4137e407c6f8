"""Results are written whole to files, and as they are to pipes; nothing else is put in a place."""

from __future__ import annotations

import io
import json
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

from srcli.cli.options import check_targets
from srcli.cli.text_files import escape_names, json_text, report_lines, write_json, write_text
from srcli.errors import UsageError
from srcli.pipelines.upscale.reporter import FileReport


@pytest.fixture
def pipe(tmp_path):
    """A named pipe with a reader, and what the reader got in the end."""
    name = tmp_path / "pipe"
    os.mkfifo(name)
    got: list[bytes] = []
    # Not blocking: without a writer there would be no end.
    reader = threading.Thread(target=lambda: got.append(name.read_bytes()), daemon=True)
    reader.start()
    return name, reader, got


def test_a_pipe_gets_the_text_and_stays_a_pipe(pipe):
    name, reader, got = pipe
    check_targets({"--json": name})
    write_json(str(name), {"a": 1})
    reader.join(10)
    assert got == [b'{\n  "a": 1\n}\n']
    assert stat.S_ISFIFO(name.lstat().st_mode)
    assert [each.name for each in name.parent.iterdir()] == ["pipe"]


def test_the_check_does_not_wait_for_a_reader_nor_replace_the_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    check_targets({"--csv": tmp_path / "pipe"})  # would hang if it opened the pipe
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


def test_a_reader_that_leaves_early_is_no_failure(tmp_path, capsys):
    name = tmp_path / "pipe"
    os.mkfifo(name)

    def read_a_little():
        with name.open("rb") as stream:
            stream.read(1)

    reader = threading.Thread(target=read_a_little, daemon=True)
    reader.start()
    write_text(str(name), "x" * 10_000_000)
    reader.join(10)
    assert "warning:" in (err := capsys.readouterr().err)
    assert str(name) in err


def test_names_of_open_pipes_can_be_written(tmp_path):
    reading, writing = os.pipe()
    target = f"/dev/fd/{writing}"
    if not os.path.exists(target):  # noqa: PTH110 - a name of the system, not a file of ours
        pytest.skip("no /dev/fd here")
    check_targets({"--csv": target})
    write_text(target, "a,b\n")
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.read() == "a,b\n"


@pytest.mark.parametrize("regular", [True, False])
def test_dev_stdout_follows_what_was_printed(tmp_path, regular):
    code = (
        "from srcli.cli.options import check_targets\n"
        "from srcli.cli.text_files import write_text\n"
        "print('before')\n"
        "check_targets({'--csv': '/dev/stdout'})\n"
        "write_text('/dev/stdout', 'text\\n')\n"
        "print('after')\n"
    )
    if not os.path.exists("/dev/stdout"):  # noqa: PTH110 - as above
        pytest.skip("no /dev/stdout here")
    file = tmp_path / "out"
    with file.open("wb") as stream:
        out = stream if regular else subprocess.PIPE
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=out,
            check=True,
            timeout=60,
        )
    printed = file.read_bytes() if regular else done.stdout
    assert printed == b"before\ntext\nafter\n"


def test_a_file_is_replaced_whole_with_its_mode_and_links_are_followed(tmp_path):
    (tmp_path / "old.json").write_text("old")
    (tmp_path / "old.json").chmod(0o600)
    (tmp_path / "link.json").symlink_to("old.json")
    write_text(str(tmp_path / "link.json"), "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "old.json").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "old.json").stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    (tmp_path / "old.json").write_text("old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UsageError, match=r"old\.json: cannot be written \(No space left"):
        write_text(str(tmp_path / "old.json"), "new")
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_bytes_that_are_not_utf8_are_escaped(tmp_path, monkeypatch):
    name = os.fsdecode(b"a\xff.png")
    write_text(str(tmp_path / "a.csv"), name)
    assert (tmp_path / "a.csv").read_text() == r"a\udcff.png"
    raw = io.BytesIO()
    strict = io.TextIOWrapper(raw, encoding="utf-8", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", strict)
    write_text("-", name)
    assert raw.getvalue() == rb"a\udcff.png"


def test_streams_that_keep_the_bytes_of_names_go_on_to_do_so(monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    escape_names()
    sys.stdout.write(os.fsdecode(b"a\xff.png"))
    assert raw.getvalue() == b"a\xff.png"


def test_json_has_no_number_that_is_not_finite():
    values = {"a": math.nan, "b": (1.5, -math.inf), 3: [None, True]}
    text = json_text(values)
    assert json.loads(text) == {"a": None, "b": [1.5, None], "3": [None, True]}
    assert text.endswith("}\n")


def done(name: str) -> FileReport:
    return FileReport(source=Path(name), target=Path("out") / name, state="done")


def test_names_of_any_bytes_survive(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    with report_lines(tmp_path / "r.jsonl") as write:
        write(done(name))
        write(done("Straße.png"))
    text = (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    assert "Straße.png" in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert os.fsencode(lines[0]["source"]) == b"caf\xe9.png"
    assert lines[1]["source"] == "Straße.png"


def test_a_run_over_a_name_that_is_not_utf8(srx, tmp_path, astronaut):
    folder = tmp_path / "in"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"caf\xe9.png")).touch()
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    Image.fromarray(astronaut[:16, :16]).save(folder / os.fsdecode(b"caf\xe9.png"), "PNG")
    report = tmp_path / "r.jsonl"
    result = srx("upscale", folder, tmp_path / "out", "-m", "bicubic", "--report", report)
    assert result.code == 0, result.err
    assert json.loads(report.read_text())["state"] == "done"


def test_a_picture_is_not_taken_for_a_report(srx, tmp_path, astronaut):
    folder = tmp_path / "in"
    folder.mkdir()
    picture = folder / "c.png"
    Image.fromarray(astronaut[:16, :16]).save(picture)
    before = picture.read_bytes()
    for report in (picture, tmp_path / "out" / "c.png", tmp_path / "new.JPG"):
        result = srx("upscale", folder, tmp_path / "out", "-m", "bicubic", "--report", report)
        assert result.code == 2
        assert f"--report {report}: is the name of a picture" in result.err
    assert picture.read_bytes() == before
    assert not (tmp_path / "out").exists()
    picture.rename(folder / "nameless")
    (tmp_path / "link").symlink_to(folder / "nameless")
    for report in (folder / "nameless", tmp_path / "link"):
        result = srx(
            "upscale", folder / "nameless", tmp_path / "o", "-m", "bicubic", "--report", report
        )
        assert result.code == 2
        assert "exists and is no report" in result.err
    assert (folder / "nameless").read_bytes() == before


def test_former_reports_and_empty_files_are_written_anew(tmp_path):
    report = tmp_path / "r.jsonl"
    for former in ("", '{"source": "former.png"}\n'):
        report.write_text(former)
        with report_lines(report) as write:
            write(done("a.png"))
        assert [json.loads(line)["source"] for line in report.read_text().splitlines()] == ["a.png"]


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path):
    with (
        pytest.raises(UsageError, match=r"--report .*r\.jsonl: cannot be written \(No such file"),
        report_lines(tmp_path / "no" / "r.jsonl"),
    ):
        pass


def test_lines_that_fail_later_are_told_once(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close(), daemon=True)
    reader.start()
    with report_lines(pipe) as write:
        reader.join(10)
        for name in ("a.png", "b.png", "c.png"):
            write(done(name))
    err = capsys.readouterr().err
    assert err.count("warning:") == 1
    assert f"--report {pipe}: cannot be written (Broken pipe)" in err
    assert "a.png" in err
