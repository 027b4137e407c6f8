"""Names that GDAL, formats and bands have, by what they are to srx: ``names.toml``."""

from __future__ import annotations

import tomllib

from srcli.files import shipped_text

TABLES = tomllib.loads(shipped_text("names.toml", "srcli.imaging.rasters"))
"""Tables of what belongs to a name, beside lists of names."""
NAMES = {kind: frozenset(text.split()) for kind, text in TABLES["names"].items()}
"""Lists of names."""
