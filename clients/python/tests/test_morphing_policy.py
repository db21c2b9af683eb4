"""When a size changes: pressures and the ladder, from readings and latencies that a test gives."""

from __future__ import annotations

import pytest

from neumeta_client import Advice, InvalidRequest, LatencyBudget, Reserve, available_memory, battery_charge
from neumeta_client._morphing.backoff import Backoff
from neumeta_client._morphing.ladder import LONGEST_WAIT, Ladder
from neumeta_client._morphing.pressure import combine

RUNGS = (0.0, 0.25, 0.5, 0.75)
SHRINK, HOLD, GROW = Advice.SHRINK, Advice.HOLD, Advice.GROW


@pytest.mark.parametrize(
    ("recent", "advice"),
    [
        ([], HOLD),
        ([10.0] * 20, HOLD),
        ([10.1] * 20, SHRINK),
        ([4.9] * 20, GROW),
        ([5.0] * 20, HOLD),
        ([99.0] + [1.0] * 19, GROW),
        ([99.0] * 2 + [1.0] * 19, SHRINK),
        ([99.0] * 3 + [1.0] * 57, GROW),
        ([99.0] * 4 + [1.0] * 57, SHRINK),
        ([99.0], SHRINK),
    ],
)
def test_latency_is_judged_by_its_95th_percentile(recent, advice):
    assert LatencyBudget(latency_ms=10).advise(recent) is advice
    assert LatencyBudget(latency_ms=10).advise(recent[::-1]) is advice


@pytest.mark.parametrize(("left", "advice"), [(9.9, SHRINK), (10, HOLD), (29.9, HOLD), (30, GROW), (None, GROW)])
def test_a_reserve_is_judged_by_what_is_left(left, advice):
    assert Reserve(lambda: left, low=10, enough=30).advise([]) is advice


@pytest.mark.parametrize("make", [lambda: LatencyBudget(0), lambda: LatencyBudget(float("nan")), lambda: LatencyBudget(1, headroom=1)])
def test_a_budget_that_cannot_be_kept_is_refused(make):
    with pytest.raises(InvalidRequest, match="latency_ms above 0"):
        make()


def test_limits_of_a_reserve_without_a_gap_are_refused():
    with pytest.raises(InvalidRequest, match="low below enough"):
        Reserve(available_memory, low=10, enough=10)


@pytest.mark.parametrize(
    ("advices", "advice"),
    [([], HOLD), ([GROW], GROW), ([GROW, HOLD], HOLD), ([GROW, SHRINK, HOLD], SHRINK), ([GROW, GROW], GROW)],
)
def test_one_pressure_is_enough_to_shrink_and_all_must_agree_to_grow(advices, advice):
    assert combine(iter(advices)) is advice


def test_the_ladder_is_taken_one_rung_at_a_time_and_never_left():
    ladder = Ladder(RUNGS, settle=10)
    assert [ladder.next(rung, calls=10, calm=0, advice=SHRINK) for rung in RUNGS] == [0.25, 0.5, 0.75, 0.75]
    assert [ladder.next(rung, calls=10, calm=10, advice=GROW) for rung in RUNGS] == [0.0, 0.0, 0.25, 0.5]
    assert [ladder.next(rung, calls=10, calm=0, advice=HOLD) for rung in RUNGS] == list(RUNGS)


def test_no_size_is_judged_before_it_has_settled():
    ladder = Ladder(RUNGS, settle=10)
    assert {ladder.next(0.5, calls=9, calm=9, advice=advice) for advice in Advice} == {0.5}


def test_a_size_that_is_no_rung_goes_to_its_neighbours():
    ladder = Ladder(reversed(RUNGS), settle=1)
    assert ladder.next(0.3, calls=1, calm=0, advice=SHRINK) == 0.5
    assert ladder.next(0.3, calls=1, calm=1, advice=GROW) == 0.25
    assert ladder.next(0.9, calls=1, calm=0, advice=SHRINK) == 0.9


@pytest.mark.parametrize(("rungs", "settle"), [((), 10), (RUNGS, 0)])
def test_a_ladder_that_leads_nowhere_is_refused(rungs, settle):
    with pytest.raises(InvalidRequest, match="ladder"):
        Ladder(rungs, settle=settle)


class Device:
    """Calls on a ladder under a budget of 10 ms, each as slow as ``latencies`` says for its size."""

    def __init__(self, **latencies: float) -> None:
        self.latencies = latencies
        self.ladder = Ladder(RUNGS, settle=10)
        self.compression, self.calls, self.moves = 0.0, 0, []

    def call(self, times: int) -> None:
        for _ in range(times):
            self.calls += 1
            advice = LatencyBudget(10).advise([self.milliseconds()] * min(self.calls, 10))
            wanted = self.ladder.next(self.compression, calls=self.calls, calm=self.calls, advice=advice)
            if wanted != self.compression:
                self.moves.append(wanted)
                self.compression, self.calls = wanted, 0

    def milliseconds(self) -> float:
        return self.latencies[f"at_{100 * self.compression:.0f}"]


def test_under_load_it_goes_down_as_far_as_it_must_and_up_again_when_the_load_has_gone():
    device = Device(at_0=24, at_25=16, at_50=8, at_75=6)
    device.call(1000)
    assert device.moves == [0.25, 0.5]
    device.latencies = {name: milliseconds / 6 for name, milliseconds in device.latencies.items()}
    device.call(1000)
    assert device.moves == [0.25, 0.5, 0.25, 0.0]


def test_a_rung_that_is_always_too_slow_is_tried_ever_more_rarely():
    # At 0.25 there seems to be room, and at 0 there is none: with fixed waits this would swing for ever.
    device = Device(at_0=11, at_25=4, at_50=3, at_75=2)
    device.call(10_000)
    climbs = device.moves.count(0.0)
    assert 8 <= climbs <= 25
    assert device.moves[:4] == [0.25, 0.0, 0.25, 0.0]
    device.call(100_000)
    assert device.moves.count(0.0) - climbs <= 100_000 / (LONGEST_WAIT * 10)
    device.latencies["at_0"] = 9
    device.call(2 * LONGEST_WAIT * 10)
    assert device.compression == 0.0


def test_a_climb_that_lasted_was_no_mistake():
    ladder = Ladder(RUNGS, settle=10)
    for calls in (10, 20, 40):
        assert ladder.next(0.25, calls=calls - 1, calm=calls - 1, advice=GROW) == 0.25
        assert ladder.next(0.25, calls=calls, calm=calls, advice=GROW) == 0.0
        assert ladder.next(0.0, calls=10, calm=0, advice=SHRINK) == 0.25
    assert ladder.next(0.25, calls=80, calm=80, advice=GROW) == 0.0
    assert ladder.next(0.0, calls=160, calm=0, advice=SHRINK) == 0.25
    assert ladder.next(0.25, calls=10, calm=10, advice=GROW) == 0.0


def test_the_way_up_takes_calm_calls_and_the_way_down_does_not():
    ladder = Ladder(RUNGS, settle=10)
    assert ladder.next(0.5, calls=1000, calm=9, advice=GROW) == 0.5
    assert ladder.next(0.5, calls=1000, calm=10, advice=GROW) == 0.25
    assert ladder.next(0.5, calls=10, calm=0, advice=SHRINK) == 0.75


def test_what_failed_waits_twice_as_long_each_time_and_at_most_a_minute():
    now = 0.0
    backoff = Backoff(lambda: now)
    waits = []
    for _ in range(8):
        backoff.failed(0.5)
        begun = now
        assert backoff.allows(0.25)
        while not backoff.allows(0.5):
            now += 0.5
        waits.append(now - begun)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.failed(0.5, 600.0)
    now += 599
    assert not backoff.allows(0.5)
    now += 1
    assert backoff.allows(0.5)
    backoff.failed(0.5)
    backoff.clear()
    assert backoff.allows(0.5)


def test_a_size_may_fail_for_days():
    now = 0.0
    backoff = Backoff(lambda: now)
    for _ in range(1100):
        backoff.failed(0.5)
        now += 60
        assert backoff.allows(0.5)


def test_available_memory_is_in_bytes(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       24684096 kB\nMemFree:  1 kB\nMemAvailable:   23673188 kB\n")
    assert available_memory(file) == 23673188 * 1024
    file.write_text("MemTotal:       24684096 kB\n")
    assert available_memory(file) is None
    assert available_memory(tmp_path / "absent") is None


def test_the_battery_is_the_emptiest_that_this_device_runs_down(tmp_path):
    assert battery_charge(tmp_path / "absent") is None
    add_supply(tmp_path, "AC", type="Mains", online="1")
    add_supply(tmp_path, "mouse", status="Discharging", scope="Device", capacity="3")
    add_supply(tmp_path, "BAT0", status="Charging", capacity="5")
    add_supply(tmp_path, "BAT1", status="Discharging")
    assert battery_charge(tmp_path) is None
    add_supply(tmp_path, "BAT2", status="Discharging", capacity="80")
    add_supply(tmp_path, "BAT3", status="Discharging", scope="System", capacity="41")
    assert battery_charge(tmp_path) == 41


def add_supply(folder, name, **attributes):
    (folder / name).mkdir()
    for attribute, text in attributes.items():
        (folder / name / attribute).write_text(f"{text}\n")
