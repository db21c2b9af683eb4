from __future__ import annotations

from neumeta_service.cache.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(threshold=3, cooldown_s=5, clock=clock)
    for _ in range(3):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_opens_only_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(threshold=3, cooldown_s=5, clock=Clock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.allows()
    assert not breaker.is_open


def test_open_holds_calls_back_until_the_cooldown_is_over() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 4.9
    assert breaker.is_open
    assert not breaker.allows()


def test_one_probe_for_each_cooldown() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    clock.now += 5
    assert [breaker.allows() for _ in range(3)] == [True, False, False], "the first probe never came back"


def test_a_failed_probe_keeps_it_open() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    assert breaker.allows()
    clock.now += 3
    breaker.failed()
    clock.now += 4
    assert not breaker.allows()
    clock.now += 1
    assert breaker.allows()


def test_a_good_probe_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    assert breaker.allows()
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(10))
