"""Photographs of the training shards that are never trained on, fixed for every comparison."""

from __future__ import annotations

HELD_OUT: tuple[str, ...] = (
    "budgie-108",
    "budgie-125",
    "cid22-144",
    "cid22-172",
    "cid22-222",
    "cid22-305",
    "dedbox-584",
    "elementary-564",
    "fedora-021",
    "lomiri-414",
    "opensuse-739",
    "pixls-053",
    "ubuntu-060",
    "ubuntu-117",
    "ubuntumate-808",
    "xubuntu-897",
)
"""Names of photographs (crop names without crop number and without the ``s`` of a second scale)."""

SHIPPED_EXCLUDES: tuple[str, ...] = ("kde-", "plasma-")
"""Prefixes of names under LGPL/GPL; weights that ship are trained without them."""
