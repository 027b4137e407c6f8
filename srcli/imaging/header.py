"""What the header of a picture file says, before any pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Header:
    """One file's header; sizes are those of the stored pixels, before any orientation."""

    format: str
    """A key of ``FORMATS``, or ``"gif"``."""
    height: int
    width: int
    channels: int
    """Colour channels of the photograph that it becomes: 1 or 3."""
    has_alpha: bool
    bits: int
    """Of the photograph that it becomes: 8, 16 or 32 (floating point)."""
    frames: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    """As stored, orientation included."""
    xmp: bytes | None = None
    """As stored."""
    dpi: tuple[float, float] | None = None
    orientation: int = 0
    """1 to 8; 0 if the format's own tags do not state it."""
    notes: list[str] = field(default_factory=list)
    """What the photograph will not keep."""
