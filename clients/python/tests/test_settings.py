from __future__ import annotations

import re
import sys
from pathlib import Path

import httpx
import platformdirs
import pytest

from neumeta_client import AsyncClient, Client, ConnectionFailed, InvalidRequest, MissingExtra, Retries


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.delenv("NEUMETA_CLIENT_URL", raising=False)
    monkeypatch.delenv("NEUMETA_CLIENT_CACHE", raising=False)
    monkeypatch.delenv("NEUMETA_CLIENT_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def test_the_url_comes_from_the_environment(call, service, cache, monkeypatch):
    monkeypatch.setenv("NEUMETA_CLIENT_URL", service.url)
    assert call(cache=cache).models()


def test_an_argument_wins_over_the_environment(call, service, cache, monkeypatch):
    monkeypatch.setenv("NEUMETA_CLIENT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE", "/nowhere")
    assert cache in call(url=service.url, cache=cache).pull("lenet-mnist", compression=0.5).path.parents


@pytest.mark.parametrize(
    ("setting", "folder"), [("given", "given"), ("~/given", "given"), ("", None), (None, None)], ids=["a folder", "below home", "empty", "unset"]
)
def test_the_cache_folder_comes_from_the_environment(call, service, monkeypatch, tmp_path, setting, folder):
    monkeypatch.chdir(tmp_path)
    if setting is not None:
        monkeypatch.setenv("NEUMETA_CLIENT_CACHE", setting)
    path = call(url=service.url).pull("lenet-mnist", compression=0.5).path.resolve()
    assert (tmp_path / folder if folder else Path(platformdirs.user_cache_dir("neumeta"))) in path.parents


@pytest.mark.parametrize(
    ("setting", "given", "sent"),
    [(None, None, None), ("", None, None), ("nm_1_a", None, "nm_1_a"), ("nm_1_a", "e.y-J_~+/==", "e.y-J_~+/=="), ("nm_1_a", "", None)],
)
def test_the_token_goes_with_every_request(call, service, cache, monkeypatch, setting, given, sent):
    if setting is not None:
        monkeypatch.setenv("NEUMETA_CLIENT_TOKEN", setting)
    call(url=service.url, cache=cache, token=given).pull("lenet-mnist", compression=0.5)
    assert [headers.get("authorization") for _, _, headers, _ in service.requests] == [sent and f"Bearer {sent}"] * 2


@pytest.mark.parametrize("token", ["s3cret s3cret", "s3cret\n", "s3cret\r\nx: y", "s3crét", " ", b"s3cret"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_token_is_refused_and_not_shown(kind, token):
    with pytest.raises(InvalidRequest, match="token") as caught:
        kind("http://127.0.0.1:1", token=token)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://[::1",
        "http://host\n",
        "http://host:0",
        "http://foo..bar:8080",
        f"http://{'a' * 64}.example",
        b"http://host",
        7,
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_bad_url_is_refused(kind, url):
    with pytest.raises(InvalidRequest, match="url"):
        kind(url)


@pytest.mark.parametrize(
    "url", ["http://[::1]:1", "http://host.", "http://xn--nxasmq6b.example", "http://m\u00fcller.example/\u00fc", "http://a_b:1"]
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_good_url_is_not(kind, url):
    assert kind(url)


def test_a_home_that_nobody_has_is_refused(call, service, cache, monkeypatch):
    for options in ({"cache": "~nosuchuser/x"}, {"cache": cache, "trust_root": "~nosuchuser/root.pub"}, {"cache": cache, "trust_root": "a\0b"}):
        with pytest.raises(InvalidRequest, match=r"cache|trust_root"):
            call(url=service.url, **options).models()
    monkeypatch.setenv("NEUMETA_CLIENT_CACHE", "~nosuchuser/x")
    with pytest.raises(InvalidRequest, match="cache: '~nosuchuser/x'"):
        call(url=service.url).models()


@pytest.mark.parametrize("timeout", [-1, 0, "5", True, float("nan"), float("inf"), 1e9, httpx.Timeout(5, read=-1)], ids=str)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_bad_timeout_is_refused(kind, timeout):
    with pytest.raises(InvalidRequest, match="timeout"):
        kind("http://127.0.0.1:1", timeout=timeout)


@pytest.mark.parametrize("timeout", [300, 1e6, httpx.Timeout(None, connect=300)], ids=str)
def test_a_good_timeout_is_not(call, service, cache, timeout):
    assert call(url=service.url, cache=cache, timeout=timeout).models()


def test_nothing_is_written_before_it_is_needed(call, service, cache):
    call(url=service.url, cache=cache).models()
    assert not cache.exists()


def test_certificates_are_checked_with_https(call, cache, monkeypatch):
    asked = []

    def refuse(**options: object) -> None:
        asked.append(options["verify"])
        raise httpx.ConnectError("nobody there")

    for kind in ("Client", "AsyncClient"):
        monkeypatch.setattr(httpx, kind, refuse)
    for url in ("https://host", "HTTPS://host", "http://host"):
        with pytest.raises(ConnectionFailed):
            call(url=url, cache=cache, retries=Retries(attempts=1)).models()
    assert asked == [True, True, False]


def test_certificates_that_cannot_be_read_are_named(call, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    with pytest.raises(ConnectionFailed, match="SSL_CERT_FILE"):
        call(url="https://127.0.0.1:1", cache=cache, retries=Retries(attempts=1)).models()


def test_a_name_in_the_url_and_a_token_are_one_too_many():
    with pytest.raises(InvalidRequest, match="a user's name, and there is a token"):
        Client("http://user:s3cret@host", token="nm_1_a")


def test_a_client_that_is_closed_says_so(service, cache):
    with Client(service.url, cache=cache) as client:
        client.models()
    with pytest.raises(InvalidRequest, match="is closed"):
        client.models()


@pytest.mark.anyio
async def test_so_does_the_one_that_awaits(service, cache):
    async with AsyncClient(service.url, cache=cache) as client:
        await client.models()
    with pytest.raises(InvalidRequest, match="is closed"):
        await client.models()


@pytest.mark.anyio
async def test_so_does_one_that_never_sent_anything(service, cache):
    with Client(service.url, cache=cache) as client:
        pass
    with pytest.raises(InvalidRequest, match="is closed"):
        client.models()
    async with AsyncClient(service.url, cache=cache) as awaiting:
        pass
    with pytest.raises(InvalidRequest, match="is closed"):
        await awaiting.models()
    assert service.requests == []


@pytest.fixture
def proxied(call, service, cache, monkeypatch):
    """A client whose environment names a proxy for everything."""

    def through(proxy: str) -> object:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv("ALL_PROXY", proxy)
        return call(url=service.url, cache=cache, retries=Retries(attempts=1))

    return through


def test_a_socks_proxy_says_what_it_needs(proxied, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(MissingExtra, match=r"pip install 'httpx\[socks\]'"):
        proxied("socks5://127.0.0.1:1").models()


def test_a_proxy_of_an_unknown_kind_is_a_connection_that_cannot_be_had(proxied):
    with pytest.raises(ConnectionFailed, match="a proxy that cannot be used") as caught:
        proxied("gopher://user:s3cret@127.0.0.1:1").models()
    assert "s3cret" not in str(caught.value)


def test_so_is_a_proxy_whose_name_is_none(proxied):
    with pytest.raises(ConnectionFailed):
        proxied("http://foo..bar:1").models()


def test_the_password_in_a_url_is_sent_and_not_shown(call, service, cache):
    with_password = service.url.replace("//", "//user:s3cret@")
    assert call(url=with_password, cache=cache).models()
    assert service.requests[0][2]["authorization"].startswith("Basic ")
    service.on("models", lambda handler, _: setattr(handler, "close_connection", True))
    with pytest.raises(ConnectionFailed, match=re.escape(service.url)) as caught:
        call(url=with_password, cache=cache, retries=Retries(attempts=1)).models()
    assert "s3cret" not in str(caught.value)
