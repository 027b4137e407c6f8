"""Names that GDAL, formats and bands have, by what they are to srx: ``names.toml``."""

from __future__ import annotations

import tomllib

from srcli.files import shipped_text

_TABLE = tomllib.loads(shipped_text("names.toml", "srcli.imaging.rasters"))
NAMES = {kind: frozenset(text.split()) for kind, text in _TABLE.items()}
"""Names by the keys of the table."""
