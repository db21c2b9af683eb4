"""Somebody who follows a page of documentation: shell blocks in one terminal, Python blocks in one interpreter."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from pathlib import Path

from tests.documentation.page import Block, blocks
from tests.documentation.session import Session

SHOWN = "127.0.0.1:8080"
"""The service's address in all pages."""
ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
"""In what is shown ``...`` stands for anything, and spaces and line ends are alike: tables wrap as a terminal is wide."""


class Reader:
    """Runs the blocks of pages for which there is a session, with the service at another address than the one that is shown."""

    def __init__(self, sessions: Mapping[str, Session], address: str) -> None:
        self._sessions, self._address = sessions, address

    def follow(self, page: Path) -> None:
        """Run all blocks in order; fails when one fails, or prints something else than the page shows."""
        for block in blocks(page):
            if session := self._sessions.get(block.language):
                self._try(block, session, f"{page.name}, line {block.line}")

    def _try(self, block: Block, session: Session, where: str) -> None:
        succeeded, printed = session.run(self._here(block.code))
        assert succeeded, f"{where}: this failed\n{block.code}\nand printed\n{printed}"
        if block.output is not None:
            alike = doctest.OutputChecker().check_output(self._here(block.output), printed, ALIKE)
            assert alike, f"{where}: the page shows\n{block.output}\nand this was printed\n{printed}"

    def _here(self, text: str) -> str:
        return text.replace(SHOWN, self._address)
