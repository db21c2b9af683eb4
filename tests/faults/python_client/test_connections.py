"""Connections that are cut, that change bits, that are slow: one pull gives the right bytes, or keeps nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from neumeta_client import ConnectionFailed, IntegrityError, Retries

from tests.faults.proxy import Fault
from tests.faults.python_client.pulls import DRIBBLE, HALF, Pull, body, files
from tests.faults.site import Site

slow = pytest.mark.slow


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("offset", [HALF, pytest.param(1, marks=slow), pytest.param(-1, marks=slow)], ids=["half", "a byte", "all but a byte"])
def test_cut_in_the_body_it_goes_on_where_it_was(site: Site, pull: Pull, cache: Path, truth: bytes, offset: int) -> None:
    received = offset % len(truth)
    site.on("artifact", body(cuts_after=received))
    artifact = pull()
    assert (artifact.path.read_bytes(), artifact.from_cache) == (truth, False)
    assert site.ranges == [None, f"bytes={received}-"]
    assert site.count("materialize") == 1
    assert files(cache) == [".json", ".json", ".onnx"]  # As it was asked for, and by its version.


@pytest.mark.parametrize("route", ["artifact", pytest.param("materialize", marks=slow)])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(cuts_after=100),
        pytest.param(Fault(cuts_after=0), marks=slow),
        pytest.param(Fault(cuts_after=1), marks=slow),
        pytest.param(body(cuts_after=0), marks=slow),
    ],
    ids=["in the head", "before it", "after a byte", "after the head"],
)
def test_cut_before_the_body_it_is_asked_again(site: Site, pull: Pull, truth: bytes, route: str, fault: Fault) -> None:
    site.on(route, fault)
    assert pull().path.read_bytes() == truth
    assert site.count(route) == 2
    assert set(site.ranges) == {None}


@slow
def test_cut_again_and_again_it_is_not_given_up(site: Site, pull: Pull, truth: bytes) -> None:
    site.on("artifact", *[body(cuts_after=500)] * 10)
    assert pull().path.read_bytes() == truth
    assert site.ranges == [None, *(f"bytes={500 * cuts}-" for cuts in range(1, 11))]


@slow
def test_cut_without_a_byte_it_is_given_up_and_continued_by_the_next_pull(site: Site, pull: Pull, cache: Path, truth: bytes) -> None:
    site.on("artifact", body(cuts_after=HALF), *[Fault(cuts_after=0)] * 2)
    with pytest.raises(ConnectionFailed):
        pull(retries=Retries(attempts=3, first_delay_s=0))
    assert files(cache) == [".part"]
    assert pull().path.read_bytes() == truth
    assert site.ranges[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        ([body(change=flipped)], [None, None]),
        pytest.param([body(change=flipped, cuts_after=HALF)], [None, f"bytes={HALF}-"], marks=slow),
        pytest.param([body(change=lambda data: flipped(data[:HALF]), cuts_after=HALF)], [None, f"bytes={HALF}-", None], marks=slow),
        pytest.param([body(cuts_after=HALF), body(change=flipped)], [None, f"bytes={HALF}-", None], marks=slow),
    ],
    ids=["in all", "in what was not received", "in the first half", "in the second half"],
)
def test_a_flipped_bit_is_fetched_again(site: Site, pull: Pull, truth: bytes, faults: list[Fault], ranges: list[str | None]) -> None:
    site.on("artifact", *faults)
    assert pull().path.read_bytes() == truth
    assert site.ranges == ranges


def test_bits_that_are_always_flipped_are_never_kept(site: Site, pull: Pull, cache: Path) -> None:
    site.on("artifact", *[body(change=flipped)] * 2)
    with pytest.raises(IntegrityError):
        pull()
    assert files(cache) == []


def test_bytes_that_dribble_in_are_waited_for(site: Site, pull: Pull, truth: bytes) -> None:
    site.on("artifact", DRIBBLE)
    assert pull().path.read_bytes() == truth
    assert site.ranges == [None]


@slow
def test_bytes_that_stay_away_are_asked_for_again(site: Site, pull: Pull, truth: bytes) -> None:
    site.on("artifact", body(cuts_after=HALF, is_silent=True))
    assert pull(timeout=2).path.read_bytes() == truth
    assert site.ranges[:2] == [None, f"bytes={HALF}-"]
