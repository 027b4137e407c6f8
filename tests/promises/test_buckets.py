"""Outputs in buckets: finished on disk, and copied as whole objects where that is allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.fixtures.photographs import PLACE, read_by_gdal, write_by_gdal


@pytest.fixture
def bucket(web_as_s3, request):
    """Serve a bucket of the test's own; return its folder."""
    return web_as_s3.folder / request.node.name.partition("[")[0].replace("_", "-")


@pytest.fixture
def upscale(srx, bucket, tmp_path, monkeypatch):
    """Upscale a raster into the bucket, with a cache of the test's own."""
    monkeypatch.setenv("SRX_CACHE", str(tmp_path / "cache"))
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30) * 90
    write_by_gdal("a.tif", pixels, nodata=0, **PLACE)

    def run(name="out.tif", options="--allow-remote", code=0):
        output = f"s3://{bucket.name}/{name}"
        return srx("upscale a.tif", output, "-m bicubic -s 2", options, code=code)

    return run


def staged():
    return [path.name for path in Path("cache/uploads").rglob("*") if path.is_file()]


def test_the_network_is_not_written_to_unasked(upscale, web, bucket):
    result = upscale(options="-q", code=2)
    assert (
        f"s3://{bucket.name}/out.tif: is on the network: give --allow-remote"
        in result.err
    )
    assert web.requests == []


@pytest.mark.parametrize("words", ["--watch in", "--mosaic in", "book.cbz"])
def test_what_is_written_to_disk_alone_is_refused(srx, bucket, web, words):
    Path("in").mkdir()
    Path("book.cbz").touch()
    result = srx("upscale", *words.split(), f"s3://{bucket.name}/o.cbz", code=2)
    assert "are written to disk" in result.err
    assert web.requests == []


@pytest.mark.parametrize("name", ["out.tif", "sub/", "/vsis3/{}/deep/er/a.tif"])
def test_an_object_is_what_would_be_on_disk(srx, upscale, bucket, name):
    if name.startswith("/vsis3"):
        output = name.format(bucket.name)
        srx("upscale a.tif", output, "-m bicubic -s 2 --allow-remote", code=0)
        file = bucket / "deep/er/a.tif"
    else:
        upscale(name)
        file = bucket / name.replace("sub/", "sub/a.tif")
    srx("upscale a.tif local.tif -m bicubic -s 2", code=0)
    assert file.read_bytes() == Path("local.tif").read_bytes()
    assert staged() == []


def test_a_finished_object_is_not_made_again_but_for_other_options(upscale, bucket):
    upscale()
    before = (bucket / "out.tif").stat().st_mtime_ns
    assert "1 skipped" in upscale().out
    assert (bucket / "out.tif").stat().st_mtime_ns == before
    result = upscale(options="--allow-remote --cog")
    assert (
        f"s3://{bucket.name}/out.tif: will be made again: it was made with other options"
        in result.err
    )
    with rasterio.open(bucket / "out.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_an_object_of_others_is_kept_without_overwrite(upscale, bucket):
    bucket.mkdir()
    write_by_gdal(bucket / "out.tif", np.ones((9, 9), np.uint8), **PLACE)
    (bucket / "text.tif").write_bytes(b"no picture" * 99)
    for name in ("out.tif", "text.tif"):
        result = upscale(name, code=1)
        assert f"s3://{bucket.name}/{name}: nothing in it says that srx" in result.err
    upscale(options="--allow-remote --overwrite")
    assert read_by_gdal(bucket / "out.tif").shape == (40, 60, 1)


def test_what_cannot_be_copied_stays_and_is_copied_by_the_next_run(
    upscale, web, bucket
):
    closed = web.folder / "closed"
    closed.touch()
    try:
        result = upscale(code=2)
    finally:
        closed.unlink()
    assert f"s3://{bucket.name}/out.tif: cannot be written (" in result.err
    assert staged() == ["out.tif"]
    upscale(options="--allow-remote --dry-run")
    assert not bucket.exists()
    assert "1 skipped" in upscale().out
    assert read_by_gdal(bucket / "out.tif").shape == (40, 60, 1)
    assert staged() == []


def test_files_beside_a_picture_go_with_it(upscale, bucket):
    upscale("out.png")
    names = {file.name for file in bucket.iterdir()}
    assert {"out.png", "out.pgw", "out.png.aux.xml"} <= names
    with rasterio.open("a.tif") as before, rasterio.open(bucket / "out.png") as after:
        assert after.bounds == before.bounds
        assert after.crs == before.crs


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        (
            "https://host/a.tif",
            "-q",
            "cannot be written to; give s3://, gs:// or az://",
        ),
        ("s3://bucket/a.xyz", "-q", "s3://bucket/a.xyz: .xyz is not written here"),
        ("s3://bucket/a.tif", "--executor ray", "are written to disk"),
        ("/vsizip/a.zip/b.tif", "-q", "results are written to disk"),
    ],
)
def test_what_cannot_be_written_to_is_refused_in_a_line(
    srx, upscale, output, options, message
):
    result = srx("upscale a.tif", output, "-m bicubic --allow-remote", options, code=2)
    (line,) = result.err.splitlines()
    assert message in line
