"""Full disks: a command ends in one clear line, leaves no half file, and can be done again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from tests.attacks.conftest import ALONE, TINY, write_all
from tests.fixtures.ablations import ABLATION_FILE
from tests.fixtures.photographs import PLACE, write_by_gdal

pytestmark = [pytest.mark.attack, pytest.mark.filterwarnings("default")]

LARGE = 256 << 20
SPACES = (0.0, 0.2, 0.5, 0.8, 0.98, 1.3, 2.0, 4.0)
"""Sizes of the disk as shares of all that a run leaves on it; while it runs it may take
more."""
PAGE = 4096
FULL = ("disk is full", "No space left", "room on the disk", "are free")
"""Words of lines that name the disk as the cause."""


class Disk:
    """A file system of any size, empty at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: int) -> None:
        """Give the disk another size in bytes; what is on it stays."""
        options = f"remount,size={max(size, 3 * PAGE)}"
        subprocess.run(["mount", "-o", options, self.folder], check=True)

    def clear(self) -> None:
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def used(self) -> int:
        return sum(
            -(-len(content) // PAGE) * PAGE for content in self.contents().values()
        )

    def contents(self) -> dict[str, bytes]:
        """Return all files but those that belong to nobody's work, such as locks and logs."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix != ".jsonl" and path.name != ".lock"
        }


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={LARGE}", "tmpfs", folder]
    try:
        failed = subprocess.run(mount, capture_output=True, check=False).returncode
    except FileNotFoundError:
        failed = 1
    if failed:
        pytest.skip("no permission to mount a disk")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def scene(tmp_path):
    """A raster that compression hardly makes smaller."""
    pixels = np.random.default_rng(28).integers(0, 256, (300, 260, 3), np.uint8)
    return write_by_gdal(tmp_path / "scene.tif", pixels, **PLACE)


def is_whole(name: str, content: bytes) -> bool:
    """Return true if a file with a clock in it is complete."""
    if name.endswith(".safetensors"):
        return bool(load(content))
    if name.endswith(".json"):
        return json.loads(content) is not None
    if name.endswith(".pt"):
        return zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    return content.rstrip().endswith((b"</html>", b"</net>", b"|"))


def attack(srx, disk, command, *, resume=(), clocks=()):
    """Run a command on disks that are too small, then with room; return how often it failed.

    ``resume`` are further words when it is run again, once there are outputs.
    """
    srx(*command, code=0)
    before = disk.contents()
    assert before
    size = disk.used()
    failures = 0
    for share in SPACES:
        disk.clear()
        disk.resize(int(share * size))
        result = srx(*command)
        if result.code:
            failures += 1
            assert result.code in (1, 2), result.err  # 1 where some pictures were done
            lines = [line for line in result.err.splitlines() if "error: " in line]
            assert lines, result.err
            for line in lines:
                assert any(word in line for word in FULL), result.err
            for name, content in disk.contents().items():
                hidden = any(word[0] == "." for word in Path(name).parts)
                changing = name.endswith(clocks) if clocks else False
                assert hidden or (
                    is_whole(name, content) if changing else content == before[name]
                )
        disk.resize(LARGE)
        srx(*command, *(resume if disk.contents() else ()), code=0)
        after = disk.contents()
        assert after.keys() == before.keys(), share
        for name, content in after.items():
            if clocks and name.endswith(clocks):
                assert is_whole(name, content)
            else:
                assert content == before[name], name
    assert failures
    return failures


RASTER = "upscale {scene} -m bicubic -s 3 -q -o {disk}/"
TRAIN = f" --data {{pictures}} {TINY} {ALONE} "
EVAL = "eval -m bicubic -s 2 --data {pictures} -q --metrics psnr --no-cost "
EXPORT = "export -m rrlfn -s 2 -q --overwrite {disk}/"
CHANGING = (".safetensors", ".json", ".html")
COMMANDS = {
    "photographs": ("upscale {folder} -m bicubic -s 2 -q -o {disk}", ()),
    "rasters": (RASTER + "a.tif -co BLOCKYSIZE=256", (".json",)),
    "COGs": (RASTER + "a.tif --cog", (".json",)),
    "overviews": (RASTER + "a.tif --overviews -co COMPRESS=NONE", (".json",)),
    "rasters as PNG": (RASTER + "a.png", (".json",)),
    "trainings": (
        "train ddsr-short -s 2"
        + TRAIN
        + "--budget 3 --out {disk}/run --checkpoint-every 0.01s",
        CHANGING,
    ),
    "ablations": (
        "ablate run {ablation}"
        + TRAIN
        + "--sets {pictures} --budget 2 --out {disk}/out",
        CHANGING,
    ),
    "pages": (EVAL + "--html {disk}/a.html", (".html",)),
    "figures": (EVAL + "--figure {disk}/a.png", ()),
    "torchscript": (EXPORT + "a.pt", (".pt",)),
    "onnx": (EXPORT + "a.onnx", ()),
}
"""Commands, and suffixes of files that no two runs write alike, or that later ones
replace."""


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(
    srx, tmp_path, disk, scene, pictures, originals, tell, monkeypatch, name
):
    if name == "onnx":
        pytest.importorskip(name)
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)  # four parts
    photographs = (".png", ".jpg", ".webp", ".avif", ".bmp", ".tif", ".gif")
    write_all(
        tmp_path / "in",
        {f"{suffix[1:]}_{suffix}": originals[suffix] for suffix in photographs},
    )
    ablation = tmp_path / "mine.toml"
    ablation.write_text(ABLATION_FILE)
    places = {"scene": scene, "pictures": pictures, "folder": tmp_path / "in"}
    command, clocks = COMMANDS[name]
    words = [command.format(**places, disk=disk.folder, ablation=ablation)]
    resume = ["--resume"] if name == "trainings" else []
    failures = attack(srx, disk, words, resume=resume, clocks=clocks)
    tell(
        f"full disks, {name}: {failures} runs failed in a line each; the next did the rest"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["models", "train init", "ablate list"])
def test_standard_output(words):
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "srcli", *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    line = "srx: error: the disk is full; make room and run again\n"
    assert (result.returncode, result.stderr) == (2, line)
