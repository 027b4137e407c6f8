"""Fixtures of several pipelines: written pages, read back, or shown in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image


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


FRAME = """<!DOCTYPE html><body style="margin:0"><pre id="found" hidden></pre>
<iframe id="frame" style="border:0; width:{width}px; height:{height}px" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  const inner = frame.contentWindow, whole = frame.contentDocument, root = whole.documentElement;
  const place = (node) => {{ const b = node.getBoundingClientRect(); return [b.x, b.y]; }};
  const result = {{
    width: inner.innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    requests: inner.performance.getEntriesByType("resource").map((e) => e.name),
    dark: inner.matchMedia("(prefers-color-scheme: dark)").matches,
  }};
  {script}
  found.textContent = JSON.stringify(result);
}};
</script></body>"""


@pytest.fixture(scope="session")
def browse(tmp_path_factory):
    """Show a page in chromium: what a script found there, the screenshot, what it complained of.

    The page stands unchanged in a frame of the width asked for, as windows cannot be as narrow as
    a telephone; no name of any other host can be resolved. A script adds to ``result``; it knows
    the page as ``whole``, its window as ``inner``, and where a node lies by ``place(node)``.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.fail(f"none of {', '.join(names)} is on PATH: install chromium for these tests")

    def show(page, script, *, width=1280, height=900, dark=False):
        folder = tmp_path_factory.mktemp("browser")
        text = FRAME.format(
            width=width, height=height, page=html.escape(page, quote=True), script=script
        )
        (folder / "frame.html").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--force-color-profile=srgb",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--user-data-dir={folder / 'profile'}",
                f"--window-size={max(width, 600)},{height + 200}",
                "--enable-logging=stderr",
                f"--screenshot={folder / 'shot.png'}",
                "--dump-dom",
                (folder / "frame.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        match = re.search(r'<pre id="found"[^>]*>(.*?)</pre>', done.stdout, re.DOTALL)
        assert match, f"{program} came to nothing: {done.stderr[-2000:]}"
        assert match[1], f"the probe failed: {done.stderr[-2000:]}"
        shot = np.asarray(Image.open(folder / "shot.png").convert("RGB"))[:height, :width]
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return json.loads(html.unescape(match[1])), shot, complaints

    return show
