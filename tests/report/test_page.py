"""Markup is escaped unless it is markup already."""

from __future__ import annotations

import pytest

from srcli.report.page import Markup, element, escape, join, start


def test_text_is_escaped_once():
    inner = element("b", "a < b & 'c'")
    assert inner == "<b>a &lt; b &amp; &#x27;c&#x27;</b>"
    assert element("p", inner, "<i>") == f"<p>{inner}&lt;i&gt;</p>"
    assert escape(inner) is inner


def test_attributes_are_quoted_and_named():
    found = start("img", alt='say "<x>"', class_="a", aria_hidden="true", width=3)
    assert found == '<img alt="say &quot;&lt;x&gt;&quot;" class="a" aria-hidden="true" width="3">'


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, "<p hidden>"), (False, "<p>"), (None, "<p>"), (0, '<p hidden="0">')],
)
def test_attributes_may_stand_alone_or_stay_away(value, expected):
    assert start("p", hidden=value) == expected


def test_parts_are_joined_as_markup():
    assert join(Markup("<br>"), "&") == "<br>&amp;"
    assert isinstance(join("a"), Markup)


def test_half_characters_can_be_written():
    assert escape("caf\udce9").encode("utf-8") == b"caf?"
