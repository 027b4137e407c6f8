"""Attacks: what they have in common, and the figures that they print at the end of a run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from srcli.imaging.metadata.embedded import Metadata
from srcli.imaging.photographs.photograph import Photograph
from srcli.imaging.photographs.writing import write_photograph
from tests.fixtures.commands import words_of
from tests.fixtures.photographs import PLACE, write_by_gdal

FIGURES: list[str] = []
ALONE = "--device cpu --precision fp32 --threads 1 -q"
"""Options that make two runs give the same bytes."""
TINY = "--set stages.0.batch=1 --set stages.0.patch=8 --hold-out none"
"""Options for a training of pictures of a few pixels."""
FORKS = """
import json, os, resource, signal, sys, time
import torch, rasterio
torch.set_num_threads(1)
import srcli.pipelines.ablate.run, srcli.pipelines.export, srcli.pipelines.upscale.run
from srcli.cli.main import run
for line in sys.stdin:
    arguments, seconds, limit = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        if limit:
            with open('/proc/self/statm') as held:
                limit += int(held.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os._exit(run(arguments))
    end = time.monotonic() + (seconds or 3600)
    while not (ended := os.wait4(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.002)
    _, status, used = ended
    print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024]), flush=True)
"""
"""Runs commands in forks, which begin at once: nothing is imported a second time."""


class Ended(NamedTuple):
    """The end of a command in a process of its own."""

    code: int
    """Exit code, or the signal that ended it as a negative number."""
    peak: int
    """Most bytes of memory that it held, with those of Python and PyTorch."""
    text: str
    """All that it printed."""


@pytest.fixture(scope="session")
def fork(tmp_path_factory):
    """Run a command in a process of its own.

    ``fork(arguments, seconds=None, limit=None)`` kills it where it takes longer, and
    limits the address space that it takes to some bytes.
    """
    folder = tmp_path_factory.mktemp("forks")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "SRX_CACHE": str(folder / "cache"),
    }
    with (
        (folder / "log").open("w") as log,
        (folder / "log").open() as printed,
        subprocess.Popen(
            [sys.executable, "-c", FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        ) as process,
    ):

        def run(arguments, seconds=None, limit=None):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(
                json.dumps([words_of(*arguments), seconds, limit]) + "\n"
            )
            process.stdin.flush()
            code, peak = json.loads(process.stdout.readline())
            return Ended(code, peak, printed.read())

        yield run
        assert process.stdin is not None
        process.stdin.close()


def pytest_terminal_summary(terminalreporter):
    """Print the figures for the documentation."""
    if FIGURES:
        terminalreporter.section("attacks")
        for line in FIGURES:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def tell():
    """Add a line to the figures of the run."""
    return FIGURES.append


@pytest.fixture(scope="session")
def originals(tmp_path_factory, astronaut) -> dict[str, bytes]:
    """Small files of every format that is read, by their suffixes."""
    folder = tmp_path_factory.mktemp("originals")
    crop = astronaut[:36, :44]
    metadata = Metadata(exif=_exif(), dpi=(72.0, 72.0))
    contents = {}
    for fmt in ("png", "jpg", "webp", "avif", "bmp", "tif"):
        path = folder / f"a.{fmt}"
        write_photograph(
            path, Photograph(pixels=crop, alpha=None, metadata=metadata), fmt=fmt
        )
        contents[path.suffix] = path.read_bytes()
    Image.fromarray(crop).quantize(32).save(folder / "a.gif")
    contents[".gif"] = (folder / "a.gif").read_bytes()
    deep = Photograph(
        pixels=crop.astype(np.uint16) * 257, alpha=None, metadata=Metadata()
    )
    write_photograph(folder / "deep.png", deep, fmt="png")
    contents[".deep.png"] = (folder / "deep.png").read_bytes()
    rasters: dict[str, dict[str, object]] = {
        ".geo.tif": {
            "tiled": True,
            "blockxsize": 16,
            "blockysize": 16,
            "compress": "deflate",
        },
        ".strips.tif": {"compress": "lzw", "nodata": 0},
        ".jp2": {"driver": "JP2OpenJPEG"},
    }
    for name, options in rasters.items():
        write_by_gdal(folder / f"a{name}", crop, **PLACE, **options)
        contents[name] = (folder / f"a{name}").read_bytes()
    contents[".vrt"] = (
        b'<VRTDataset rasterXSize="44" rasterYSize="36"><SRS>EPSG:32633</SRS><GeoTransform>6e5, 0.5'
        b', 0, 51e5, 0, -0.5</GeoTransform><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        b'<SourceFilename relativeToVRT="1">source.tif</SourceFilename><SourceBand>1</SourceBand>'
        b"</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return contents


@pytest.fixture
def pictures(tmp_path, originals):
    """A folder with eight small pictures for training and evaluation."""
    write_all(tmp_path / "pictures", {f"{i}.png": originals[".png"] for i in range(8)})
    return tmp_path / "pictures"


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0131] = "camera"
    exif[0x010E] = "x" * 40
    stream = io.BytesIO()
    Image.new("RGB", (2, 2)).save(stream, "JPEG", exif=exif)
    with Image.open(io.BytesIO(stream.getvalue())) as image:
        return bytes(image.info["exif"])


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage a file in one of the ways in which files are damaged, or made to harm."""
    data = bytearray(content)
    offset = int(rng.integers(len(data)))
    if rng.random() < 0.5:  # where the structure is
        offset = int(rng.integers(min(len(data), 200)))
    length = int(rng.integers(1, 64))
    mutation = int(rng.integers(7))
    if mutation == 0:
        for _ in range(int(rng.integers(1, 20))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    elif mutation == 1:
        del data[offset:]
    elif mutation == 2:
        data[offset:offset] = rng.bytes(length)
    elif mutation == 3:
        data[offset : offset + length] = bytes(length)
    elif mutation == 4:
        del data[offset : offset + length]
    elif mutation == 5:
        data[offset:offset] = data[offset // 2 : offset // 2 + length]
    else:
        extreme = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0, 1, 0xFFFF)[
            int(rng.integers(6))
        ]
        data[offset : offset + 4] = extreme.to_bytes(
            4, ("little", "big")[int(rng.integers(2))]
        )
    return bytes(data)


def write_all(folder, files):
    """Write files into a new folder."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
