"""The faults of a Redis, by name. One more is one more line: what breaks it, and what makes it whole again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.proxy import Fault, FaultProxy
from tests.service.redis_server import RedisServer

SLOW_S = 2.0
"""How late the slow one answers; longer than any service waits."""


@dataclass(frozen=True)
class Broken:
    """A Redis, the proxy that the service sees it through, and how both are broken and healed."""

    break_it: Callable[[RedisServer, FaultProxy], object]
    heal_it: Callable[[RedisServer, FaultProxy], object]
    reads: bool = False
    """Whether what was stored before can still be read."""


def on_the_wire(**fault: object) -> Broken:
    return Broken(lambda _, proxy: proxy.suffer(Fault(**fault)), lambda _, proxy: proxy.heal())  # type: ignore[arg-type]


def configured(**wrong: str) -> Broken:
    """By settings of the server; reading still works."""
    return Broken(lambda server, _: configure(server, wrong), lambda server, _: configure(server, dict.fromkeys(wrong, "0")), reads=True)


def configure(server: RedisServer, values: dict[str, str]) -> None:
    with server.connect() as redis:
        for name, value in values.items():
            redis.config_set(name.replace("_", "-"), value)


def make_replica(server: RedisServer, _: FaultProxy) -> None:
    """Of nobody: as after a failover, it takes no writes."""
    with server.connect() as redis:
        redis.replicaof("127.0.0.1", "1")


def make_primary(server: RedisServer, _: FaultProxy) -> None:
    with server.connect() as redis:
        redis.replicaof("NO", "ONE")


def restart(server: RedisServer, _: FaultProxy) -> None:
    server.kill()
    server.start()


def flipped(reply: bytes) -> bytes:
    """As long as it was, with the last bit of every sixteenth byte of its second half flipped: the frame stays, the value does not."""
    changed = bytearray(reply)
    for place in range(len(changed) // 2, len(changed) - 2, 16):
        changed[place] ^= 1
    return bytes(changed)


def always(answer: bytes) -> Callable[[bytes], bytes]:
    """The same answer to every question: at least as often as the reply has lines, so that the handshake gets all it waits for."""
    return lambda reply: answer * reply.count(b"\r\n")


FAULTS: dict[str, Broken] = {
    "killed": Broken(lambda server, _: server.kill(), lambda server, _: server.start()),
    "paused": Broken(lambda server, _: server.pause(), lambda server, _: server.resume()),
    "restarted": Broken(restart, lambda _, __: None),
    "out of memory": configured(maxmemory="1"),
    "read-only": Broken(make_replica, make_primary, reads=True),
    "slow": on_the_wire(delay_s=SLOW_S),
    "black hole": on_the_wire(is_silent=True),
    "connections reset": on_the_wire(refuses=True),
    "replies cut": on_the_wire(cuts_after=100),
    "replies cut at once": on_the_wire(cuts_after=1),
    "replies cut in the value": on_the_wire(cuts_after=1500),
    "wrong bytes": on_the_wire(change=flipped),
    "another protocol": on_the_wire(change=lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "zeros": on_the_wire(change=lambda reply: bytes(len(reply))),
    "a long array": on_the_wire(change=lambda _: b"*1000000\r\n$2147483647\r\n"),
    "a long value": on_the_wire(change=lambda _: b"*2\r\n$2147483647\r\n"),
    "an error for everything": on_the_wire(change=always(b"-LOADING Redis is loading the dataset in memory\r\n")),
    "a number for everything": on_the_wire(change=always(b":7\r\n")),
    "nothing for everything": on_the_wire(change=always(b"$-1\r\n")),
    "OK for everything": on_the_wire(change=always(b"+OK\r\n")),
    "two numbers for everything": on_the_wire(change=always(b"*2\r\n:1\r\n:2\r\n")),
    "two empty values for everything": on_the_wire(change=always(b"*2\r\n$0\r\n\r\n$0\r\n\r\n")),
    "two lists for everything": on_the_wire(change=always(b"*2\r\n*0\r\n*0\r\n")),
    "two errors for everything": on_the_wire(change=always(b"*2\r\n-ERR one\r\n-ERR two\r\n")),
}
SHORT = {"killed", "paused", "restarted", "out of memory", "read-only", "slow", "replies cut in the value", "wrong bytes", "a number for everything"}
"""Those that every run of the tests goes through."""
