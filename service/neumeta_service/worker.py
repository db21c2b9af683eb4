"""The one thread that computes, and the bounded queue in front of it."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, Generic, TypeVar

from neumeta_service.errors import Overloaded
from neumeta_service.flight import Dropped
from neumeta_service.telemetry.metrics import Metrics

Result = TypeVar("Result")
QUEUE_LIMIT = 64
_RECENT_SHARE = 0.2
"""What the last build counts in the mean of recent ones."""


class DeviceWorker:
    """Runs builds one after the other in one thread; at most ``queue_limit`` of them wait or run at once.

    With a second thread that computed, there would be a second pool of OpenMP threads; more threads than cores no longer wait actively for
    their next piece of work, and every large operation takes some 60 µs more.
    """

    def __init__(self, metrics: Metrics, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self._metrics = metrics
        self._queue_limit = queue_limit
        self._unfinished: set[_Build[Any]] = set()
        self._waiting: deque[_Build[Any]] = deque()
        self._has_pass = False
        self._lock = threading.Lock()  # Over the two above, which the thread changes too.
        self._mean_s = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="neumeta-device")
        metrics.queue_depth.set_function(lambda: self.depth)

    @property
    def depth(self) -> int:
        """Number of builds that wait or run."""
        return len(self._unfinished)

    @property
    def wait_s(self) -> int:
        """Whole seconds, at least 1, that the queue takes if each build takes as long as recent ones did."""
        return max(1, math.ceil(self.depth * self._mean_s))

    def run(self, function: Callable[[], Result]) -> Future[Result]:
        """Run a function in the thread, after the builds that wait now: what loads manifolds. It is not counted and never refused."""
        return self._thread.submit(function)

    async def build(self, function: Callable[[], Result], seconds: MutableMapping[str, float], *, is_wanted: Callable[[], bool]) -> Result:
        """The result of a function that the thread runs when its turn comes; how long that took goes into ``seconds["queue"]``.

        ``is_wanted`` is asked just before, in the thread, and when the queue is full: after a no the function never runs. Raises Overloaded
        when the queue is full, Dropped when the result was not wanted, and what the function raises.
        """
        if self.depth >= self._queue_limit:
            self._drop_unwanted()
        if self.depth >= self._queue_limit:
            raise Overloaded(self._queue_limit, self.wait_s)
        build = _Build(function, is_wanted, lambda waited_s: self._metrics.observe("queue", waited_s, seconds))
        self._enqueue(build)
        try:
            return await asyncio.wrap_future(build.result)
        finally:
            self._unfinished.discard(build)

    def shutdown(self) -> None:
        """End the thread, after what it was given; no build may wait any more."""
        self._thread.shutdown()

    def _enqueue(self, build: _Build[Any]) -> None:
        self._unfinished.add(build)
        with self._lock:
            self._waiting.append(build)
            if not self._has_pass:
                self._has_pass = True
                self._thread.submit(self._make_a_pass)

    def _drop_unwanted(self) -> None:
        with self._lock:
            unwanted = [build for build in self._waiting if not build.is_wanted()]
            for build in unwanted:
                self._waiting.remove(build)
        for build in unwanted:
            self._unfinished.discard(build)
            build.drop()

    def _make_a_pass(self) -> None:
        """In the thread: what waits now, build after build. What comes meanwhile is the next pass's, so that ``run`` gets its turn."""
        for _ in range(len(self._waiting)):
            if (build := self._next()) is None:
                break
            started = perf_counter()
            if build.run():
                self._mean_s += (perf_counter() - started - self._mean_s) * (_RECENT_SHARE if self._mean_s else 1)
        with self._lock:
            self._has_pass = bool(self._waiting)
            if self._has_pass:
                self._thread.submit(self._make_a_pass)

    def _next(self) -> _Build[Any] | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None


class _Build(Generic[Result]):
    """One place in the queue."""

    def __init__(self, function: Callable[[], Result], is_wanted: Callable[[], bool], begin: Callable[[float], None]) -> None:
        self.is_wanted = is_wanted
        self.result: Future[Result] = Future()
        self._function = function
        self._begin = begin
        # So that what the thread logs has the id of the request that it works for.
        self._context = contextvars.copy_context()
        self._queued_s = perf_counter()

    def run(self) -> bool:
        """Run the function, if its result is wanted; whether it ran."""
        if not self.is_wanted():
            self.drop()
            return False
        if not self.result.set_running_or_notify_cancel():
            return False
        try:
            self._begin(perf_counter() - self._queued_s)
            self.result.set_result(self._context.run(self._function))
        except BaseException as error:
            self.result.set_exception(error)
        return True

    def drop(self) -> None:
        """Answer without a result."""
        if self.result.set_running_or_notify_cancel():
            self.result.set_exception(Dropped())
