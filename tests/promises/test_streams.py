"""One picture goes through standard input and output, and nothing else does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from srcli.cli.main import run
from srcli.imaging.pixels.resize import resize
from tests.fixtures.photographs import write_by_gdal
from tests.fixtures.pictures import read_pixels

SMALL = ("-m", "bicubic", "-s", "2")


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (14, 18, 3), np.uint8)


@pytest.fixture
def pipe(monkeypatch, capfdbinary):
    """Run srx with these bytes as standard input, a pipe: ``pipe(data, "-", "-")``."""

    def call(data: bytes, *words: object) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = run(["upscale", *map(str, words), *SMALL])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return call


def encoded(values: np.ndarray, fmt: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, fmt)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("fmt", "words", "expected"),
    [
        ("PNG", (), "PNG"),
        ("JPEG", (), "JPEG"),
        ("WEBP", (), "WEBP"),
        ("TIFF", (), "TIFF"),
        ("GIF", (), "PNG"),
        ("PNG", ("-f", "jpeg"), "JPEG"),
        ("BMP", ("--suffix", "_x2"), "BMP"),
    ],
)
def test_standard_input_to_standard_output(
    pipe, tmp_path, values, fmt, words, expected
):
    data = encoded(values, fmt)
    code, out, err = pipe(data, "-", "-", *words)
    assert (code, "1 done" in err) == (0, True), err
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.size) == (expected, (36, 28))
        if expected in ("PNG", "BMP"):
            given_values = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            assert np.array_equal(
                np.asarray(image.convert("RGB")), resize(given_values, 2)
            )
    assert not list(tmp_path.iterdir())


@pytest.mark.posix
def test_a_redirection_of_the_shell(values, forking_python):
    Path("a.png").write_bytes(encoded(values, "PNG"))
    redirected = """
import os, sys
os.dup2(os.open("a.png", os.O_RDONLY), 0)
os.dup2(os.open("b.png", os.O_WRONLY | os.O_CREAT), 1)
from srcli.cli.start import main
main()
"""
    words = ["srx", "upscale", "-", "-", *SMALL]
    ended = forking_python.run(f"import sys\nsys.argv = {words}{redirected}")
    assert ended.returncode == 0, ended.stderr
    with Image.open("b.png") as image:
        assert np.array_equal(np.asarray(image), resize(values, 2))


def test_a_file_on_one_side(pipe, values):
    data = encoded(values, "PNG")
    Path("in.png").write_bytes(data)
    code, out, err = pipe(b"", "in.png", "-", "-f", "webp")
    assert (code, Image.open(io.BytesIO(out)).format) == (0, "WEBP"), err
    code, out, _ = pipe(data, "-", "out.png")
    assert (code, b"1 done" in out) == (0, True)
    assert np.array_equal(read_pixels("out.png"), resize(values, 2))
    # running again knows the same picture, and another
    assert b"1 skipped" in pipe(data, "-", "-o", "out.png")[1]
    code, _, err = pipe(encoded(values[::-1], "PNG"), "-", "out.png")
    assert code == 1
    assert "out.png: was made from another picture than standard input" in err


def test_a_raster_keeps_its_place(pipe, values):
    georeference = {
        "crs": "EPSG:32632",
        "transform": rasterio.Affine(1, 0, 5e5, 0, -1, 52e5),
    }
    write_by_gdal("in.tif", values, **georeference)
    data = Path("in.tif").read_bytes()
    code, out, err = pipe(data, "-", "-")
    assert code == 0, err
    assert "standard input: bands" in err or "srx-" not in err
    with rasterio.MemoryFile(out) as memory, memory.open() as file:
        assert (file.shape, file.transform.a) == ((28, 36), 0.5)
    _, out, err = pipe(data, "-", "-", "-f", "png")
    assert Image.open(io.BytesIO(out)).format == "PNG"
    assert "warning: standard output: georeference" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-", "a.png", "-"), "one picture, which is upscaled alone"),
        (("folder", "-"), "one picture, which is upscaled alone"),
        (("-", "folder"), "folder: give a file name"),
        (("missing.png", "-"), "missing.png: no such file"),
        (("-", "-"), "error: standard input: not a picture"),
        (("-", "-", "--dry-run"), "would fail: standard input: not a picture"),
    ],
)
def test_what_cannot_be_is_told_and_standard_output_stays_empty(
    pipe, values, words, message
):
    Path("a.png").write_bytes(encoded(values, "PNG"))
    Path("folder").mkdir()
    code, out, err = pipe(b"no picture", *words)
    assert code != 0
    assert message in err
    assert not out


@pytest.mark.posix
@pytest.mark.parametrize(
    ("words", "message"), [(("a.png", "-"), "> out"), (("-", "b.png"), "< in")]
)
def test_a_terminal_gets_no_picture_and_is_asked_for_none(
    tmp_path, values, words, message
):
    Path("a.png").write_bytes(encoded(values, "PNG"))
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "srcli", "upscale", *words, *SMALL]
    result = subprocess.run(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        check=False,
    )
    os.close(terminal)
    os.close(ours)
    assert result.returncode == 2
    assert message in result.stderr.decode()


@pytest.mark.parametrize(
    ("name", "words"), [("stdout", ("a.png", "-")), ("stdin", ("-", "b.png"))]
)
def test_a_stream_that_is_closed_is_told(values, monkeypatch, capsys, name, words):
    Path("a.png").write_bytes(encoded(values, "PNG"))
    monkeypatch.setattr(sys, name, None)  # as Python has it after '>&-'
    assert run(["upscale", *words, *SMALL]) == 2
    assert "is closed" in capsys.readouterr().err
