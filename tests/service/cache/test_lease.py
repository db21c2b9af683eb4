"""Who builds: the decisions, with leases that say what the test wants."""

from __future__ import annotations

import anyio
import pytest
from neumeta_service.cache.lease import Claim, LeaseHolder, LeaseTimes
from neumeta_service.flight import Dropped
from neumeta_service.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio
NEVER_RENEWED = LeaseTimes(renewal_s=1e6, pauses_s=(0, 0), longest_s=1e7)


def wanted() -> bool:
    return True


class Script:
    """Leases that answer claims in turn."""

    def __init__(self, *claims: Claim) -> None:
        self._claims = list(claims)
        self.tokens: list[str] = []
        self.renewals = 0
        self.keeps = True
        self.released: list[str] = []

    async def claim(self, key: str, token: str, ttl_s: float) -> Claim:
        assert (key, ttl_s) == ("key", 1.5)
        self.tokens.append(token)
        return self._claims.pop(0)

    async def renew(self, key: str, token: str, ttl_s: float) -> bool:
        assert (key, token, ttl_s) == ("key", self.tokens[0], 1.5)
        self.renewals += 1
        return self.keeps

    async def release(self, key: str, token: str) -> None:
        assert key == "key"
        self.released.append(token)


@pytest.mark.parametrize(
    ("claims", "is_stored", "result"),
    [
        ([Claim.OURS], False, "won"),
        ([Claim.THEIRS, Claim.THEIRS, Claim.OURS], False, "took_over"),
        ([Claim.THEIRS, Claim.THEIRS, Claim.STORED], True, "waited"),
        ([Claim.STORED], True, "waited"),
        ([Claim.UNKNOWN], False, "skipped"),
        ([Claim.THEIRS, Claim.UNKNOWN], False, "skipped"),
    ],
)
async def test_what_comes_of_a_claim(claims: list[Claim], is_stored: bool, result: str) -> None:
    leases, metrics, seconds = Script(*claims), Metrics(), dict[str, float]()
    async with LeaseHolder(leases, metrics, NEVER_RENEWED).hold("key", seconds, is_wanted=wanted) as stored:
        assert stored is is_stored
        assert leases.released == []
    assert len(set(leases.tokens)) == 1, "one token for all its claims"
    assert leases.released == (leases.tokens[:1] if claims[-1] is Claim.OURS else [])
    assert metrics.registry.get_sample_value("neumeta_leases_total", {"result": result}) == 1
    assert seconds.keys() == {"lease"}


async def test_who_waits_for_another_replica_stops_when_nobody_wants_it_any_more() -> None:
    leases, wanted = Script(Claim.THEIRS, Claim.THEIRS), iter([True, False])
    with pytest.raises(Dropped):
        async with LeaseHolder(leases, Metrics(), NEVER_RENEWED).hold("key", {}, is_wanted=lambda: next(wanted)):
            raise AssertionError("there is no lease")
    assert leases.released == []


def test_a_dead_holder_is_followed_within_two_seconds() -> None:
    times = LeaseTimes()
    assert times.ttl_s + times.pauses_s[1] < 2
    assert times.ttl_s >= 3 * times.renewal_s, "a renewal may fail, and the next one still comes in time"


async def test_two_holders_have_different_tokens() -> None:
    leases = Script(Claim.OURS, Claim.OURS)
    holder = LeaseHolder(leases, Metrics(), NEVER_RENEWED)
    async with holder.hold("key", {}, is_wanted=wanted), holder.hold("key", {}, is_wanted=wanted):
        assert len(set(leases.tokens)) == 2


async def test_renewed_until_the_end_and_no_longer() -> None:
    leases = Script(Claim.OURS)
    async with LeaseHolder(leases, Metrics(), LeaseTimes(renewal_s=0.001)).hold("key", {}, is_wanted=wanted):
        with anyio.fail_after(60):
            while leases.renewals < 3:
                await anyio.sleep(0.001)
    renewals = leases.renewals
    await anyio.sleep(0.02)
    assert leases.renewals == renewals


async def test_a_lost_lease_is_not_renewed_again() -> None:
    leases = Script(Claim.OURS)
    leases.keeps = False
    async with LeaseHolder(leases, Metrics(), LeaseTimes(renewal_s=0.001)).hold("key", {}, is_wanted=wanted):
        await anyio.sleep(0.02)
        assert leases.renewals == 1


async def test_a_build_that_hangs_loses_its_lease() -> None:
    leases = Script(Claim.OURS)
    async with LeaseHolder(leases, Metrics(), LeaseTimes(renewal_s=0.001, longest_s=0.005)).hold("key", {}, is_wanted=wanted):
        await anyio.sleep(0.1)
        assert leases.renewals == 5


async def test_released_when_the_build_fails() -> None:
    leases = Script(Claim.OURS)
    with pytest.raises(LookupError):
        async with LeaseHolder(leases, Metrics(), NEVER_RENEWED).hold("key", {}, is_wanted=wanted):
            raise LookupError
    assert leases.released == leases.tokens


async def test_without_leases_nothing_is_waited_for() -> None:
    metrics, seconds = Metrics(), dict[str, float]()
    async with LeaseHolder(None, metrics).hold("key", seconds, is_wanted=wanted) as stored:
        assert stored is False
    assert not seconds
    assert "neumeta_leases_total{" not in metrics.render().decode()
