"""The fixed list of held-out photographs."""

from __future__ import annotations

from srcli.data.pictures import photograph_of
from srcli.recipes.held_out import HELD_OUT, SHIPPED_EXCLUDES


def test_the_list_names_photographs_not_crops_and_none_that_is_excluded():
    assert len(HELD_OUT) == len(set(HELD_OUT)) == 16
    assert all(photograph_of(name) == name for name in HELD_OUT)
    assert not any(name.startswith(SHIPPED_EXCLUDES) for name in HELD_OUT)
