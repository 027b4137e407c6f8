"""``srcli.upscale`` leaves the process that calls it as it was."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.fixtures.photographs import PLACE, write_by_gdal

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_network.py"
HOST = """
import ctypes, json, locale, logging, os, signal, sys, threading, warnings
import numpy, pyvips, rasterio, torch
from PIL import Image

def state():
    loggers = {}
    for name, logger in logging.root.manager.loggerDict.items():
        settings = (getattr(logger, word, None) for word in ("level", "handlers", "propagate"))
        if (settings := tuple(settings)) not in ((0, [], True), (None,) * 3):
            loggers[name] = settings
    return {
        "filters": warnings.filters,
        "showwarning": warnings.showwarning,
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "TF32": torch.backends.cudnn.conv.fp32_precision,
        "locale": locale.setlocale(locale.LC_ALL),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "logging": (logging.root.level, logging.root.handlers, logging.root.manager.disable),
        "loggers": loggers,
        "excepthook": sys.excepthook,
        "pixel limit": Image.MAX_IMAGE_PIXELS,
        "numpy": numpy.geterr(),
        "folder": os.getcwd(),
    }

def shown(state):
    return {name: str(value) for name, value in state.items()}

def threads_of_child():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(torch.get_num_threads()).encode())
        (torch.ones(3_000_000) + 1).sum()  # by all of them
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    return int(os.read(reading, 99))

def heaps():
    "Count the allocator's heaps, of which threads get some of their own."
    thread = threading.Thread(target=lambda: bytearray(100_000))
    thread.start()
    thread.join()
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(library.fopen(b"heaps.xml", b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    return open("heaps.xml").read().count("<heap ")

import srcli.imaging  # whose two variables GDAL and PROJ read when they begin
torch.set_num_threads(2)
before = shown(state())
from srcli import load_model, upscale
def go(picture, model="rrlfn"):
    upscale(picture, model, 2)
go("photo.jpg", "auto")
go("raster.tif")
with rasterio.open("raster.tif") as dataset:
    go(dataset)
pixels = numpy.asarray(Image.open("photo.jpg"))
go(pixels, "mynet.py:Net@w.pth")
names = ["g-idrn", "nested-attn", "g-idrn-photo", "ddsr"]
threads = [threading.Thread(target=go, args=(pixels, name)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps([before, shown(state()), threads_of_child(), heaps()]))
"""


@pytest.mark.posix
def test_the_process_is_afterwards_as_it_was(tmp_path, astronaut):
    Image.fromarray(astronaut[:40, :50]).save(tmp_path / "photo.jpg")
    values = np.float32(astronaut[:40, :50, 0]) / 7
    write_by_gdal(tmp_path / "raster.tif", values, **PLACE)
    shutil.copy(EXAMPLE, tmp_path / "mynet.py")
    torch.save(runpy.run_path(str(EXAMPLE))["Net"]().state_dict(), tmp_path / "w.pth")
    command = [sys.executable, "-c", HOST]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    before, after, threads_of_child, heaps = json.loads(done.stdout)
    assert after == before
    assert threads_of_child == int(before["threads"]) == 2
    assert heaps > 1
