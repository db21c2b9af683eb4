"""Links between the pages of the repository, and to its files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documentation.conftest import ROOT

FOLDERS = (".", "docs", "clients/*", "models/*/*")
PAGES = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.md"))


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> Iterator[str]:
    """What GitHub calls the headings of a page: a repeated one gets a number."""
    seen: Counter[str] = Counter()
    for title in re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE):
        name = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        yield f"{name}-{seen[name]}" if seen[name] else name
        seen[name] += 1


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), f"{page}: {link} leads to no file."
        assert not anchor or anchor in anchors(found.read_text()), f"{page}: {link} leads to no heading of {found.name}."


def test_the_readme_leads_to_every_page_of_the_documentation() -> None:
    reached, waiting = {"README.md"}, ["README.md"]
    while waiting:
        path = ROOT / waiting.pop()
        for link in re.findall(r"\]\(([^)\s#:]+\.md)", path.read_text()):
            name = str((path.parent / link).resolve().relative_to(ROOT))
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    assert {page for page in PAGES if Path(page).parts[0] == "docs"} <= reached
