"""A session that changes its size while it runs, with real onnxruntime sessions and a service on a socket."""

from __future__ import annotations

import gc
import json
import logging
import sys
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from neumeta_client import Advice, Client, ConnectionFailed, LatencyBudget, MissingExtra, MorphingSession, Retries, ServiceUnavailable, SessionClosed

MODEL = "lenet-mnist"
LIMIT_S = 300
LADDER = (0.0, 0.25, 0.5, 0.75)


def scaling(factor: float, side: int = 28) -> bytes:
    """A network that multiplies its input, so that every answer says which size gave it."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, side, side]) for name in ("input", "logits")]
    factors = numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")
    graph = helper.make_graph([helper.make_node("Mul", ["input", "factor"], ["logits"])], "scaling", values[:1], values[1:], [factors])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def answer(session: MorphingSession, value: float = 1.0) -> float:
    """The compression of the size that answered, after a look at every number of the answer."""
    (logits,) = session.run(None, {"input": np.full((1, 1, 28, 28), value, dtype=np.float32)})
    assert logits.shape == (1, 1, 28, 28)
    assert np.all(logits == logits.flat[0])
    return float(logits.flat[0]) / value - 1


def asked_for(service) -> list[float]:
    """The compressions that the service was asked for, in order."""
    return [json.loads(body)["compression"] for method, _, _, body in service.requests if method == "POST"]


@pytest.fixture
def client(service, cache):
    service.make = lambda wanted: scaling(1 + wanted["compression"])
    with Client(service.url, cache=cache, retries=Retries(attempts=1)) as client:
        yield client


@pytest.fixture
def session(client):
    with MorphingSession(client, MODEL, ladder=LADDER) as session:
        yield session


class HeldInputs(dict):
    """Inputs that keep a call of onnxruntime under way until they are let go."""

    def __init__(self) -> None:
        super().__init__(input=np.ones((1, 1, 28, 28), dtype=np.float32))
        self.begun, self.let_go = threading.Event(), threading.Event()

    def keys(self):
        self.begun.set()
        assert self.let_go.wait(LIMIT_S)
        return super().keys()


class Says:
    """A pressure that says what it is told to."""

    def __init__(self, advice: Advice) -> None:
        self.advice = advice
        self.heard: list[tuple[float, ...]] = []

    def advise(self, recent):
        self.heard.append(tuple(recent))
        if isinstance(self.advice, Exception):
            raise self.advice
        return self.advice


class Clock:
    """Goes on by ``step`` seconds with every look at it."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def call_until(session: MorphingSession, compression: float) -> None:
    end = time.monotonic() + LIMIT_S
    while answer(session) != compression:
        assert time.monotonic() < end, f"{session.compression} never became {compression}"


def live_sessions() -> int:
    gc.collect()
    return sum(isinstance(each, onnxruntime.InferenceSession) for each in gc.get_objects())


def test_it_starts_with_the_largest_size_and_swaps_when_it_is_told_to(session, service):
    assert (session.compression, answer(session)) == (0.0, 0.0)
    artifact = session.morph(compression=0.4).result(LIMIT_S)
    assert (session.compression, session.artifact, answer(session)) == (0.4, artifact, pytest.approx(0.4))
    assert artifact.manifest.compression.requested == 0.4
    assert asked_for(service) == [0.0, 0.4]


def test_it_starts_with_another_size_when_it_is_told_to(client):
    with MorphingSession(client, MODEL, ladder=LADDER, compression=0.5) as session:
        assert answer(session) == 0.5


def test_every_call_of_many_threads_is_answered_while_sizes_swap_50_times(session):
    stop, started = threading.Event(), threading.Barrier(9)

    def call_on(value: float) -> set[float]:
        answers = {answer(session, value)}
        started.wait(LIMIT_S)
        while not stop.is_set():
            answers.add(answer(session, value))
        return answers

    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(call_on, 2.0**exponent) for exponent in range(8)]
        started.wait(LIMIT_S)
        for swap in range(1, 51):
            session.morph(compression=LADDER[swap % 4]).result(LIMIT_S)
            assert answer(session) == LADDER[swap % 4]
        stop.set()
        answers = [caller.result(LIMIT_S) for caller in callers]
    assert set().union(*answers) <= set(LADDER)


def test_no_call_waits_for_a_pull(session, service):
    service.on("artifact", service.meet)
    pulled = session.morph(compression=0.5)
    for _ in range(100):
        assert answer(session) == 0.0
    assert not pulled.done()
    service.together.wait(LIMIT_S)
    pulled.result(LIMIT_S)
    assert answer(session) == 0.5


def test_a_call_under_way_ends_on_the_size_it_began_with_which_is_then_freed(session):
    before = live_sessions()
    inputs = HeldInputs()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(session.run, None, inputs)
        assert inputs.begun.wait(LIMIT_S)
        session.morph(compression=0.5).result(LIMIT_S)
        assert answer(session) == 0.5
        assert live_sessions() == before + 1
        inputs.let_go.set()
        (logits,) = under_way.result(LIMIT_S)
    assert np.all(logits == 1)
    assert live_sessions() == before


def test_a_size_that_nobody_uses_is_freed_at_once(session):
    before = live_sessions()
    for compression in LADDER:
        session.morph(compression=compression).result(LIMIT_S)
    assert live_sessions() == before


def test_a_size_asked_for_twice_is_pulled_once(session, service):
    service.on("artifact", service.meet)
    first, second = session.morph(compression=0.5), session.morph(compression=0.5)
    service.together.wait(LIMIT_S)
    assert second.result(LIMIT_S) is first.result(LIMIT_S)
    assert session.morph(compression=0.5).result(LIMIT_S) is first.result(LIMIT_S)
    assert service.count("materialize") == service.count("artifact") == 2


def test_a_size_that_was_there_before_is_not_downloaded_again(session, service):
    for compression in (0.5, 0.0, 0.5):
        session.morph(compression=compression).result(LIMIT_S)
    assert service.count("artifact") == 2


def test_every_size_is_of_the_version_of_the_first(client, service):
    versions = []
    service.make = lambda wanted: versions.append(wanted.get("version")) or scaling(1)
    with MorphingSession(client, MODEL, ladder=LADDER, version="stable") as session:
        session.morph(compression=0.5).result(LIMIT_S)
    assert versions == ["stable", 1]


def test_a_service_that_is_gone_keeps_it_from_no_size_that_it_had(session, service):
    first = session.artifact.path
    session.morph(compression=0.5).result(LIMIT_S)
    service.on("materialize", *[service.problem("overloaded", 503)] * 9)
    assert session.morph(compression=0.0).result(LIMIT_S).path == first
    assert answer(session) == 0.0


def test_offline_it_has_the_sizes_that_were_pulled_before(client, service, cache):
    for compression in LADDER:
        client.pull(MODEL, compression=compression)
    with Client(service.url, cache=cache, offline=True) as offline, MorphingSession(offline, MODEL, ladder=LADDER) as session:
        for compression in (0.75, 0.25, 0.0):
            session.morph(compression=compression).result(LIMIT_S)
            assert answer(session) == compression


def test_without_a_first_size_there_is_no_session(client, service):
    service.on("materialize", service.problem("overloaded", 503))
    with pytest.raises(ServiceUnavailable):
        MorphingSession(client, MODEL, ladder=LADDER)


def test_without_onnxruntime_the_extra_is_named(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"neumeta-client\[run\]"):
        MorphingSession(client, MODEL, ladder=LADDER)


def test_a_pull_that_fails_keeps_the_size_there_is(session, service, caplog):
    service.on("materialize", service.problem("overloaded", 503))
    failed = session.morph(compression=0.5)
    assert isinstance(failed.exception(LIMIT_S), ServiceUnavailable)
    assert (session.compression, answer(session)) == (0.0, 0.0)
    assert session.last_error is failed.exception()
    assert "stays at compression 0, as 0.5 cannot be had: It is overloaded." in caplog.text
    session.morph(compression=0.5).result(LIMIT_S)
    assert (answer(session), session.last_error) == (0.5, None)


def test_a_download_that_breaks_off_keeps_the_size_there_is(session, service):
    service.on("artifact", *[service.cut] * 10)
    assert isinstance(session.morph(compression=0.5).exception(LIMIT_S), ConnectionFailed)
    assert answer(session) == 0.0


@pytest.mark.parametrize("data", [b"no network", scaling(1, side=3)], ids=["cannot be loaded", "cannot be run"])
def test_a_network_that_does_not_work_is_never_swapped_in(session, service, data):
    service.make = lambda _: data
    assert session.morph(compression=0.5).exception(LIMIT_S) is session.last_error is not None
    assert answer(session) == 0.0


def test_after_a_failure_the_size_there_is_needs_no_pull(session, service):
    service.on("materialize", service.problem("overloaded", 503))
    session.morph(compression=0.5).exception(LIMIT_S)
    assert session.morph(compression=0.0).result(LIMIT_S) is session.artifact
    assert service.count("materialize") == 2


def test_close_during_a_swap_waits_for_the_pull_and_drops_it(session, service):
    service.on("artifact", service.meet)
    inputs = HeldInputs()
    with ThreadPoolExecutor(2) as pool:
        under_way = pool.submit(session.run, None, inputs)
        assert inputs.begun.wait(LIMIT_S)
        pulled, queued = session.morph(compression=0.5), session.morph(compression=0.75)
        closing = pool.submit(session.close)
        with pytest.raises(CancelledError):
            queued.result(LIMIT_S)
        assert not closing.done()
        service.together.wait(LIMIT_S)
        closing.result(LIMIT_S)
        with pytest.raises(SessionClosed):
            pulled.result(0)
        inputs.let_go.set()
        assert np.all(under_way.result(LIMIT_S)[0] == 1)
    assert [thread.name for thread in threading.enumerate() if "morph" in thread.name] == []
    assert service.count("materialize") == 2


def test_nothing_is_done_after_close(session):
    session.close()
    session.close()
    for use in (lambda: answer(session), lambda: session.morph(compression=0.5), lambda: session.compression, lambda: session.artifact):
        with pytest.raises(SessionClosed, match=MODEL):
            use()


def test_errors_of_onnxruntime_are_raised_as_they_are(session):
    with pytest.raises(ValueError, match="input"):
        session.run(None, {"other": np.zeros(1)})


def test_pressure_moves_it_along_the_ladder(client, service):
    pressure = Says(Advice.SHRINK)
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[pressure], settle=16) as session:
        for compression in LADDER[1:]:
            call_until(session, compression)
        pressure.advice = Advice.GROW
        for compression in (0.5, 0.25, 0.0):
            call_until(session, compression)
    # Those in the cache are not asked for again.
    assert asked_for(service) == list(LADDER)


def test_pressure_is_not_asked_before_the_size_has_settled_nor_after_every_call(client):
    pressure = Says(Advice.HOLD)
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[pressure], settle=16) as session:
        for _ in range(15):
            answer(session)
        assert pressure.heard == []
        for _ in range(17):
            answer(session)
    assert [len(recent) for recent in pressure.heard] == [16, 16, 16]


def test_pressure_waits_for_the_swap_that_was_ordered(client, service):
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[Says(Advice.SHRINK)], settle=8) as session:
        service.on("artifact", service.meet)
        ordered = session.morph(compression=0.75)
        for _ in range(32):
            assert answer(session) == 0.0
        service.together.wait(LIMIT_S)
        ordered.result(LIMIT_S)
        # Swaps are done in order: any other would be over before this one.
        session.morph(compression=0.75).result(LIMIT_S)
    assert asked_for(service) == [0.0, 0.75]


def test_calls_that_end_on_a_size_that_was_replaced_are_not_judged(client, service):
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[Says(Advice.SHRINK)], settle=8) as session:
        inputs = HeldInputs()
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(session.run, None, inputs)
            assert inputs.begun.wait(LIMIT_S)
            for _ in range(7):
                answer(session)
            session.morph(compression=0.75).result(LIMIT_S)
            inputs.let_go.set()
            under_way.result(LIMIT_S)
        session.morph(compression=0.75).result(LIMIT_S)
    assert asked_for(service) == [0.0, 0.75]


def test_it_grows_only_after_calls_without_an_objection(client):
    pressure = Says(Advice.HOLD)
    with MorphingSession(client, MODEL, ladder=LADDER, compression=0.75, pressures=[pressure], settle=16) as session:
        for _ in range(24):
            answer(session)
        pressure.advice = Advice.GROW
        for _ in range(15):
            assert answer(session) == 0.75
        # A swap would have been begun by the 32nd call; done in order, it would be over before this one.
        assert session.morph(compression=0.75).result(LIMIT_S).from_cache is False
        assert session.compression == 0.75
        call_until(session, 0.5)


def test_calls_that_take_longer_than_their_budget_shrink_it_and_quick_ones_let_it_grow(client):
    clock = Clock()
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[LatencyBudget(latency_ms=10)], settle=16, clock=clock) as session:
        clock.step = 0.011
        call_until(session, 0.75)
        clock.step = 0.004
        call_until(session, 0.0)
        clock.step = 0.007
        for _ in range(100):
            assert answer(session) == 0.0


def test_what_failed_is_tried_again_when_its_wait_is_over_and_pressure_still_wants_it(client, service):
    clock, pressure = Clock(), Says(Advice.SHRINK)
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[pressure], settle=8, clock=clock) as session:
        service.on("materialize", *[service.problem("overloaded", 503)] * 2)
        for failures, wait in enumerate((1, 2), start=1):
            end = time.monotonic() + LIMIT_S
            while service.count("materialize") < 1 + failures:
                assert (answer(session), time.monotonic() < end) == (0.0, True)
            # The thread does one thing at a time: when this is done, what failed before is over.
            session.morph(compression=0.0).result(LIMIT_S)
            for _ in range(100):
                answer(session)
            session.morph(compression=0.0).result(LIMIT_S)
            assert service.count("materialize") == 1 + failures
            clock.now += wait
        call_until(session, 0.25)
        assert session.last_error is None


def test_a_pressure_that_raises_costs_no_answer_and_is_logged_once(client, caplog):
    pressure = Says(ZeroDivisionError("no sensor"))
    with MorphingSession(client, MODEL, ladder=LADDER, pressures=[pressure], settle=8) as session:
        for _ in range(32):
            assert answer(session) == 0.0
        assert (len(pressure.heard), session.last_error) == (4, pressure.advice)
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        pressure.advice = Advice.SHRINK
        call_until(session, 0.25)
        assert session.last_error is None
