from __future__ import annotations

import io

from PIL import Image

from srcli.imaging import structure


def encoded() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (9, 8, 7, 6)).save(buffer, "AVIF")
    return buffer.getvalue()


def test_code_points_are_read_as_written():
    assert structure.code_points(encoded()) == (1, 13)
    changed = structure.with_code_points(encoded(), bytes((9, 16, 0, 1)))
    assert structure.code_points(changed) == (9, 16)
    before, after = (Image.open(io.BytesIO(data)) for data in (encoded(), changed))
    assert before.tobytes() == after.tobytes()


def test_damaged_boxes_say_nothing_and_fail_nothing():
    data = encoded()
    for at in range(data.index(b"meta"), data.index(b"mdat")):
        for value in (0, 1, 255):
            found = structure.code_points(data[:at] + bytes([value]) + data[at + 1 :])
            assert found is None or max(found) < 2**16
        cut = structure.code_points(data[:at])
        assert cut in (None, (1, 13))
    assert structure.code_points(data[: data.index(b"ipma")]) is None
    assert structure.code_points(b"") is None
