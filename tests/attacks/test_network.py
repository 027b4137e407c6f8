"""Nothing is downloaded at run time: no command opens a connection, and none needs a network."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys

import pytest

from tests.attacks.conftest import TINY, write_all
from tests.fixtures.commands import words_of

pytestmark = pytest.mark.attack


@pytest.fixture
def trap(monkeypatch):
    """Note every connection and every name that is looked up."""
    caught: list[object] = []

    def note(self, address, *_):
        if self.family != socket.AF_UNIX:
            caught.append(address)
            raise OSError("trapped")

    def look_up(*arguments, **_):
        caught.append(arguments)
        raise OSError("trapped")

    monkeypatch.setattr(socket.socket, "connect", note)
    monkeypatch.setattr(socket.socket, "connect_ex", note)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return caught


def commands(folder, originals):
    """Return a run of every command."""
    source = folder / "in"
    pictures = folder / "pictures"
    files = {f"a{suffix}": content for suffix, content in originals.items()}
    write_all(source, {**files, "source.tif": originals[".geo.tif"]})
    write_all(pictures, {f"{i}.png": originals[".png"] for i in range(4)})
    return [
        ["upscale", source, folder / "out", "-m g-idrn -s 2"],
        ["upscale", source, folder / "out", "-m g-idrn -s 2 --dry-run"],
        [f"eval -m bicubic -s 2 --no-cost --metrics psnr --data {pictures}"],
        ["models"],
        ["models g-idrn"],
        [
            f"train ddsr-short -s 2 --data {pictures} --out {folder / 'run'}",
            TINY,
            "--device cpu --budget 1",
        ],
        ["ablate list"],
        ["ablate show ddsr/depth"],
    ]


def test_no_command_connects(tmp_path, srx, originals, trap, tell):
    runs = commands(tmp_path, originals)
    for arguments in runs:
        result = srx(*arguments)
        assert result.code in (0, 1), (arguments, result.err)
    assert trap == []
    tell(
        f"network trap: {len(runs)} runs of all commands, no connection and no name looked up"
    )


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_folder_is_enlarged_where_there_is_no_network(tmp_path, originals, tell):
    alone = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission to leave the network")
    arguments = commands(tmp_path, originals)[0]
    command = [*alone, sys.executable, "-m", "srcli", *words_of(*arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    tell("without a network: a folder of all formats was enlarged")
