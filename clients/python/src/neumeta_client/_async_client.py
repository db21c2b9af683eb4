"""The client that awaits. asyncio is loaded by those who use it: it costs others more than the rest of this package."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Callable, TypeVar

from neumeta_client._artifact import Artifact
from neumeta_client._connection import Connection
from neumeta_client._errors import NeuMetaClientError
from neumeta_client._fit.autofit import find_fit
from neumeta_client._fit.goal import Goal
from neumeta_client._fit.meter import Measure
from neumeta_client._fit.profile import DeviceProfile, measure_profile, send_profile
from neumeta_client._fit.report import Fit
from neumeta_client._fit.trials import Trials
from neumeta_client._flows import Done, Flow, advance
from neumeta_client._local.download import Progress
from neumeta_client._protocol import Answer, Budget, Request, Selection, Version
from neumeta_client._retry import Retries
from neumeta_client._settings import make_flows
from neumeta_client._trust.root import TrustRoot
from neumeta_client._types import Curve, Manifest, Model, ModelSummary

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class AsyncClient:
    """A NeuMeta service, for asyncio; use it in an ``async with`` block, or call ``aclose``.

    Arguments, methods and errors are those of ``Client``. Files are verified and synced in a thread, so that the event
    loop goes on; what a cancelled ``pull`` has received stays, and a later one continues it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        cache_limit: int | None = None,
        offline: bool | None = None,
        retries: Retries | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        trust_root: str | os.PathLike[str] | TrustRoot | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection.to(url, token=token, timeout=timeout)
        self._flows = make_flows(
            self._connection.address, cache=cache, cache_limit=cache_limit, offline=offline, retries=retries, trust_root=trust_root
        )
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._is_closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        self._is_closed = True
        if self._http is not None:
            await self._http.aclose()

    async def models(self) -> tuple[ModelSummary, ...]:
        """Every model of the service, ready or refused with the reason."""
        return await self._run(self._flows.models())

    async def model(self, name: str, *, version: int | str | None = None) -> Model:
        """What can be asked of one model: channel groups, limits, costs, input, labels."""
        return await self._run(self._flows.model(name, version))

    async def curve(self, name: str, *, version: int | str | None = None) -> Curve:
        """Quality of one model against compression, parameters and multiply-adds."""
        return await self._run(self._flows.curve(name, version))

    async def manifest(
        self,
        name: str,
        *,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Budget | None = None,
        rung: str | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
    ) -> Manifest:
        """What ``pull`` with the same arguments would get, without the download."""
        return await self._run(self._flows.manifest(name, Selection(compression, widths, budget, rung, precision, version)))

    async def pull(
        self,
        name: str,
        *,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Budget | None = None,
        rung: str | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        """A network of the wanted size as a verified ONNX file; see ``Client.pull``."""
        return await self._run(self._flows.pull(name, Selection(compression, widths, budget, rung, precision, version), progress))

    async def verify(self, path: str | os.PathLike[str]) -> Manifest:
        """The manifest of a network in a file, which nobody has changed since.

        The manifest is one that was kept with a pull; with a trust root its signature is verified, and where none was kept, or none
        by a key that is still trusted, the service is asked for one. Raises IntegrityError when nothing names these bytes, a
        VerificationError when nobody trusted does.
        """
        return await self._run(self._flows.verify(Path(path)))

    async def watch(
        self,
        name: str,
        *,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Budget | None = None,
        rung: str | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
        interval_s: float = 60.0,
    ) -> AsyncIterator[Artifact]:
        """The artifact, and then the one of each newer version; see ``Client.watch``."""
        selection = Selection(compression, widths, budget, rung, precision, version).followed()
        artifact = await self.pull(name, compression=compression, widths=widths, budget=budget, rung=rung, precision=precision, version=version)
        while True:
            yield artifact
            artifact = await self._run(self._flows.newer(name, selection, artifact.manifest.version, interval_s))

    async def autofit(
        self,
        name: str,
        *,
        latency_ms: float,
        metric: str = "p95",
        max_bytes: int | None = None,
        max_memory_bytes: int | None = None,
        precision: str = "fp32",
        version: Version = None,
        threads: int | None = None,
        measure: Measure | None = None,
    ) -> Fit:
        """The largest network that this device runs within the limits, measured in a thread; see ``Client.autofit``."""
        goal = Goal(latency_ms, metric, max_bytes, max_memory_bytes)
        trials = Trials(self._flows, name, precision, version, threads=threads, measure=measure, with_memory=max_memory_bytes is not None)
        return await self._run(find_fit(goal, trials))

    async def bench(
        self,
        name: str,
        *,
        metric: str = "p95",
        points: int = 9,
        precision: str = "fp32",
        version: Version = None,
        threads: int | None = None,
        measure: Measure | None = None,
    ) -> DeviceProfile:
        """What sizes take on this device, measured in a thread; see ``Client.bench``."""
        trials = Trials(self._flows, name, precision, version, threads=threads, measure=measure)
        return await self._run(measure_profile(metric, points, trials))

    async def publish_profile(self, profile: DeviceProfile, *, device: str) -> None:
        """Tell the service what this kind of device can run; see ``Client.publish_profile``."""
        await self._run(send_profile(self._flows, profile, device))

    async def _run(self, flow: Flow[T]) -> T:
        import asyncio

        with closing(flow):
            step = await _in_thread(partial(advance, flow))
            while not isinstance(step, Done):
                try:
                    answer = await (self._send(step) if isinstance(step, Request) else asyncio.sleep(step.seconds))
                except NeuMetaClientError as error:
                    step = await _in_thread(partial(advance, flow, error=error))
                else:
                    step = await _in_thread(partial(advance, flow, answer))
        return step.value

    async def _send(self, request: Request) -> object:
        answer = Answer(request)
        with self._connection.errors():
            async with self._opened().stream(request.method, request.path, content=request.content, headers=request.headers) as response:
                answer.begin(response.status_code, response.headers)
                async for chunk in response.aiter_bytes():
                    answer.write(chunk)
        return answer.result()

    def _opened(self) -> httpx.AsyncClient:
        import httpx

        if self._is_closed:
            raise self._connection.closed()
        if self._http is None:
            self._http = self._connection.opened(httpx.AsyncClient, self._transport)
        return self._http


async def _in_thread(function: Callable[[], T]) -> T:
    import asyncio

    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # A thread cannot be stopped: what it works on may only be cleaned up after it.
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
