from __future__ import annotations

import pytest
from neumeta_service.cache.redis_url import RedisUrl


@pytest.mark.parametrize(
    ("url", "topology", "hosts", "service", "plain"),
    [
        ("redis://h:1/2", "", (), "", "redis://h:1/2"),
        ("unix:///run/redis.sock", "", (), "", "unix:///run/redis.sock"),
        ("redis+sentinel://a:1,b/main", "sentinel", (("a", 1), ("b", 26379)), "main", "redis://host/0"),
        ("rediss+sentinel://u:p%40@[::1]:7/main/3?client_name=y", "sentinel", (("::1", 7),), "main", "rediss://u:p%40@host/3?client_name=y"),
        ("redis+cluster://a,b:2", "cluster", (("a", 6379), ("b", 2)), "", "redis://host/0"),
        ("rediss+cluster://u:p@a/0?client_name=y", "cluster", (("a", 6379),), "", "rediss://u:p@host/0?client_name=y"),
    ],
)
def test_parts(url: str, topology: str, hosts: tuple[tuple[str, int], ...], service: str, plain: str) -> None:
    assert RedisUrl.parse(url) == RedisUrl(topology, hosts, service, plain)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://s3cret@h", r"starts with redis://, .* or rediss\+cluster://"),
        ("s3cret", "starts with redis://"),
        ("redis://u:s3cret/@h", "%2F for /"),
        ("redis://s3cret@h?db=x", "cannot be read"),
        ("redis://u:s3cret@\u2100h", "cannot be read"),
        ("redis://u:s3cret@h/x", "number as database"),
        ("redis://u:s3cret@h/0/1", "number as database"),
        ("redis://u:s3cret@h/-1", "number as database"),
        ("unix://u:s3cret@/run/redis.sock?db=-1", "number as database"),
        ("redis+sentinel://u:s3cret@h/main?db=-1", "number as database"),
        ("redis+sentinel://u:s3cret@h", "/SERVICE/DATABASE"),
        ("redis+sentinel://u:s3cret@h/main/x", "/SERVICE/DATABASE"),
        ("redis+sentinel://u:s3cret@h/main/1/2", "/SERVICE/DATABASE"),
        ("redis+sentinel://u:s3cret@/main", "HOST:PORT"),
        ("redis+sentinel://u:s3cret@a,,b/main", "HOST:PORT"),
        ("redis+sentinel://u:s3cret@a:99999/main", "1 to 65535"),
        ("redis+cluster://u:s3cret@a/1", "no databases"),
        ("redis+cluster://u:s3cret@a:x", "HOST:PORT"),
    ],
)
def test_a_wrong_url_is_a_sentence_without_secrets(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        RedisUrl.parse(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        "redis://h/0?ssl_ca_certs=s3cret",
        "redis://h/0?ssl_ca_cert=s3cret",
        "rediss://h/0?ssl_ca_cert=s3cret",
        "rediss://h?ssl_cert_reqs=s3cret",
        "redis://h?timeout=3",
        "redis://h?retry=3",
        "redis://h?max_connections=-1",
        "redis://h?decode_responses=yes",
        "unix:///run/redis.sock?s3cret=1",
        "redis+sentinel://h/main?ssl_ca_certs=s3cret",
        "redis+sentinel://h/main?s3cret=1",
        "redis+sentinel://h/main?sentinel_s3cret=1",
        "redis+sentinel://h/main?sentinel_ssl_ca_certs=s3cret",
        "rediss+sentinel://h/main?sentinel_ssl_cert_reqs=s3cret",
        "redis+cluster://h?ssl_ca_certs=s3cret",
        "rediss+cluster://h?ssl_cert_reqs=s3cret",
        "redis+cluster://h?s3cret=1",
        "redis+cluster://h?db=1",
    ],
)
def test_an_option_that_no_connection_takes_is_a_sentence(options: str) -> None:
    with pytest.raises(ValueError, match=r"an option after the \?") as caught:
        RedisUrl.parse(options)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h?db=1&socket_keepalive=no&client_name=a",
        "redis://h/?health_check_interval=30",
        "rediss://h/1?ssl_ca_certs=/run/ca.pem&ssl_check_hostname=no",
        "unix:///run/redis.sock?db=1",
        "rediss+sentinel://h/main?ssl_ca_certs=/run/ca.pem&sentinel_username=watcher&sentinel_password=p",
        "redis+sentinel://h/main?sentinel_ssl=yes&sentinel_ssl_ca_certs=/run/ca.pem",
        "rediss+cluster://h?ssl_ca_certs=/run/ca.pem&max_connections=64",
    ],
)
def test_options_that_connections_take(url: str) -> None:
    RedisUrl.parse(url)


def test_the_password_is_not_shown() -> None:
    for url in ("redis://:s3cret@h", "redis+cluster://:s3cret@h"):
        assert "s3cret" not in repr(RedisUrl.parse(url))
