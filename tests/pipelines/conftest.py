"""Fixtures of several pipelines: written pages, read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest


@dataclass
class Node:
    """An element of a page, with what stands in it."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    inside: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All characters inside, in order."""
        return "".join(each if isinstance(each, str) else each.text for each in self.inside)

    def all(self, tag: str | None = None, class_: str | None = None) -> list[Node]:
        """Elements inside, in order, by tag and class."""
        found = []
        for each in self.inside:
            if isinstance(each, Node):
                classes = (each.attributes.get("class") or "").split()
                if tag in (None, each.tag) and (class_ is None or class_ in classes):
                    found.append(each)
                found += each.all(tag, class_)
        return found


class _Reader(HTMLParser):
    """Builds the tree, and refuses what does not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag}: an attribute twice"
        node = Node(tag, dict(attrs))
        self.open[-1].inside.append(node)
        if tag not in ("meta", "img"):
            self.open.append(node)

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].inside.append(data)


@pytest.fixture(scope="session")
def parse():
    """Read a page into a tree of nodes; an element that does not close in order is an error."""

    def read(page: str) -> Node:
        reader = _Reader()
        reader.feed(page)
        reader.close()
        assert len(reader.open) == 1, f"<{reader.open[-1].tag}> stays open"
        return reader.root

    return read
