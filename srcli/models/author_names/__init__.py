"""Names that authors have for the layers of their networks, in files that they published.

Each module is for the networks of the module of ``baselines`` with its name. Of each kind
of files a function finds what its layers show of the network, and our names for them.
Loading takes them, and exporting for other software takes them the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from srcli.models.author_names import esrgan, light, luma, modern, residual

if TYPE_CHECKING:
    from srcli.models.author_names.form import AuthorFile

AUTHOR_FILES: tuple[AuthorFile, ...] = (
    *light.FILES,
    *luma.FILES,
    *residual.FILES,
    *esrgan.FILES,
    *modern.FILES,
)
"""Files of authors that are known; those before others are tried first."""
