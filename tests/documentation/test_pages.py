"""Pages that a reader follows from top to bottom."""

from __future__ import annotations

import pytest

from tests.documentation.conftest import ROOT


@pytest.mark.parametrize("page", ["tutorial", "choose-a-size", "bring-your-own-network"])
def test_every_block_works_and_prints_what_is_shown(reader, page):
    reader.follow(ROOT / "docs" / f"{page}.md")
