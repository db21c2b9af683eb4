"""Whatever happens to Redis, a client gets the right bytes, and Redis is used again when it is back.

Every fault of ``redis_faults.FAULTS`` in every situation; the short set has each of the main ones in one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from neumeta_service.app import create_app
from neumeta_service.cache import RedisCache
from neumeta_service.cache.breaker import CircuitBreaker
from neumeta_service.settings import Settings
from neumeta_service.telemetry.metrics import Metrics

from tests.faults.proxy import FaultProxy
from tests.faults.redis_faults import FAULTS, SHORT, SLOW_S, Broken
from tests.service.redis_server import RedisServer
from tests.service.serving import POST, live, tier, tiny_app

COOLDOWN_S = 5.0
TIMEOUT_S = 0.4
"""Shorter than the slow Redis; a busy machine may take a healthy one for a dead one, so waiting for recovery tries again."""
COMPRESSIONS = (0, 0.25, 0.5, 0.75)


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Served:
    """A service whose memory keeps nothing, so that every answer depends on Redis, and the clock of its circuit breaker."""

    client: httpx.Client
    clock: Clock
    truth: dict[float, bytes]

    def post(self, compression: float) -> str:
        """Ask for a member, check its bytes; gives where it came from."""
        answer = self.client.post(POST, json={"compression": compression})
        assert (answer.status_code, answer.content) == (200, self.truth[compression]), answer.text[:500]
        return tier(answer)

    def all(self) -> list[str]:
        return [self.post(compression) for compression in COMPRESSIONS]


@pytest.fixture(scope="module")
def truth(models: Path) -> dict[float, bytes]:
    """What a service without Redis answers, by compression."""
    with live(tiny_app(models)) as base, httpx.Client(base_url=base, timeout=60) as client:
        return {compression: client.post(POST, json={"compression": compression}).content for compression in COMPRESSIONS}


@pytest.fixture
def served(models: Path, fault_proxy: FaultProxy, truth: dict[float, bytes]) -> Iterator[Served]:
    clock = Clock()
    cache = RedisCache(
        fault_proxy.url,
        Metrics(),
        timeout_s=TIMEOUT_S,
        ttl_s=1000,
        max_value_bytes=1_000_000,
        breaker=CircuitBreaker(cooldown_s=COOLDOWN_S, clock=clock),
    )
    app = create_app(Settings(models=models, device="cpu", cache_bytes=0), cache=cache)
    with live(app) as base, httpx.Client(base_url=base, timeout=60) as client:
        yield Served(client, clock, truth)


def asked_one_by_one(served: Served) -> None:
    assert set(served.all() + served.all()) <= {"built", "redis"}


def asked_at_once(served: Served) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(served.post, COMPRESSIONS * 4)) <= {"built", "redis"}


def asked_by_digest(served: Served) -> None:
    """A digest that nothing remembers is gone, which clients are told how to repair; other bytes are not an answer."""
    for compression in COMPRESSIONS:
        data = served.truth[compression]
        answer = served.client.get(f"/v1/artifacts/sha256:{hashlib.sha256(data).hexdigest()}", headers={"range": "bytes=1-"})
        assert (answer.status_code, answer.content) == (206, data[1:]) or answer.json()["code"] == "artifact_gone"


def asked_until_the_breaker_has_tried_again(served: Served) -> None:
    for _ in range(3):
        served.all()
        served.clock.now_s += COOLDOWN_S


SITUATIONS: dict[str, Callable[[Served], None]] = {
    "one by one": asked_one_by_one,
    "at once": asked_at_once,
    "by digest": asked_by_digest,
    "again and again": asked_until_the_breaker_has_tried_again,
}


def case(fault: str, situation: str) -> object:
    marks = [] if fault in SHORT and situation == "one by one" else [pytest.mark.slow]
    return pytest.param(FAULTS[fault], SITUATIONS[situation], id=f"{fault}, asked {situation}", marks=marks)


def test_the_slow_redis_is_slower_than_the_service_waits() -> None:
    assert SLOW_S > TIMEOUT_S
    assert FAULTS.keys() >= SHORT


@pytest.mark.parametrize(("broken", "ask"), [case(fault, situation) for fault in FAULTS for situation in SITUATIONS])
def test_broken_while_it_serves(
    served: Served, redis_server: RedisServer, fault_proxy: FaultProxy, broken: Broken, ask: Callable[[Served], None]
) -> None:
    fill(served)
    broken.break_it(redis_server, fault_proxy)
    ask(served)
    if broken.reads:
        fill(served)
    broken.heal_it(redis_server, fault_proxy)
    served.clock.now_s += COOLDOWN_S
    fill(served)


@pytest.mark.slow
@pytest.mark.parametrize("broken", list(FAULTS.values()), ids=list(FAULTS))
def test_broken_before_it_serves(served: Served, redis_server: RedisServer, fault_proxy: FaultProxy, broken: Broken) -> None:
    broken.break_it(redis_server, fault_proxy)
    served.all()
    broken.heal_it(redis_server, fault_proxy)
    served.clock.now_s += COOLDOWN_S
    fill(served)


def fill(served: Served) -> None:
    """Ask until Redis has everything: at once when it works, and a few times more on a machine that is too busy for the timeout."""
    for _ in range(20):
        if set(served.all()) == {"redis"}:
            return
        served.clock.now_s += COOLDOWN_S
    pytest.fail("Redis works, and is not used.")
