"""Small files that claim much: no command takes more memory for one than a stated amount."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import pytest
import torch
from safetensors.torch import save

from srcli.models import build_network
from tests.attacks.conftest import ALONE, TINY, write_all
from tests.fixtures.claims import png_chunk

pytestmark = pytest.mark.attack

CEILING = 450 << 20
"""Bytes above those of Python, PyTorch and GDAL that a command may take for such a
file."""
LIMIT = 4 << 30
"""Bytes of address space, so that a failing test does no harm to the machine."""
SECONDS = 60.0
SIDE = 32_800
"""Of squares just above the largest photograph, 2^30 pixels: more shows nothing more of
our limits, and other software reads such a file, too."""
BANDS = 4_097
MEMBER = 513
"""MiB of zeros in a member of a zip, which may unpack to 512."""
BLOCK = 16_448
"""Of squares just above the largest block, 2^28 pixels."""


def zeros(mebibytes: int) -> bytes:
    """Return zeros compressed by zlib."""
    packer = zlib.compressobj(1)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(mebibytes)) + packer.flush()


def png(width: int, height: int, *extra: bytes, data: bytes = b"") -> bytes:
    """Return a gray picture of black pixels; ``extra``: further chunks before them."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = data or zlib.compress(bytes((width + 1) * height))
    pixels = png_chunk(b"IDAT", data)
    end = png_chunk(b"IEND", b"")
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *extra, pixels, end])


def tiff(
    width: int, height: int, data: bytes, *, bands: int = 1, deflate: bool = False
) -> bytes:
    """Return a TIFF of 8-bit bands in one strip."""
    short = 3
    long = 4
    start = 8 + 2 + 12 * 9 + 4
    tags = [
        (256, long, width),
        (257, long, height),
        (258, short, 8),
        (259, short, 8 if deflate else 1),
        (262, short, 1),
        (273, long, start),
        (277, short, bands),
        (278, long, height),
        (279, long, len(data)),
    ]
    entries = b"".join(
        struct.pack("<HHII", tag, field_type, 1, value)
        for tag, field_type, value in tags
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + data


def claimed(original: bytes, marker: bytes, offset: int, size: bytes) -> bytes:
    """Return a picture whose header claims another size."""
    position = original.index(marker) + offset
    return original[:position] + size + original[position + len(size) :]


def vrt(side: int, block: int) -> bytes:
    band = f'dataType="Float64" band="1" blockXSize="{block}" blockYSize="{block}"'
    size = f'rasterXSize="{side}" rasterYSize="{side}"'
    return f"<VRTDataset {size}><VRTRasterBand {band}/></VRTDataset>".encode()


MADE = {
    "rows.png": lambda: png(SIDE, SIDE, data=zeros(SIDE * (SIDE + 1) >> 20)),
    "header.png": lambda: png(SIDE, SIDE, data=b"x"),
    "wide.png": lambda: png(SIDE * SIDE, 1, data=b"x"),
    "profile.png": lambda: png(8, 8, png_chunk(b"iCCP", b"a\0\0" + zeros(512))),
    "texts.png": lambda: png(
        8, 8, *[png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros(64))] * 9
    ),
    "strip.tif": lambda: tiff(SIDE, SIDE, zeros(SIDE * SIDE >> 20), deflate=True),
    "header.tif": lambda: tiff(SIDE, SIDE, b"x", deflate=True),
    "bands.tif": lambda: tiff(8, 8, bytes(64 * BANDS), bands=BANDS),
    "block.vrt": lambda: vrt(BLOCK, BLOCK),
}
CLAIMED = {
    "a.jpg": (b"\xff\xc0", 5, struct.pack(">HH", SIDE, SIDE)),
    "a.bmp": (b"BM", 18, struct.pack("<ii", SIDE, SIDE)),
    "a.gif": (b"GIF8", 6, struct.pack("<HH", SIDE, SIDE)),
}
LARGE = {"rows.png", "strip.tif", "block.vrt"}
"""Black pictures of their size; they are only planned, as they would be enlarged for
minutes."""


@pytest.fixture(scope="module")
def picture(originals):
    """Make a picture that claims gigabytes, in a few bytes or in some megabytes."""

    def make(name):
        return (
            MADE[name]()
            if name in MADE
            else claimed(originals[name[1:]], *CLAIMED[name])
        )

    return make


@pytest.fixture(scope="module")
def base(fork):
    """Bytes that every command takes."""
    return fork(["models", "bicubic"]).peak


@pytest.fixture(scope="module")
def peaks(tell):
    """Bytes that commands have taken above the others."""
    sizes: list[int] = []
    yield sizes
    most = max(sizes) >> 20
    tell(
        f"files that claim much memory: {len(sizes)} commands, none took more than {most} MiB"
    )


@pytest.fixture
def measure(fork, base, peaks):
    """Run a command on hostile files; it must end in time, below the ceiling, with such a code."""

    def run(*arguments, codes=(2,)):
        ended = fork(arguments, SECONDS, LIMIT)
        assert ended.code in codes, ended.text[-2000:]
        assert "Traceback" not in ended.text, ended.text[-2000:]
        peaks.append(max(ended.peak - base, 0))
        assert peaks[-1] < CEILING, f"{peaks[-1] >> 20} MiB"
        return ended

    return run


@pytest.mark.parametrize("name", [*MADE, *CLAIMED])
def test_pictures(tmp_path, picture, measure, name):
    write_all(tmp_path / "in", {name: picture(name)})
    target = tmp_path / "out" / name.replace(".vrt", ".tif")
    words = ["upscale", "-m", "bicubic", "-s", "4", tmp_path / "in" / name, target]
    usable = name in ("profile.png", "texts.png")  # their pixels are whole
    if name in LARGE:
        measure(*words, "--dry-run", codes=(0, 2))  # there may be room on the disk
    else:
        codes = (0 if usable else 2,)
        measure(*words, "--dry-run", codes=codes)
        measure(*words, codes=codes)


TRAIN = ["train ddsr-short -s 2 --budget 1", TINY, ALONE]


def test_training_and_test_pictures(tmp_path, picture, originals, measure):
    hostile = {name: picture(name) for name in (*MADE, *CLAIMED)}
    write_all(tmp_path / "in", {"whole.png": originals[".png"], **hostile})
    measure(*TRAIN, "--data", tmp_path / "in", "--out", tmp_path / "a", codes=(0,))
    words = ["eval", "-m", "bicubic", "-s", "2", "-q", "--metrics", "psnr"]
    measure(*words, "--data", tmp_path / "in", codes=(1,))


@pytest.mark.parametrize(
    ("method", "honest"),
    [
        (zipfile.ZIP_DEFLATED, True),
        (zipfile.ZIP_DEFLATED, False),
        (zipfile.ZIP_BZIP2, False),
    ],
)
def test_zips(tmp_path, originals, measure, method, honest):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", originals[".png"], zipfile.ZIP_DEFLATED)
        with archive.open("zeros.png", "w", force_zip64=True) as member:
            for _ in range(MEMBER):
                member.write(bytes(1 << 20))
    if not honest:
        packed = zipfile.ZipFile(path).getinfo("zeros.png").compress_size
        sizes = struct.pack("<II", packed, MEMBER << 20)
        forged = struct.pack("<II", packed, 9)
        path.write_bytes(path.read_bytes().replace(sizes, forged))
    measure(*TRAIN, "--data", path, "--out", tmp_path / "a", codes=(0,))


@pytest.mark.parametrize(
    "options", [{"num_blocks": 3_000_000}, {"channels": 24_000}], ids=str
)
def test_weights(tmp_path, measure, options):
    small = {"channels": 16, "num_blocks": 2, "num_groups": 1}
    state = build_network("g-idrn", scale=2, options=small).state_dict()
    metadata = {"srx_format": "1", "model": "g-idrn", "scale": "2"}
    path = tmp_path / "a.safetensors"
    path.write_bytes(
        save(state, metadata={**metadata, "network": json.dumps(small | options)})
    )
    measure("models", path)


@pytest.mark.parametrize("repeated", [True, False])
def test_checkpoints(tmp_path, measure, repeated):
    with torch.device("meta"):
        state = build_network(
            "srvgg", scale=2, options={"channels": 1500, "depth": 3}
        ).state_dict()
    path = tmp_path / "a.pth"
    stream = io.BytesIO()
    torch.save(
        {key: torch.zeros(()).expand(value.shape) for key, value in state.items()},
        stream,
    )
    if repeated:  # one value for all of 240 MB
        path.write_bytes(stream.getvalue())
    else:
        with (
            zipfile.ZipFile(stream) as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for item in old.infolist():
                large = item.filename.endswith("/data/0")
                new.writestr(item.filename, bytes(1 << 24) if large else old.read(item))
    assert "a.pth: unpacks from" in measure("models", path).text


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".toml", "a = " + "[" * 5_000),
        (".json", "[" * 5_000),
        (".toml", 'model = "g-idrn"\nnetwork = { channels = 1000000 }'),
        (".toml", 'model = "g-idrn"\nnetwork = { num_blocks = 1000000 }'),
    ],
    ids=["toml", "json", "channels", "blocks"],
)
def test_recipes(tmp_path, pictures, measure, suffix, text):
    path = tmp_path / f"a{suffix}"
    path.write_text(text)
    measure(
        "train", path, "-s", "2", "--data", pictures, "--out", tmp_path / "out", "-q"
    )


def test_true_pictures_are_enlarged(tmp_path, measure):
    """The hostile files are well made: those of the same kind that claim little are taken."""
    data = zlib.compress(bytes(64 * 48))
    files = {
        "a.png": png(64, 48),
        "b.tif": tiff(64, 48, data, deflate=True),
        "c.vrt": vrt(64, 16),
    }
    write_all(tmp_path / "in", files)
    paths = [
        tmp_path / "in",
        tmp_path / "in" / "c.vrt",
        tmp_path / "out",
    ]  # mosaics are named
    measure("upscale", "-m", "bicubic", "-s", "2", *paths, codes=(0,))
