"""Times of frames: clocks of recordings begin anywhere and anew on the way, rates are stated.

What a container states of a rate is often that of its clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.stream import VideoStream

_ARBITRARY = frozenset({"mpegts", "mpeg", "flv"})
"""Containers of recorders and broadcasts, whose times count from any moment."""
_INTERRUPTED = frozenset({"mpegts", "mpeg"})
"""Those whose clocks may jump, as between the chapters of a DVD."""
_LONGEST_GAP = 10
"""Seconds that times may jump ahead, as where reception was bad."""
_LARGEST_STEP_BACK = Fraction(1, 10)
"""Seconds that times may go back, as they are not in order."""
_SLOWEST_CLOCK = 1000
"""Ticks of a second from which on a stated rate is that of the container's clock, and says
nothing about frames: of Matroska, WMV and FLV; raw DV has 60,000, MPEG 90,000."""
_USUAL_RATE = Fraction(25)
_MOST_GAPS = 0.1
"""Share of the steps between frames that may be others where a rate is constant."""


@dataclass(frozen=True)
class Pace:
    """How fast the frames of a video follow each other."""

    rate: Fraction
    """Frames a second. Of a variable rate it is the most of any second: encoders choose the
    level by it, which says what a decoder has to bear."""
    is_constant: bool


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


def stated_rates(stream: VideoStream) -> list[Fraction]:
    """Return what FFmpeg takes for frames a second, the best first; 25 where it knows none."""
    rates = []
    for rate in (stream.guessed_rate, stream.average_rate, stream.base_rate):
        if rate and rate < _SLOWEST_CLOCK:
            rates.append(rate)
    return rates or [_USUAL_RATE]


def pace_of(
    starts: list[int], tick: float, nominal_rates: Sequence[Fraction] = (_USUAL_RATE,)
) -> Pace:
    """Return the pace of frames that are shown at these times, in ticks of so many seconds.

    Times decide, as nominal rates may be those of another program; a statement that agrees
    with them is exact, where times are rounded to milliseconds.
    """
    times = np.unique(starts) * tick
    steps = np.diff(times)
    if not len(steps):
        return Pace(nominal_rates[0], is_constant=True)
    usual = np.median(steps)
    # up to two of them are rounded, often to milliseconds on the way here
    rounding = 1.01 * max(tick, 0.001)
    is_usual = np.abs(steps - usual) <= min(rounding, usual / 2)
    if is_usual.mean() < 1 - _MOST_GAPS:
        within = np.searchsorted(times, times + 1) - np.arange(len(times))
        most = max(float(within.max()), 1 / steps.mean())
        return Pace(_simple(most), is_constant=False)
    rate = 1 / steps[is_usual].mean()
    for stated in nominal_rates:
        # the two fields of an interlaced frame may come one by one
        apart = min(abs(rate - stated), abs(rate - 2 * stated))
        if apart < stated / 100:
            return Pace(stated, is_constant=True)
    return Pace(_simple(rate), is_constant=True)


def _simple(rate: float) -> Fraction:
    """Return a rate as a fraction that encoders take."""
    return Fraction(rate).limit_denominator(1001)
