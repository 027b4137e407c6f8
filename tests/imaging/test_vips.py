"""libvips: pixels exact, failures of the stream told, nothing imported before it is needed."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from srcli.errors import PictureError
from srcli.imaging import vips


def decode_png(data):
    return vips.decode(vips.open_image("png", data))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_round_trip(dtype, channels):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (9, 14, channels), dtype)
    stream = io.BytesIO()
    vips.encode(stream, values, ".png", bitdepth=8 * values.dtype.itemsize)
    again = decode_png(stream.getvalue())
    assert again.dtype == dtype
    assert np.array_equal(again, values)
    assert again.flags.writeable


def test_tiff_is_written_through_a_stream():
    values = np.random.default_rng(0).random((70, 90, 3)).astype(np.float32)
    stream = io.BytesIO()
    vips.encode(stream, values, ".tif", compression="none")
    assert np.array_equal(tifffile.imread(io.BytesIO(stream.getvalue())), values)


def test_the_error_of_a_stream_is_passed_on():
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    for suffix in (".png", ".tif"):
        with pytest.raises(OSError, match="No space left") as caught:
            vips.encode(Full(), np.zeros((50, 50, 3), np.uint8), suffix)
        assert caught.value.errno == 28


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_data_that_end_early_are_refused(part):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    with pytest.raises(ValueError, match="read error"):
        decode_png(stream.getvalue()[: int(len(stream.getvalue()) * part)])


def test_sides_of_over_a_million_pixels():
    values = np.zeros((1, 1_200_000, 1), np.uint8)
    values[0, -1] = 7
    stream = io.BytesIO()
    vips.encode(stream, values, ".png", compression=4, filter="paeth", bitdepth=8)
    assert struct.unpack(">I", stream.getvalue()[16:20]) == (1_200_000,)
    assert np.array_equal(decode_png(stream.getvalue()), values)


def test_readers_need_no_pyvips_until_a_png_is_decoded(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "a.jpg")
    code = (
        "import sys, pathlib\n"
        "sys.modules['pyvips'] = None\n"
        "from srcli.data.pictures import PictureRef, decode\n"
        "from srcli.imaging.reading import open_picture\n"
        "from srcli.imaging.reading import read_photograph\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "for name in ('a.png', 'a.jpg'):\n"
        "    path = folder / name\n"
        "    print(open_picture(path).width, decode(PictureRef(path=path)).shape)\n"
        "print(read_photograph(folder / 'a.jpg').pixels.shape)\n"
        "read_photograph(folder / 'a.png')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == ["3 (2, 3, 3)", "3 (2, 3, 3)", "(2, 3, 3)"]
    assert f"{PictureError.__name__}: PNG and TIFF files need pyvips; install it" in done.stderr
