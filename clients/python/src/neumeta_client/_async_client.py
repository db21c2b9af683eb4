"""The client that awaits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Callable, TypeVar

import httpx

from neumeta_client import _flows
from neumeta_client._artifact import Artifact
from neumeta_client._errors import NeuMetaClientError
from neumeta_client._flows import Flow, advance
from neumeta_client._local.cache import Cache
from neumeta_client._protocol import Answer, Request, Selection, connection_errors
from neumeta_client._settings import DEFAULT_TIMEOUT, cache_folder, headers, needs_tls, service_url, verifier
from neumeta_client._trust.root import TrustRoot
from neumeta_client._types import Curve, Manifest, Model, ModelSummary

T = TypeVar("T")


class AsyncClient:
    """A NeuMeta service, for asyncio; use it in an ``async with`` block, or call ``aclose``.

    Arguments, methods and errors are those of ``Client``. Files are verified and synced in a thread, so that the event
    loop goes on; a cancelled ``pull`` leaves nothing behind.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        trust_root: str | os.PathLike[str] | TrustRoot | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = service_url(url)
        self._cache = Cache(cache_folder(cache))
        self._verifier = verifier(trust_root, self._cache.folder)
        self._http = httpx.AsyncClient(base_url=self._url, timeout=timeout, transport=transport, headers=headers(token), verify=needs_tls(self._url))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def models(self) -> tuple[ModelSummary, ...]:
        """Every model of the service, ready or refused with the reason."""
        return await self._run(_flows.models())

    async def model(self, name: str, *, version: int | str | None = None) -> Model:
        """What can be asked of one model: channel groups, limits, costs, input, labels."""
        return await self._run(_flows.model(name, version))

    async def curve(self, name: str, *, version: int | str | None = None) -> Curve:
        """Quality of one model against compression, parameters and multiply-adds."""
        return await self._run(_flows.curve(name, version))

    async def manifest(
        self,
        name: str,
        *,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Mapping[str, int] | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
    ) -> Manifest:
        """What ``pull`` with the same arguments would get, without the download."""
        return await self._run(_flows.manifest(name, Selection(compression, widths, budget, precision, version), self._verifier))

    async def pull(
        self,
        name: str,
        *,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Mapping[str, int] | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
    ) -> Artifact:
        """A network of the wanted size as a verified ONNX file; see ``Client.pull``."""
        return await self._run(_flows.pull(name, Selection(compression, widths, budget, precision, version), self._cache, self._verifier))

    async def _run(self, flow: Flow[T]) -> T:
        with closing(flow):
            step = await _in_thread(partial(advance, flow))
            while isinstance(step, Request):
                try:
                    answer = await self._send(step)
                except NeuMetaClientError as error:
                    step = await _in_thread(partial(advance, flow, error=error))
                else:
                    step = await _in_thread(partial(advance, flow, answer))
        return step.value

    async def _send(self, request: Request) -> object:
        answer = Answer(request)
        with connection_errors(self._url):
            async with self._http.stream(request.method, request.path, content=request.content, headers=request.headers) as response:
                answer.begin(response.status_code, response.headers)
                async for chunk in response.aiter_bytes():
                    answer.write(chunk)
        return answer.result()


async def _in_thread(function: Callable[[], T]) -> T:
    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # A thread cannot be stopped: what it works on may only be cleaned up after it.
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise
