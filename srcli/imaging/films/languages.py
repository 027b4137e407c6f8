"""Give languages of tracks the names by which FFmpeg's muxer of QuickTime knows them."""

from __future__ import annotations

from collections.abc import Mapping

# fmt: off
_NAMES_IN_MOV = {
    "bod": "tib", "cym": "wel", "cze": "ces", "deu": "ger", "ell": "gre", "eus": "baq",
    "fao": "fo ", "fas": "per", "fre": "fra", "gle": "iri", "hye": "arm", "isl": "ice",
    "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "nld": "dut", "nno": "nor",
    "nob": "nor", "rum": "ron", "slo": "slk", "sqi": "alb", "srp": "sr ", "swe": "sve",
    "zho": "chi",
}
# fmt: on
"""Of the two names of ISO 639-2 that some languages have, FFmpeg knows one there, and
writes no language for the other. Its name of Swedish is neither."""


def track_texts(texts: Mapping[str, str], muxer: str) -> dict[str, str]:
    """Return the texts of a track, with a language that the muxer writes."""
    fitted = dict(texts)
    if muxer == "mov" and "language" in fitted:
        language = fitted["language"]
        fitted["language"] = _NAMES_IN_MOV.get(language, language)
    return fitted
