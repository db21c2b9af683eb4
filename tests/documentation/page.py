"""The fenced blocks of a page of documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block; ``line`` is that of its fence, ``output`` the ``text`` block behind it, which is what it prints."""

    language: str
    code: str
    line: int
    output: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order, ``text`` blocks as the output of the block before them."""
    text, found = page.read_text(), list[Block]()
    for fenced in _FENCED.finditer(text):
        language, code = fenced.groups()
        if language == "text":
            found[-1] = replace(found[-1], output=code)
        else:
            found.append(Block(language, code, text.count("\n", 0, fenced.start()) + 1))
    return found
