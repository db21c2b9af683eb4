"""How a service is reached.

What sends is loaded when something is sent for the first time, as that takes longer than a pull from the cache.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, TypeVar
from urllib.parse import urlsplit

from neumeta_client._errors import ConnectionFailed, InvalidRequest, MissingExtra
from neumeta_client._protocol import one_line
from neumeta_client._version import __version__

if TYPE_CHECKING:
    import httpx

C = TypeVar("C")
DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_S, DEFAULT_CONNECT_S = 60.0, 5.0
LONGEST_TIMEOUT_S = 1e6
"""A socket waits for no more than 2^31 milliseconds."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class Connection:
    """Address, token and patience of a client."""

    url: str = field(repr=False)
    address: str
    """The URL without a user's name and password."""
    headers: Mapping[str, str] = field(repr=False)
    """What every request carries."""
    timeout: float | httpx.Timeout | None

    @classmethod
    def to(cls, url: str | None, *, token: str | None, timeout: float | httpx.Timeout | None) -> Connection:
        """A connection to ``url``, else to NEUMETA_CLIENT_URL, else to this machine. Raises InvalidRequest."""
        text = url if url is not None else os.environ.get("NEUMETA_CLIENT_URL") or DEFAULT_URL
        address, headers = _address(text), _headers(token)
        if urlsplit(text).username is not None and "Authorization" in headers:
            raise InvalidRequest("url: it has a user's name, and there is a token; one header carries either (RFC 9110), expected one of them.")
        _check_timeout(timeout)
        return cls(text, address, headers, timeout)

    def opened(self, kind: Callable[..., C], transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None) -> C:
        """An httpx client of this kind. Raises MissingExtra or ConnectionFailed for a proxy or certificates of the environment that it cannot use."""
        try:
            return kind(transport=transport, **self._options())
        except ImportError as error:
            raise MissingExtra("The environment names a SOCKS proxy, and socksio is not installed: pip install 'httpx[socks]'.") from error
        except ValueError as error:
            raise ConnectionFailed(f"The environment names a proxy that cannot be used: {one_line(str(error)).rstrip('.')}.") from error
        except OSError as error:
            raise ConnectionFailed(f"The certificates that the environment names (SSL_CERT_FILE, SSL_CERT_DIR) cannot be read: {error}.") from error

    def closed(self) -> InvalidRequest:
        """What is raised when something is to be sent after the end."""
        return InvalidRequest(f"This client of {self.address} is closed; open a new one.")

    def _options(self) -> dict[str, Any]:
        import httpx

        timeout = httpx.Timeout(DEFAULT_TIMEOUT_S, connect=DEFAULT_CONNECT_S) if self.timeout is None else self.timeout
        # With http there is no TLS, as redirects are not followed; loading the certificates of all authorities takes a while.
        return {"base_url": self.url, "timeout": timeout, "headers": self.headers, "verify": self.address.startswith("https:")}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """The one place where failures of httpx become ConnectionFailed."""
        import httpx

        try:
            yield
        except httpx.TimeoutException as error:
            raise ConnectionFailed(f"{self.address} did not answer in time ({type(error).__name__}).") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:  # The last for a proxy's name that is none.
            reason = one_line(str(error)).rstrip(".") or type(error).__name__
            raise ConnectionFailed(f"The connection to {self.address} failed: {reason}.") from error


def _address(url: str) -> str:
    expected = "expected http://HOST:PORT or https://HOST"
    try:
        parsed = urlsplit(url)
        host = parsed.hostname or ""
        is_good = parsed.scheme in ("http", "https") and bool(host) and url.isprintable() and parsed.port != 0
        if host.isascii():
            host.encode("idna")  # As it will be looked up; other names httpx converts. An empty or long label is a UnicodeError.
    except (ValueError, AttributeError) as error:
        raise InvalidRequest(f"url: {url!r} is not allowed; {expected}.") from error
    if not is_good:
        raise InvalidRequest(f"url: {url!r} is not allowed; {expected}.")
    return parsed._replace(netloc=parsed.netloc.rpartition("@")[2]).geturl()


def _check_timeout(timeout: float | httpx.Timeout | None) -> None:
    """Raises InvalidRequest for what no socket takes."""
    parts = [timeout] if timeout is None or not hasattr(timeout, "as_dict") else timeout.as_dict().values()
    for part in parts:
        is_number = isinstance(part, (int, float)) and not isinstance(part, bool)
        if part is not None and not (is_number and 0 < part <= LONGEST_TIMEOUT_S):
            raise InvalidRequest(f"timeout: {part!r:.100} is not allowed; expected seconds, more than 0 and at most {LONGEST_TIMEOUT_S:.0f}.")


def _headers(token: str | None) -> dict[str, str]:
    """With a token (the argument, else NEUMETA_CLIENT_TOKEN) ``Authorization`` too. Raises InvalidRequest."""
    secret = token if token is not None else os.environ.get("NEUMETA_CLIENT_TOKEN", "")
    always = {"User-Agent": f"neumeta-client/{__version__}"}
    if not secret:
        return always
    if not isinstance(secret, str) or not _TOKEN.fullmatch(secret):
        raise InvalidRequest("token: this is no bearer token (RFC 6750); expected A-Z, a-z, 0-9 and -._~+/, without spaces or line ends.")
    return {**always, "Authorization": f"Bearer {secret}"}
