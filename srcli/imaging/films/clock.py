"""Times of recordings and discs: their clocks begin anywhere, and begin anew on the way."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

_ARBITRARY = frozenset({"mpegts", "mpeg", "flv"})
"""Containers of recorders and broadcasts, whose times count from any moment."""
_INTERRUPTED = frozenset({"mpegts", "mpeg"})
"""Those whose clocks may jump, as between the chapters of a DVD."""
_LONGEST_GAP = 10
"""Seconds that times may jump ahead, as where reception was bad."""
_LARGEST_STEP_BACK = Fraction(1, 10)
"""Seconds that times may go back, as they are not in order."""


class Clock:
    """Makes the times of a container's packets begin at 0, and go on where they jump.

    Packets of sound and pictures have to come in the order of the file.
    """

    def __init__(self, container: InputContainer) -> None:
        name = container.format.name
        self._offset = Fraction(0)
        """Seconds by which times become larger."""
        if name in _ARBITRARY:
            self._offset = -Fraction(container.start_time or 0, 1_000_000)
        self._is_interrupted = name in _INTERRUPTED
        self._next: dict[int, Fraction] = {}
        """Seconds at which the next packet of each stream is expected."""
        self._delays: dict[int, int] = {}
        """Time from decoding to showing of the packet before, of each stream."""

    def correct(self, packet: Packet[Any]) -> None:
        """Change the times of a packet."""
        stated = packet.pts if packet.dts is None else packet.dts
        if stated is None:
            return
        base = packet.time_base
        if self._is_interrupted and packet.stream.type in ("video", "audio"):
            self._correct_delay(packet)
            time = stated * base + self._offset
            expected = self._next.get(packet.stream_index, time)
            step = time - expected
            if step > _LONGEST_GAP or step < -_LARGEST_STEP_BACK:
                self._offset -= step
                time = expected
            self._next[packet.stream_index] = time + (packet.duration or 0) * base
        offset = round(self._offset / base)
        if packet.pts is not None:
            packet.pts += offset
        if packet.dts is not None:
            packet.dts += offset

    def _correct_delay(self, packet: Packet[Any]) -> None:
        """Show a packet soon after it is decoded, also where only one of the times has jumped.

        FFmpeg's parser takes the time of showing from the next piece for the last frame
        of a piece.
        """
        if packet.pts is None or packet.dts is None:
            return
        delay = packet.pts - packet.dts
        if not 0 <= delay * packet.time_base <= _LONGEST_GAP:
            delay = self._delays.get(packet.stream_index, 0)
            packet.pts = packet.dts + delay
        self._delays[packet.stream_index] = delay
