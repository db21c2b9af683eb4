"""Where Redis is: one server, a primary that sentinels know, or a cluster, all as URLs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
_UNREADABLE = "a part of the URL cannot be read; in a user name or password write %2F for / and %40 for @"
_FOR_SENTINELS = "sentinel_"


@dataclass(frozen=True)
class RedisUrl:
    """A URL, taken apart. Its ``repr`` shows no password."""

    topology: str
    """Empty for one server, else ``sentinel`` or ``cluster``."""
    hosts: tuple[tuple[str, int], ...]
    """Of the sentinels, or of some nodes of the cluster; the client learns the rest from them."""
    service: str
    """Name that the sentinels know the primary by."""
    plain: str
    """As the library reads it: one host, no topology."""

    def __repr__(self) -> str:
        return f"RedisUrl({self.topology or 'one server'})"

    @classmethod
    def parse(cls, url: str) -> RedisUrl:
        """Take a URL apart. Raises ValueError with a sentence that does not show the URL."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(_UNREADABLE) from None  # Of host and password in letters that look like others, and quotes both.
        if parts.scheme not in SCHEMES:
            raise ValueError(f"expected a URL that starts with {', '.join(f'{scheme}://' for scheme in SCHEMES[:-1])} or {SCHEMES[-1]}://")
        transport, _, topology = parts.scheme.partition("+")
        if topology:
            user, _, hosts = parts.netloc.rpartition("@")
            service, database = _service_and_database(parts, topology)
            netloc = f"{user}@host" if user else "host"
            plain = parts._replace(scheme=transport, netloc=netloc, path=f"/{database}").geturl()
            parsed = cls(topology, tuple(_host(text, _DEFAULT_PORTS[topology]) for text in hosts.split(",")), service, _readable(plain))
        else:
            parsed = cls("", (), "", _readable(url))
        parsed._check_options()
        return parsed

    def connect(self, *, timeout_s: float) -> Redis | RedisCluster:
        """A client that gives up after ``timeout_s`` and does not try again; it connects when it is first used.

        The library's own retries and timeouts can hold a request for a minute; a cache has to fail at once.
        """
        at_once = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "protocol": 2}
        if not self.topology:
            return Redis.from_pool(ConnectionPool.from_url(self.plain, retry=_no_retry(), **at_once))
        options: dict[str, Any] = {**parse_url(self.plain)} | at_once
        options["ssl"] = options.pop("connection_class", None) is not None
        del options["host"]
        if self.topology == "cluster":
            _refuse_unread(options)
            # One retry: what a node answers that is no longer responsible is found out only by asking it.
            return RedisCluster(startup_nodes=[ClusterNode(*host) for host in self.hosts], retry=Retry(NoBackoff(), 1), **options)
        theirs = {name: options.pop(name) for name in list(options) if name.startswith(_FOR_SENTINELS)}
        to_sentinels = {name: value for name, value in options.items() if name.startswith(("ssl", "socket_", "protocol"))}
        to_sentinels |= {name.removeprefix(_FOR_SENTINELS): value for name, value in theirs.items()}
        _refuse_unread(to_sentinels)
        sentinel = Sentinel(self.hosts, sentinel_kwargs=to_sentinels | {"retry": _no_retry()}, **options)  # type: ignore[no-untyped-call]
        primary: Redis = sentinel.master_for(self.service, connection_pool_class=_SentinelPool, retry=_no_retry())
        return primary

    def _check_options(self) -> None:
        try:
            for connection in _unused_connections(self.connect(timeout_s=1)):
                # Artifacts are no text: this raises when replies would be decoded.
                connection.encoder.decode(b"\xff")  # type: ignore[no-untyped-call]
        except Exception:  # The library raises anything, and its message may quote what stands in the URL.
            raise ValueError(
                "an option after the ? is none that such connections have, or has a wrong value; those that begin with ssl_ need rediss"
            ) from None


class _SentinelPool(SentinelConnectionPool):
    """Closes the connections to the sentinels too, which the library leaves open."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _unused_connections(client: Redis | RedisCluster) -> Iterator[AbstractConnection]:
    """One of each kind that the client will use. Nothing is sent, but only now the library reads most options."""
    if isinstance(client, RedisCluster):
        for node in client.nodes_manager.startup_nodes.values():
            yield node.connection_class(**node.connection_kwargs)
        return
    pools = [client.connection_pool]
    if isinstance(pools[0], SentinelConnectionPool):
        pools += [sentinel.connection_pool for sentinel in pools[0].sentinel_manager.sentinels]
    for pool in pools:
        yield pool.make_connection()  # type: ignore[no-untyped-call]


def _refuse_unread(options: dict[str, Any]) -> None:
    if not options["ssl"] and any(name.startswith("ssl_") for name in options):
        raise TypeError("these clients would leave options of TLS unread, and connect without it")


def _readable(url: str) -> str:
    try:
        database = parse_url(url).get("db", 0)
    except ValueError:
        # Its message may quote the password: one with a slash in it is read as a port.
        raise ValueError(_UNREADABLE) from None
    parts = urlsplit(url)
    # The library takes what is no number for database 0.
    if database < 0 or (parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal()):
        raise ValueError("expected a number as database, as in redis://HOST:PORT/DATABASE; it may be left out")
    return url


def _service_and_database(parts: SplitResult, topology: str) -> tuple[str, int]:
    names = [name for name in parts.path.split("/") if name]
    if topology == "cluster":
        if names not in ([], ["0"]):
            raise ValueError("a cluster has no databases: expected nothing after the hosts of redis+cluster://")
        return "", 0
    service, database = [*names, "0"][:2] if names else ("", "")
    if len(names) > 2 or not database.isdecimal():
        raise ValueError("expected redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DATABASE; the database may be left out")
    return service, int(database)


def _host(text: str, default_port: int) -> tuple[str, int]:
    """A host and its port; an IPv6 address stands in brackets."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None:
        raise ValueError("expected hosts as HOST:PORT,HOST:PORT, with ports from 1 to 65535")
    return host, port or default_port
