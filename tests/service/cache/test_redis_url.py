from __future__ import annotations

import pytest
from neumeta_service.cache.redis_url import RedisUrl


@pytest.mark.parametrize(
    ("url", "topology", "hosts", "service", "plain"),
    [
        ("redis://h:1/2", "", (), "", "redis://h:1/2"),
        ("unix:///run/redis.sock", "", (), "", "unix:///run/redis.sock"),
        ("redis+sentinel://a:1,b/main", "sentinel", (("a", 1), ("b", 26379)), "main", "redis://host/0"),
        ("rediss+sentinel://u:p%40@[::1]:7/main/3?x=y", "sentinel", (("::1", 7),), "main", "rediss://u:p%40@host/3?x=y"),
        ("redis+cluster://a,b:2", "cluster", (("a", 6379), ("b", 2)), "", "redis://host/0"),
        ("rediss+cluster://u:p@a/0?x=y", "cluster", (("a", 6379),), "", "rediss://u:p@host/0?x=y"),
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


def test_the_password_is_not_shown() -> None:
    for url in ("redis://:s3cret@h", "redis+cluster://:s3cret@h"):
        assert "s3cret" not in repr(RedisUrl.parse(url))
