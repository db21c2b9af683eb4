from __future__ import annotations

import pytest
from neumeta_service.http.negotiation import preferred

BYTES, JSON = "application/octet-stream", "application/json"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, BYTES),
        ("", BYTES),
        ("*/*", BYTES),
        ("application/*", BYTES),
        (BYTES, BYTES),
        (JSON, JSON),
        ("APPLICATION/JSON", JSON),
        ("application/json, */*", JSON),
        ("application/json;q=0.5, */*", BYTES),
        ("application/json;q=0.5, application/octet-stream;q=0.4", JSON),
        ("application/json; charset=utf-8; Q=0.5, */*;q=0.1", JSON),
        ("*/*;q=0.1, application/octet-stream;q=0", JSON),
        ("application/*;q=0.9, application/octet-stream;q=0.1", JSON),
        ("text/html, application/json;q=0.001", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("*/*;q=0.000", None),
        ("application/json;q=2", None),
        ("application/json;q=high, application/octet-stream;q=0.1", BYTES),
        ("rubbish", None),
        ("rubbish, application/json", JSON),
        (",,application/json,", JSON),
    ],
)
def test_preferred(accept: str | None, expected: str | None) -> None:
    assert preferred(accept, [BYTES, JSON]) == expected
