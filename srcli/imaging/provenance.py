"""Provenance of outputs: the software, model and input that have made their pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from srcli.errors import PictureError
from srcli.files import open_input
from srcli.imaging import exif
from srcli.imaging.photograph import SourceMark, decoding
from srcli.imaging.reading import read_header

if TYPE_CHECKING:
    from pathlib import Path

NAME = "srx"
_OWN = re.compile(
    r"(?P<version>\S+) \((?P<model>.+) x(?P<scale>\d)(?P<auto>, auto)?"
    r"(?:, options (?P<options>[0-9a-f]{8}))?(?:, weights (?P<weights>[0-9a-f]{16}))?"
    r"(?:, source (?P<extension>\w*) (?P<place>[0-9a-f]{8}) (?P<content>[0-9a-f]{8})?)?\)"
)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Software, model and input of an output; without a date, so that outputs can be compared."""

    version: str
    """Of srx."""
    model: str
    """A name of ``srx models``, or the file name of weights."""
    scale: int
    weights: str = ""
    """Start of the SHA-256 of the weights file; empty for models without weights."""
    auto: bool = False
    """The model was chosen by ``--model auto``."""
    options: str = ""
    """Checksum of the options that pixels and size depend on; empty for none."""
    source: SourceMark | None = None
    """None in outputs of earlier versions, which did not record options either."""

    def software(self, earlier: str = "") -> str:
        """Return the text for a Software entry, behind that of the input."""
        auto = ", auto" if self.auto else ""
        options = f", options {self.options}" if self.options else ""
        weights = f", weights {self.weights}" if self.weights else ""
        mark = self.source
        source = f", source {mark.extension} {mark.place} {mark.content}" if mark else ""
        made_by = f"({self.model} x{self.scale}{auto}{options}{weights}{source})"
        own = f"{NAME} {self.version} {made_by}"
        return f"{earlier}; {own}" if earlier else own

    @property
    def tags(self) -> dict[str, str]:
        """GDAL metadata items of the default domain."""
        found = {"VERSION": self.version, "MODEL": self.model, "SCALE": str(self.scale)}
        if self.weights:
            found["WEIGHTS"] = self.weights
        return {f"{NAME.upper()}_{key}": value for key, value in found.items()}


def read_provenance(path: Path) -> Provenance | None:
    """Return the provenance that an output records; no pixels are read.

    It is None where the last entry of its Software is not srx's, or it cannot be read.
    """
    try:
        with decoding(path), open_input(path) as stream:
            metadata = read_header(path, stream).metadata
    except PictureError:
        return None
    text = metadata.software or exif.software(metadata.exif)
    found = _OWN.fullmatch(text.strip().rpartition(f"; {NAME} ")[2].removeprefix(f"{NAME} "))
    if found is None:
        return None
    own: dict[str, Any] = found.groupdict("")
    mark = SourceMark(**{key: own.pop(key) for key in ("extension", "place", "content")})
    own |= {"scale": int(own["scale"]), "auto": bool(own["auto"])}
    return Provenance(**own, source=mark if mark.place else None)
