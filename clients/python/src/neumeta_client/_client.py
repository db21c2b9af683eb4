"""The client that waits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from types import TracebackType
from typing import TypeVar

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


class Client:
    """A NeuMeta service; use it in a ``with`` block, or call ``close``.

    ``url`` defaults to NEUMETA_CLIENT_URL, else http://127.0.0.1:8080; ``cache`` to NEUMETA_CLIENT_CACHE, else the user's
    cache folder; ``token``, where the service asks for one, to NEUMETA_CLIENT_TOKEN; ``timeout`` is in seconds, for
    connecting and between two pieces of an answer. With a ``trust_root`` (a public key, a file of them, or a TrustRoot; else
    NEUMETA_CLIENT_TRUST_ROOT) manifests are taken only when it vouches for them, see VerificationError. Every method raises
    errors of this package only, see NeuMetaClientError.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: str | os.PathLike[str] | None = None,
        token: str | None = None,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        trust_root: str | os.PathLike[str] | TrustRoot | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = service_url(url)
        self._cache = Cache(cache_folder(cache))
        self._verifier = verifier(trust_root, self._cache.folder)
        self._http = httpx.Client(base_url=self._url, timeout=timeout, transport=transport, headers=headers(token), verify=needs_tls(self._url))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> tuple[ModelSummary, ...]:
        """Every model of the service, ready or refused with the reason."""
        return self._run(_flows.models())

    def model(self, name: str, *, version: int | str | None = None) -> Model:
        """What can be asked of one model: channel groups, limits, costs, input, labels."""
        return self._run(_flows.model(name, version))

    def curve(self, name: str, *, version: int | str | None = None) -> Curve:
        """Quality of one model against compression, parameters and multiply-adds."""
        return self._run(_flows.curve(name, version))

    def manifest(
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
        return self._run(_flows.manifest(name, Selection(compression, widths, budget, precision, version), self._verifier))

    def pull(
        self,
        name: str,
        *,
        compression: float | None = None,
        widths: Mapping[str, int] | None = None,
        budget: Mapping[str, int] | None = None,
        precision: str = "fp32",
        version: int | str | None = None,
    ) -> Artifact:
        """A network of the wanted size as a verified ONNX file, from the cache folder if it is there.

        Exactly one of ``compression`` (0 is the full network), ``widths`` (channel group -> width, for every group) and
        ``budget`` (maxima of ``params``, ``macs``, ``bytes``); ``precision`` is ``fp32``, ``fp16`` or ``int8``;
        ``version`` a number or an alias, by default the service's latest version.
        """
        return self._run(_flows.pull(name, Selection(compression, widths, budget, precision, version), self._cache, self._verifier))

    def _run(self, flow: Flow[T]) -> T:
        with closing(flow):
            step = advance(flow)
            while isinstance(step, Request):
                try:
                    answer = self._send(step)
                except NeuMetaClientError as error:
                    step = advance(flow, error=error)
                else:
                    step = advance(flow, answer)
        return step.value

    def _send(self, request: Request) -> object:
        answer = Answer(request)
        with (
            connection_errors(self._url),
            self._http.stream(request.method, request.path, content=request.content, headers=request.headers) as response,
        ):
            answer.begin(response.status_code, response.headers)
            for chunk in response.iter_bytes():
                answer.write(chunk)
        return answer.result()
