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
import rasterio
from safetensors.numpy import load

from tests.attacks.conftest import ALONE, TINY
from tests.fixtures.ablations import ABLATION_FILE

pytestmark = [pytest.mark.attack, pytest.mark.filterwarnings("default")]

LARGE = 256 << 20
SPACES = (0.0, 0.2, 0.5, 0.8, 0.98, 1.3, 2.0, 4.0)
"""Sizes of the disk as shares of all that a run leaves on it; while it runs it may take more."""
PAGE = 4096


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
        return sum(-(-len(content) // PAGE) * PAGE for content in self.contents().values())

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
    pixels = np.random.default_rng(28).integers(0, 256, (3, 300, 260), np.uint8)
    path = tmp_path / "scene.tif"
    place = rasterio.Affine(0.5, 0, 600_000, 0, -0.5, 5_100_000)
    with rasterio.open(
        path, "w", driver="GTiff", height=300, width=260, count=3, dtype="uint8",
        crs="EPSG:32633", transform=place,
    ) as file:  # fmt: skip
        file.write(pixels)
    return path


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

    Args:
        srx: Runs a command.
        disk: Takes the output.
        command: The words; all outputs are on the disk.
        resume: Further words when it is run again, once there are outputs.
        clocks: Suffixes of files that no two runs write alike, or that later ones replace.
    """
    first = srx(*command)
    assert first.code == 0, first.err
    whole = disk.contents()
    assert whole
    size, failures = disk.used(), 0
    for share in SPACES:
        disk.clear()
        disk.resize(int(share * size))
        done = srx(*command)
        if done.code:
            failures += 1
            assert done.code in (1, 2), done.err  # 1 where some pictures were done
            lines = [line for line in done.err.splitlines() if "error: " in line]
            assert lines, done.err
            assert all(is_clear(line) for line in lines), done.err
            for name, content in disk.contents().items():
                hidden = any(each[0] == "." for each in Path(name).parts)
                changing = name.endswith(clocks) if clocks else False
                assert hidden or (is_whole(name, content) if changing else content == whole[name])
        disk.resize(LARGE)
        again = srx(*command, *(resume if disk.contents() else ()))
        assert again.code == 0, again.err
        found = disk.contents()
        assert found.keys() == whole.keys(), share
        for name, content in found.items():
            if clocks and name.endswith(clocks):
                assert is_whole(name, content)
            else:
                assert content == whole[name], name
    assert failures
    return failures


def is_clear(line: str) -> bool:
    """Return true if a line names the disk as the cause."""
    words = ("disk is full", "No space left", "room on the disk", "are free")
    return any(each in line for each in words)


def test_photographs(srx, tmp_path, disk, originals, tell):
    source = tmp_path / "in"
    source.mkdir()
    for suffix in (".png", ".jpg", ".webp", ".avif", ".bmp", ".tif", ".gif"):
        (source / f"{suffix[1:]}_{suffix}").write_bytes(originals[suffix])
    words = ["upscale", source, "-m", "bicubic", "-s", "2", "-q", "-o", disk.folder / "out"]
    failures = attack(srx, disk, words)
    tell(f"full disks, photographs: {failures} runs failed in a line each; the next did the rest")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tif", []),
        ("a.tif", ["--cog"]),
        ("a.tif", ["--overviews", "-co", "COMPRESS=NONE"]),
        ("a.png", []),
    ],
    ids=lambda value: "".join(value),
)
def test_rasters(srx, disk, scene, name, options, tell, monkeypatch):
    monkeypatch.setattr("srcli.imaging.rasters.parts._LEAST_PIXELS", 1)  # four parts
    words = ["upscale", scene, "-m", "bicubic", "-s", "3", "-q", *options]
    words += ["-o", disk.folder / name]
    failures = attack(srx, disk, words, clocks=(".json",))
    kind = " ".join([Path(name).suffix, *options])
    tell(f"full disks, rasters ({kind}): {failures} runs failed in a line; the next went on")


def test_trainings(srx, disk, pictures, tell):
    words = ["train", "ddsr-short", "-s", "2", "--data", pictures, *TINY, *ALONE]
    words += ["--checkpoint-every", "0.01s", "--budget", "3", "--out", disk.folder / "run"]
    failures = attack(
        srx, disk, words, resume=["--resume"], clocks=(".safetensors", ".json", ".html")
    )
    tell(f"full disks, trainings: {failures} failed in a line, and went on with --resume")


def test_ablations(srx, tmp_path, disk, pictures, tell):
    file = tmp_path / "mine.toml"
    file.write_text(ABLATION_FILE)
    words = ["ablate", "run", file, "--data", pictures, "--sets", pictures, "--budget", "2"]
    words += [*TINY, *ALONE, "--out", disk.folder / "out"]
    failures = attack(srx, disk, words, clocks=(".safetensors", ".json", ".html"))
    tell(f"full disks, ablations: {failures} runs failed in a line; the next did the rest")


@pytest.mark.parametrize("option", ["--html", "--figure"])
def test_tables(srx, disk, pictures, option, tell):
    words = ["eval", "-m", "bicubic", "-s", "2", "--data", pictures, "-q", "--metrics", "psnr"]
    name = {"--html": "a.html", "--figure": "a.png"}[option]
    words += ["--no-cost", option, disk.folder / name]
    failures = attack(srx, disk, words, clocks=(".html",))
    tell(f"full disks, srx eval {option}: {failures} runs failed in a line, without a half file")


@pytest.mark.parametrize("suffix", [".pt", ".onnx", ".xml"])
def test_exports(srx, disk, suffix, tell):
    pytest.importorskip({".onnx": "onnx", ".xml": "openvino"}.get(suffix, "torch"))
    words = ["export", "-m", "rrlfn", "-s", "2", "-q", "--overwrite", disk.folder / f"a{suffix}"]
    failures = attack(srx, disk, words, clocks=(".pt", ".xml"))
    tell(f"full disks, srx export to {suffix}: {failures} runs failed in a line, without a file")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["models"], ["train", "init"], ["ablate", "list"]])
def test_standard_output(words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "srcli", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
        )  # fmt: skip
    line = "srx: error: the disk is full; make room and run again\n"
    assert (done.returncode, done.stderr) == (2, line)
