"""Closed captions of television (CEA-608 and 708), which lie between the frames of a video."""

from __future__ import annotations

_HEADERS = {"libx264": b"\x06", "libx265": b"\x4e\1"}
"""Headers of units that hold messages in front of a frame (SEI), by encoders."""
_REGISTERED_DATA = 4
"""Number of the kind of message."""
_ATSC = b"\xb5\0\x31GA94\3"
"""Country, provider and kind of captions, by ATSC A/53."""
_MOST_GROUPS = 31


def holds_captions(encoder: str) -> bool:
    """Tell if an encoder's frames can have captions beside them."""
    return encoder in _HEADERS


def caption_unit(encoder: str, groups: bytes) -> bytes:
    """Return a unit with captions, in groups of three bytes, to stand in front of a frame.

    It is empty for encoders whose frames have none.
    """
    if encoder not in _HEADERS:
        return b""
    count = min(len(groups) // 3, _MOST_GROUPS)
    payload = _ATSC + bytes([0xC0 | count, 0xFF]) + groups[: 3 * count] + b"\xff"
    message = bytes([_REGISTERED_DATA, len(payload)]) + payload + b"\x80"
    return b"\0\0\0\1" + _HEADERS[encoder] + _escape(message)


def _escape(content: bytes) -> bytes:
    """Return content without bytes that look like the start of a unit."""
    escaped = bytearray()
    zeros = 0
    for value in content:
        if zeros >= 2 and value <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(value)
        zeros = zeros + 1 if value == 0 else 0
    return bytes(escaped)
