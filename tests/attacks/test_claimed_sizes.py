"""Files that claim much are refused with the memory of any other file, in dry runs as well."""

from __future__ import annotations

import pytest
import rasterio
import tifffile

from tests.fixtures.claims import claim, label, sparse
from tests.fixtures.photographs import noise

pytestmark = pytest.mark.attack
CEILING = 250 << 20
"""Bytes above those of a command that does nothing."""
LIMIT = 6 << 30
"""Bytes of address space, so that a failing test does no harm to the machine."""
SECONDS = 60.0


def tiff(folder, **tags):
    tifffile.imwrite(folder / "a.tif", noise((24, 32, 3)), photometric="rgb")
    return claim(folder / "a.tif", **tags)


MADE = {
    "rows": lambda folder: tiff(folder, ImageLength=2**25),
    "width": lambda folder: tiff(folder, ImageWidth=2**25),
    "lan": label,
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=str)
def test_no_memory_is_taken_for_claims(tmp_path, fork, name, options):
    base = fork(["models", "bicubic"]).peak
    path = MADE[name](tmp_path)
    words = ["upscale", path, tmp_path / "out", "-m bicubic -s 2", *options]
    ended = fork(words, SECONDS, LIMIT)
    assert ended.code == 2, ended.text[-2000:]
    assert ended.peak - base < CEILING
    assert not list((tmp_path / "out").glob("*"))


def test_a_sparse_giant_takes_no_memory(tmp_path, fork):
    path = sparse(tmp_path / "a.tif", 60_000, 60_000, [(8, 8)], nodata=0)
    base = fork(["models", "bicubic"]).peak
    words = ["upscale", path, tmp_path / "b.tif", "-m bicubic -s 2 --classes no"]
    ended = fork(words, SECONDS, None)
    assert ended.code == 0, ended.text[-2000:]
    assert ended.peak - base < 1 << 30
    with rasterio.open(tmp_path / "b.tif") as enlarged:
        window = rasterio.windows.Window(1024, 1024, 128, 128)
        assert enlarged.read(1, window=window).min() > 0
