"""`--report`: any name of a file survives, nothing of value is overwritten, a full disk is told."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from PIL import Image

from srcli.cli.report import report_lines
from srcli.errors import UsageError
from srcli.pipelines.upscale.reporter import FileReport


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
