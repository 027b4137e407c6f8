"""Links planted in the folder of the outputs: no file that one leads to is changed."""

from __future__ import annotations

import threading
import time

import pytest

from srcli.pipelines.upscale.asked import Asked
from srcli.pipelines.upscale.options import settle
from srcli.pipelines.upscale.run import upscale_files

pytestmark = pytest.mark.attack

OPTIONS = settle(Asked(model="bicubic", scale=2, overwrite=True))


def test_links_under_the_names_of_outputs_are_replaced(tmp_path, originals):
    source = tmp_path / "in"
    out = tmp_path / "out"
    source.mkdir()
    out.mkdir()
    victims = []
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tif"):
        (source / f"{suffix[1:]}_{suffix}").write_bytes(originals[suffix])
        victims.append(tmp_path / f"precious{suffix}")
        victims[-1].write_bytes(b"precious")
        (out / f"{suffix[1:]}_{suffix}").symlink_to(victims[-1])
    results = upscale_files([source], out, OPTIONS)
    assert [file.state for file in results.files] == ["done"] * 5
    assert {victim.read_bytes() for victim in victims} == {b"precious"}
    for path in out.iterdir():
        assert not path.is_symlink()


def test_links_put_in_the_place_of_temporary_files_while_they_are_written(
    tmp_path, originals, tell
):
    victim = tmp_path / "precious"
    victim.write_bytes(b"precious")
    source = tmp_path / "in"
    out = tmp_path / "out"
    source.mkdir()
    out.mkdir()
    count = 300
    planted = 0
    for i in range(count):
        (source / f"{i:03d}.png").write_bytes(originals[".png"])
    finished = threading.Event()

    def plant():
        nonlocal planted
        while not finished.is_set():
            for path in out.glob(".srx-*"):
                try:
                    path.unlink()
                    path.symlink_to(victim)
                    planted += 1
                except OSError:
                    pass
            time.sleep(0.0001)

    attacker = threading.Thread(target=plant)
    attacker.start()
    try:
        upscale_files([source], out, OPTIONS)
    finally:
        finished.set()
        attacker.join()
    assert victim.read_bytes() == b"precious"
    assert planted
    tell(
        f"planted links: {planted} in the place of temporary files of {count} photographs"
    )
