"""Provenance of outputs: the software, model and weights that have made the pixels."""

from __future__ import annotations

from dataclasses import dataclass

NAME = "srx"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Software and model of an output; without a date, so that outputs can be compared."""

    version: str
    """Of srx."""
    model: str
    """A name of ``srx models``, or the file name of weights."""
    scale: int
    weights: str = ""
    """Start of the SHA-256 of the weights file; empty for models without weights."""

    def software(self, earlier: str = "") -> str:
        """Return the text for a Software entry, behind that of the input."""
        weights = f", weights {self.weights}" if self.weights else ""
        own = f"{NAME} {self.version} ({self.model} x{self.scale}{weights})"
        return f"{earlier}; {own}" if earlier else own

    @property
    def tags(self) -> dict[str, str]:
        """GDAL metadata items of the default domain."""
        found = {"VERSION": self.version, "MODEL": self.model, "SCALE": str(self.scale)}
        if self.weights:
            found["WEIGHTS"] = self.weights
        return {f"{NAME.upper()}_{key}": value for key, value in found.items()}
