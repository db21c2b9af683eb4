"""The signed answers that the client is tested with are those that the core makes, and both judge them alike."""

from __future__ import annotations

import pytest

from tests.contract import vectors


def test_the_file_holds_what_the_core_makes() -> None:
    assert vectors.FILE.read_text() == vectors.text(), "a format has changed; python -m tests.contract.vectors writes the file anew"


@pytest.mark.parametrize("made", vectors.vectors(), ids=lambda made: made["name"])
def test_the_core_judges_as_the_client_does(made: vectors.Vector) -> None:
    assert vectors.opens(made) is made["opens"]
