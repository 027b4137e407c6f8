"""Parts of an unfinished raster: kept, damaged, of other options, of two runs at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srcli.errors import PictureError
from srcli.imaging.rasters import parts as parts_module
from srcli.imaging.rasters.merging import merge_parts
from srcli.imaging.rasters.part_writing import PartWriter
from srcli.imaging.rasters.parts import Parts, parts_folder
from srcli.imaging.rasters.resuming import describe_changes, has_unfinished_parts, open_parts

MARK = {"model": "a", "part": (1, 2)}
ROWS = 1100


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(parts_module, "_LEAST_PIXELS", 1)


@pytest.fixture
def pixels(noise):
    return noise((ROWS, 20, 3))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out.tif"


@pytest.fixture
def begin(save, plan, pixels, target):
    """Open the five parts of an output: ``begin(mark, resume=True)``."""
    out = plan(save("in.tif", pixels))
    return lambda mark=MARK, **options: open_parts(target, out, mark, **options)


@pytest.fixture
def folder(begin, pixels, target):
    """The folder of a run that was stopped after 2 of 5 parts and some rows."""
    with begin() as (parts, _):
        writer = PartWriter(parts, range(5))
        writer.write(0, pixels[:700])
    return parts_folder(target)


def left(begin, **options):
    with begin(**options) as (parts, notes):
        return parts.missing(), notes


@pytest.mark.parametrize(
    ("width", "rows"), [(1, 1_000_192), (600, 1792), (3906, 512), (3907, 256), (10**6, 64)]
)
def test_parts_have_a_megapixel_and_whole_blocks(save, plan, tmp_path, noise, width, rows):
    out = plan(save("in.tif", noise((1, 1, 1))))
    object.__setattr__(out, "width", width)
    parts_module._LEAST_PIXELS = 1_000_000
    assert Parts(tmp_path / "a.tif", out).rows == rows


@given(
    width=st.integers(1, 300_000),
    height=st.integers(1, 20_000),
    bands=st.integers(1, 8),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    data=st.data(),
)
def test_any_parts_cover_all_rows_once(width, height, bands, dtype, data):
    output: Any = SimpleNamespace(width=width, height=height, bands=range(bands), dtype=dtype)
    parts = Parts(Path("a.tif"), output)
    spans = [parts.span(number) for number in range(parts.count)]
    assert (spans[0].start, spans[-1].stop) == (0, height)
    assert all(above.stop == below.start for above, below in pairwise(spans))
    assert all(len(span) == parts.rows for span in spans[:-1])
    assert 0 < len(spans[-1]) <= parts.rows
    there = data.draw(st.sets(st.integers(0, parts.count - 1)))
    with patch.object(Parts, "found", lambda self: dict.fromkeys(there)):
        runs = parts.missing()
    assert sorted([*there, *(number for run in runs for number in run)]) == [*range(parts.count)]
    assert all(first.stop < second.start for first, second in pairwise(runs))


def test_complete_parts_are_kept(begin, folder):
    for _ in range(2):  # looking does no harm
        assert left(begin) == ([range(2, 5)], ())
    assert folder.stat().st_mode & 0o077 == 0


def test_any_parts_may_be_missing(begin, folder, pixels, target, write_parts):
    with begin() as (parts, _):
        writer = PartWriter(parts, range(3, 4))
        writer.write(700, pixels[700:])
        writer.finish()
        assert parts.missing() == [range(2, 3), range(4, 5)]
        assert parts.span(4) == range(1024, 1100)
        write_parts(parts, pixels)
        merge_parts(parts)
    assert not folder.exists()
    assert target.exists()


def test_files_that_are_no_parts_are_removed(begin, folder):
    names = {path.name for path in folder.iterdir()}
    (folder / "0123456789abcdef.part").write_bytes(b"half a part")
    (folder / "result").mkdir()
    (folder / "result" / "out.tif").write_bytes(b"half a result")
    left(begin)
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: data[:-9] + b"?" + data[-8:], lambda data: b""],
    ids=["short", "changed", "empty"],
)
def test_damaged_parts_are_made_again(begin, folder, damage):
    first = min(folder.glob("part-*"))
    first.write_bytes(damage(first.read_bytes()))
    wanted = "earlier work on out.tif is damaged: 1 of 2 parts are made again"
    assert left(begin) == ([range(1), range(2, 5)], (wanted,))
    assert left(begin) == ([range(1), range(2, 5)], ())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"srx":1}', b'{"srx":2,"fingerprint":3}'])
def test_a_plan_that_cannot_be_read_starts_over(begin, folder, text):
    (folder / "plan.json").write_bytes(text)
    assert left(begin) == ([range(5)], ())
    assert not folder.exists()  # nothing is done that could be continued


def test_another_model_starts_over_and_says_so(begin, folder):
    words = "earlier work on out.tif is not continued: model was a, is b"
    assert left(begin, mark={**MARK, "model": "b"}) == ([range(5)], (words,))
    assert not folder.exists()


def test_starting_over_on_purpose_says_nothing(begin, folder):
    assert left(begin, resume=False) == ([range(5)], ())


def test_another_form_of_the_file_keeps_the_parts(begin, folder, save, plan, pixels, target):
    other = plan(save("in.tif", pixels), cog=True, creation={"COMPRESS": "LZW"})
    with open_parts(target, other, MARK) as (parts, notes):
        assert (parts.missing(), notes) == ([range(2, 5)], ())
    masked = plan(save("in.tif", pixels, nodata=3), creation={"COMPRESS": "JPEG"})
    with open_parts(target, masked, MARK) as (parts, notes):
        assert parts.missing() == [range(5)]
        assert "layout of the file was" in notes[0]


def test_two_runs_are_told_apart(begin, target):
    with begin() as (parts, _):
        with pytest.raises(PictureError, match=r"another srx is writing this file"), begin():
            pass
        assert parts.folder.exists()
    with begin():
        pass


def test_a_killed_process_blocks_nobody(begin, target, tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom srcli.files import lock_file\n"
        "with lock_file(Path(sys.argv[1])) as locked:\n"
        "    print(locked, flush=True)\n    sys.stdin.read()\n"
    )
    folder = parts_folder(target)
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", code, folder / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        with pytest.raises(PictureError, match="another srx"), begin():
            pass
        other.kill()
        other.wait()
        assert left(begin) == ([range(5)], ())


def test_a_link_in_place_of_the_folder_is_not_followed(begin, target, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "plan.json").write_text("precious")
    parts_folder(target).symlink_to(elsewhere)
    with pytest.raises(PictureError, match=r"out.tif: .*\.parts is in the way; remove it"), begin():
        pass
    assert (elsewhere / "plan.json").read_text() == "precious"
    assert len(list(elsewhere.iterdir())) == 1


def test_targets_that_cannot_be_written(save, plan, tmp_path, noise):
    out = plan(save("in.tif", noise((20, 20, 1))))
    (tmp_path / "folder").mkdir()
    for target, words in (
        (tmp_path / "folder", "is a folder"),
        (tmp_path / "missing" / "out.tif", "folder does not exist"),
    ):
        with pytest.raises(PictureError, match=words), open_parts(target, out, {}):
            pass


def test_work_beside_an_older_file(begin, folder, target, pixels, write_parts):
    target.write_bytes(b"old")
    assert has_unfinished_parts(target)
    with begin() as (parts, _):
        write_parts(parts, pixels)
        merge_parts(parts)
    assert not has_unfinished_parts(target)


def test_parts_of_a_finished_file_go_without_a_word(begin, folder, target):
    target.write_bytes(b"finished, then killed before the parts were removed")
    state = target.stat()
    text = json.dumps({"size": state.st_size, "time": state.st_mtime_ns})
    (folder / "done.json").write_text(text)
    assert not has_unfinished_parts(target)
    assert not folder.exists()


def test_a_run_killed_while_it_removes_its_parts_leaves_them_to_the_next(begin, folder, target):
    target.write_bytes(b"done")
    Parts(target, SimpleNamespace()).note_done(target)  # type: ignore[arg-type]
    with patch("shutil.rmtree", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        has_unfinished_parts(target)
    assert [file.name for file in folder.iterdir()] == ["done.json"]
    assert not has_unfinished_parts(target)
    assert not folder.exists()


def test_changes_are_named_with_both_values():
    old = {"model": "a", "scale": 2, "same": [1], "long": "x" * 50, "gone": 1}
    new = {"model": "b", "scale": 4, "same": [1], "long": "x" * 50 + "y", "come": 2}
    assert describe_changes(old, old) == ""
    assert describe_changes(old, new) == (
        "model was a, is b; scale was 2, is 4; long has changed; and 2 more"
    )


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users are told apart on POSIX only")
def test_a_folder_of_another_user_is_refused(begin, folder, monkeypatch):
    real = Path.lstat

    def of_another(path):
        state = real(path)
        return SimpleNamespace(st_uid=state.st_uid + 1, st_mode=state.st_mode)

    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 2)
    with begin():  # as on disks without owners
        pass
    monkeypatch.setattr(Path, "lstat", of_another)
    with pytest.raises(PictureError, match="belongs to another user"), begin():
        pass
