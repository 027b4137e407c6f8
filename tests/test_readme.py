"""README.md and its Chinese translation have the same commands, figures, names and links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
REMARK = re.compile(r"(?<=\S)\s{2,}.*")
"""What follows a command after two blanks; it is translated."""


def facts(name: str) -> dict[str, list[str]]:
    """Collect everything in a README that a translation must keep."""
    text = (
        (ROOT / name).read_text(encoding="utf-8").replace("README.zh.md", "README.md")
    )
    prose = FENCE.sub("", text)
    words = re.sub(r"`[^`]+`|\]\([^)]*\)", "", prose)
    return {
        "commands": [
            REMARK.sub("", line) for line in "\n".join(FENCE.findall(text)).splitlines()
        ],
        "headings": re.findall(r"^#+", prose, re.MULTILINE),
        "rows": [row.count("|") for row in re.findall(r"^\|.*", prose, re.MULTILINE)],
        "names": sorted(re.findall(r"`[^`]+`", prose)),
        "links": sorted(re.findall(r"\]\(([^)]*)\)", prose)),
        "figures": sorted(re.findall(r"\d+(?:\.\d+)?", words)),
    }


def test_the_chinese_readme_says_the_same():
    assert facts("README.zh.md") == facts("README.md")
    assert len(facts("README.md")["commands"]) > 20  # they were found
