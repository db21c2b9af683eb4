"""Headers that keep browsers from doing more with an answer than it is for: constants, encoded once."""

from __future__ import annotations

from starlette.types import Scope

Headers = tuple[tuple[bytes, bytes], ...]
PAGE = "/docs"
"""Where the page of the API is."""
EXPLORER = "/"


def security_headers(policy: str) -> Headers:
    """The headers with one Content-Security-Policy (CSP level 3)."""
    return (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"content-security-policy", policy.encode("ascii")),
    )


# JSON and bytes load nothing, and nobody frames them.
_OF_DATA = security_headers("default-src 'none'; frame-ancestors 'none'")
# Swagger UI sets styles on its elements and has pictures as data. Its script is a file, so none in the page is run.
_OF_PAGE = security_headers(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Networks run in the explorer as WebAssembly; nothing else is compiled from what was downloaded, and no script or style stands in the page.
_OF_EXPLORER = security_headers(
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OF_PATH = {PAGE: _OF_PAGE, EXPLORER: _OF_EXPLORER}


def security_headers_of(scope: Scope) -> Headers:
    """The headers for the answer to a request."""
    return _OF_PATH.get(scope["path"], _OF_DATA)
