"""A Software entry is added to EXIF without moving anything that makers' notes may point at."""

from __future__ import annotations

import pytest
from PIL import Image

from srcli.imaging.exif import SOFTWARE, read_main, software, with_texts
from srcli.imaging.fitting import PixelMap, fit_exif

UNCHANGED = PixelMap(before=(8, 8), after=(8, 8))


def with_software(exif, text):
    return with_texts(exif, {SOFTWARE: text}, overwrite=True)


def block(order, *, earlier):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0132], exif[0x8298] = "Maker", "2024:05:06 07:08:09", "(c) Someone"
    if earlier:
        exif[0x0131] = "Camera"
    exif.get_ifd(0x8769)[0x927C] = b"note" * 5
    return exif.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("earlier", [True, False])
def test_the_software_entry_is_set_and_all_else_stays_in_place(order, earlier):
    before = block(order, earlier=earlier)
    after = with_software(before, "Müller 2.0")
    assert software(after) == "Müller 2.0"
    assert software(before) == ("Camera" if earlier else "")
    number = int.from_bytes(before[14:16], "little" if order == "<" else "big")
    values = 14 + 2 + 12 * number + 4
    assert after[values : len(before)] == before[values:]
    exif = Image.Exif()
    exif.load(fit_exif(after, UNCHANGED))
    tags = list(read_main(after))[::-1]
    assert tags == sorted(tags)
    assert (exif[0x010F], exif[0x8298]) == ("Maker", "(c) Someone")
    assert exif.get_ifd(0x8769)[0x927C] == b"note" * 5


def test_a_new_block_and_damaged_ones():
    exif = Image.Exif()
    exif.load(with_software(None, "srx"))
    assert dict(exif) == {0x0131: "srx"}
    assert software(b"damaged") == software(None) == ""
    with pytest.raises(ValueError, match="no TIFF structure"):
        with_software(b"damaged", "srx")
