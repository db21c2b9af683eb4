"""The session that callers hold, whatever size is behind it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Callable

from neumeta_client._artifact import Artifact
from neumeta_client._client import Client
from neumeta_client._errors import NeuMetaClientError, SessionClosed
from neumeta_client._morphing.backoff import Backoff
from neumeta_client._morphing.ladder import Ladder
from neumeta_client._morphing.network import Network
from neumeta_client._morphing.pressure import Advice, Pressure, combine

JUDGED_EVERY = 8
"""Calls between two judgements: a call at a small size takes less time than reading a file."""

logger = logging.getLogger(__name__)


class MorphingSession:
    """One model at a size that changes while it runs; use it in a ``with`` block, or call ``close``.

    It starts at ``compression``, by default the largest size of ``ladder``, and moves over the ladder as ``pressures`` advise,
    never before ``settle`` calls at a size. Any number of threads may call ``run``: a call runs on the size that there is when it
    begins, and neither waits for a swap nor fails because of one. A thread in the background pulls, loads and warms the next size
    (for a moment both are in memory), then replaces the one there is, which is freed when its last call ends. All sizes are of
    the version of the first, so inputs and outputs stay what they were.

    A size that cannot be had leaves the one there is: it is logged and kept in ``last_error``, and tried again when pressures still
    advise it and its wait (1 s, doubled up to 60 s) is over. ``options`` go to each ``InferenceSession``, ``clock`` gives seconds.
    Raises what ``Client.pull`` and ``Artifact.session`` raise when there is no first size. Close it before its ``client``.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        ladder: Iterable[float],
        compression: float | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
        pressures: Iterable[Pressure] = (),
        settle: int = 64,
        options: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._client, self._name, self._precision, self._version = client, name, precision, version
        self._ladder = Ladder(ladder, settle=settle)
        self._pressures = tuple(pressures)
        self._options = dict(options or {})
        self._clock = clock
        self._backoff = Backoff(clock)
        self._last_error: Exception | None = None
        first = self._load(self._ladder.compressions[0] if compression is None else compression)
        self._version = first.artifact.manifest.version
        # Each call reads it once, without the lock; it is replaced with the lock.
        self._network: Network | None = first
        self._latest_swap: Future[Artifact] | None = None
        self._lock = threading.Lock()
        self._swapper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="neumeta-morph")

    def __enter__(self) -> MorphingSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def artifact(self) -> Artifact:
        """What calls that begin now run on. Raises SessionClosed."""
        return self._current().artifact

    @property
    def compression(self) -> float:
        """Its compression, as it was asked for. Raises SessionClosed."""
        return self._current().compression

    @property
    def last_error(self) -> Exception | None:
        """Why the size could not be changed or judged the last time that failed; None after a swap."""
        return self._last_error

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: Any = None) -> Sequence[Any]:
        """``InferenceSession.run``: the wanted outputs (None: all), from inputs by name; its errors are raised as they are.

        Raises SessionClosed.
        """
        network = self._current()
        start = self._clock()
        outputs: Sequence[Any] = network.session.run(output_names, input_feed, run_options)
        calls = network.record(1000 * (self._clock() - start))
        if self._pressures and calls >= self._ladder.settle and calls % JUDGED_EVERY == 0:
            self._judge(network, calls)
        return outputs

    def morph(self, *, compression: float) -> Future[Artifact]:
        """Swap to another size in the background, whatever the pressures say now; they are heard again after ``settle`` calls.

        The future has the artifact when calls run on it, and the error when it cannot be had. Orders are carried out one after the
        other; one for the size that is there then costs nothing. Raises SessionClosed, as does the future when ``close`` was faster
        (CancelledError where it had not begun).
        """
        with self._lock:
            self._current()
            return self._submit(compression)

    def close(self) -> None:
        """Refuse new calls and swaps, and wait for a pull that is under way; calls under way end as if nothing had happened."""
        with self._lock:
            self._network = None
        self._swapper.shutdown(cancel_futures=True)

    def _current(self) -> Network:
        network = self._network
        if network is None:
            raise SessionClosed(f"This session of {self._name} is closed; open a new one.")
        return network

    def _judge(self, network: Network, calls: int) -> None:
        try:
            recent = network.recent()
            advice = combine(pressure.advise(recent) for pressure in self._pressures)
            with self._lock:
                if network is not self._network or (self._latest_swap and not self._latest_swap.done()):
                    return
                if advice is not Advice.GROW:
                    network.objected = calls
                wanted = self._ladder.next(network.compression, calls=calls, calm=calls - network.objected, advice=advice)
                if wanted != network.compression and self._backoff.allows(wanted):
                    self._submit(wanted)
        except Exception as error:
            # The call has its answer: a reading that fails, or a thread that cannot start, must not take it away.
            if repr(error) != repr(self._last_error):
                logger.exception("the size of %s could not be judged, and stays", self._name)
            self._last_error = error

    def _submit(self, compression: float) -> Future[Artifact]:
        self._latest_swap = self._swapper.submit(self._swap, compression)
        return self._latest_swap

    def _swap(self, compression: float) -> Artifact:
        # A number, and not the network: an error that somebody keeps would keep this frame and all it holds.
        before = self.compression
        if before == compression:
            return self.artifact
        try:
            network = self._load(compression)
        except Exception as error:
            with self._lock:
                self._last_error = error
                self._backoff.failed(compression, error.retry_after if isinstance(error, NeuMetaClientError) else None)
            logger.warning("%s stays at compression %g, as %g cannot be had: %s", self._name, before, compression, error)
            raise
        with self._lock:
            replaced = self._current()
            self._network, self._last_error = network, None
            self._backoff.clear()
        # Where no call is under way this frees it, which takes a while; so not with the lock, and not in a call.
        del replaced
        logger.info("%s went from compression %g to %g", self._name, before, compression)
        return network.artifact

    def _load(self, compression: float) -> Network:
        artifact = self._client.pull(self._name, compression=compression, precision=self._precision, version=self._version)
        return Network(artifact, compression, window=self._ladder.settle, options=self._options)
