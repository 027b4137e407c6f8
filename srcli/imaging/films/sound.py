"""Convert sound without loss for containers that do not hold its kind: of old phones and DVDs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.container import OutputContainer

    AnyPacket = Packet[Any]

LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""Layouts of sound by FFmpeg's names where none is stated, as in AVI; mp4 needs one for PCM."""
_ENCODERS = {"matroska": "flac", "mp4": "alac", "mov": "alac"}
"""Kinds without loss by FFmpeg's names of containers; WebM holds none."""
_WORKING_FORMATS = {
    "flac": ("s16", "s32"),
    "alac": ("s16p", "s32p"),
    "pcm": ("s16", "s32"),
}
"""Formats of samples of up to 16 bits, and of more, that encoders take."""


class SoundConversion:
    """Decodes the sound of one stream, and encodes it as another one."""

    def __init__(self, stream: Any, copy: Any, sample_format: str) -> None:  # noqa: ANN401 - of PyAV
        from av import AudioResampler

        context = copy.codec_context
        self.name = context.name
        self._stream = stream
        self._copy = copy
        self._resampler = AudioResampler(
            sample_format, context.layout, context.sample_rate
        )

    def convert(self, packet: AnyPacket) -> list[AnyPacket]:
        """Return the packets that are complete with this one."""
        packets = []
        for decoded in self._stream.codec_context.decode(packet):
            for frame in self._resampler.resample(decoded):
                packets += self._encode(frame)
        return packets

    def finish(self) -> list[AnyPacket]:
        """Return the packets that are left."""
        packets = []
        for frame in self._resampler.resample(None):
            packets += self._encode(frame)
        return [*packets, *self._encode(None)]

    def _encode(self, frame: Any) -> list[AnyPacket]:  # noqa: ANN401 - of PyAV
        packets = self._copy.encode(frame)
        return [packet for packet in packets if packet.size]


def convert_sound(
    stream: Any,  # noqa: ANN401 - of any type
    output: OutputContainer,
) -> SoundConversion | None:
    """Add a stream for sound that is converted; None where that is not possible."""
    import av

    context = getattr(stream, "codec_context", None)
    muxer = output.format.name
    if stream.type != "audio" or context is None or muxer not in _ENCODERS:
        return None
    is_pcm = context.name.startswith("pcm_")
    encoder = "pcm" if is_pcm else _ENCODERS[muxer]
    decoded = getattr(context.format, "name", "")
    is_deep = decoded.startswith(("s32", "s64", "dbl"))
    if is_pcm and decoded.startswith("flt"):
        is_deep = True
    sample_format = _WORKING_FORMATS[encoder][is_deep]
    if is_pcm:
        encoder = "pcm_s24le" if is_deep else "pcm_s16le"
    layout = LAYOUTS.get(context.layout.name, context.layout.name)
    try:
        copy: Any = output.add_stream(encoder, rate=context.sample_rate)
        copy.codec_context.layout = layout
        copy.codec_context.format = sample_format
        if encoder == "flac" and is_deep:
            copy.codec_context.options = {"strict": "experimental"}
    except (ValueError, av.FFmpegError):
        return None
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    return SoundConversion(stream, copy, sample_format)
