"""The client that waits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from neumeta_client._artifact import Artifact
from neumeta_client._connection import Connection
from neumeta_client._errors import NeuMetaClientError
from neumeta_client._fit.autofit import find_fit
from neumeta_client._fit.goal import Goal
from neumeta_client._fit.meter import Measure
from neumeta_client._fit.profile import DeviceProfile, measure_profile, send_profile
from neumeta_client._fit.report import Fit
from neumeta_client._fit.trials import Trials
from neumeta_client._flows import Done, Flow, Step, advance
from neumeta_client._local.download import Progress
from neumeta_client._protocol import Answer, Budget, Request, Selection, Version
from neumeta_client._retry import Retries
from neumeta_client._settings import make_flows
from neumeta_client._trust.root import TrustRoot
from neumeta_client._types import Curve, Manifest, Model, ModelSummary

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Client:
    """A NeuMeta service; use it in a ``with`` block, or call ``close``.

    ``url`` defaults to NEUMETA_CLIENT_URL, else http://127.0.0.1:8080; ``cache`` to NEUMETA_CLIENT_CACHE, else the user's
    cache folder, which is kept below ``cache_limit`` bytes (NEUMETA_CLIENT_CACHE_LIMIT, else 1 GB); with ``offline``
    (NEUMETA_CLIENT_OFFLINE) only what is there is given. ``retries`` says what is done about failures that may pass; ``token``, where the
    service asks for one, defaults to NEUMETA_CLIENT_TOKEN; ``timeout`` is in seconds, for connecting and between two pieces of an
    answer, and by default 5 for the one and 60 for the other. With a ``trust_root`` (a public key, a file of them, or a TrustRoot; else
    NEUMETA_CLIENT_TRUST_ROOT) manifests are taken only when it vouches for them, see VerificationError. Every method raises errors of this
    package only, see NeuMetaClientError.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection.to(url, token=token, timeout=timeout)
        self._flows = make_flows(
            self._connection.address, cache=cache, cache_limit=cache_limit, offline=offline, retries=retries, trust_root=trust_root
        )
        self._transport = transport
        self._http: httpx.Client | None = None
        self._is_closed = False
        self._opening = Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        with self._opening:
            self._is_closed = True
        if self._http is not None:
            self._http.close()

    def models(self) -> tuple[ModelSummary, ...]:
        """Every model of the service, ready or refused with the reason."""
        return self._run(self._flows.models())

    def model(self, name: str, *, version: int | str | None = None) -> Model:
        """What can be asked of one model: channel groups, limits, costs, input, labels."""
        return self._run(self._flows.model(name, version))

    def curve(self, name: str, *, version: int | str | None = None) -> Curve:
        """Quality of one model against compression, parameters and multiply-adds."""
        return self._run(self._flows.curve(name, version))

    def manifest(
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
        return self._run(self._flows.manifest(name, Selection(compression, widths, budget, rung, precision, version)))

    def pull(
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
        """A network of the wanted size as a verified ONNX file, from the cache folder if it is there.

        Exactly one of ``compression`` (0 is the full network), ``widths`` (channel group -> width, for every group), ``budget``
        (maxima of ``params``, ``macs``, ``bytes``, or of ``latency_ms`` on a ``device`` whose profile the service has) and ``rung`` (a
        size that the service's operator has named); ``precision`` is ``fp32``, ``fp16`` or ``int8``; ``version`` a number or an alias,
        by default the service's latest version. ``progress`` is called with the bytes that are there and those of the file.

        With a version's number the cache is asked first, and the service only if it has nothing. Else the service is asked, and
        when it cannot be reached, what an earlier pull of the same brought is given, and is ``stale``.
        """
        return self._run(self._flows.pull(name, Selection(compression, widths, budget, rung, precision, version), progress))

    def verify(self, path: str | os.PathLike[str]) -> Manifest:
        """The manifest of a network in a file, which nobody has changed since.

        The manifest is one that was kept with a pull; with a trust root its signature is verified, and where none was kept, or none
        by a key that is still trusted, the service is asked for one. Raises IntegrityError when nothing names these bytes, a
        VerificationError when nobody trusted does.
        """
        return self._run(self._flows.verify(Path(path)))

    def watch(
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
    ) -> Iterator[Artifact]:
        """What ``pull`` gives, and then the same of each newer version, as soon as there is one; never ends by itself.

        The service is asked every ``interval_s`` seconds, more or less, for the version that ``version`` leads to. A service that
        cannot be reached is asked again; any other error ends the iteration.
        """
        selection = Selection(compression, widths, budget, rung, precision, version).followed()
        artifact = self.pull(name, compression=compression, widths=widths, budget=budget, rung=rung, precision=precision, version=version)
        while True:
            yield artifact
            artifact = self._run(self._flows.newer(name, selection, artifact.manifest.version, interval_s))

    def autofit(
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
        """The largest network that this device runs within the limits, found by measuring a few sizes in onnxruntime.

        ``latency_ms`` limits a single call with one sample, by the median (``p50``) or by the 95th percentile (``p95``) of many;
        ``max_bytes`` the file, ``max_memory_bytes`` what a process grows by (Linux). With ``max_bytes`` the largest that is tried is
        what they are as a budget. ``threads`` are those of a call, by default one for each processor; ``measure`` takes the place of
        onnxruntime. Raises BudgetImpossible when no file is as small as ``max_bytes``, FitImpossible when the smallest network is
        over another limit too, MissingExtra, MeasurementFailed.
        """
        goal = Goal(latency_ms, metric, max_bytes, max_memory_bytes)
        trials = Trials(self._flows, name, precision, version, threads=threads, measure=measure, with_memory=max_memory_bytes is not None)
        return self._run(find_fit(goal, trials))

    def bench(
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
        """What each of up to ``points`` sizes, from the full network to the smallest, takes on this device; see ``autofit``.

        ``metric`` is the one that ``publish_profile`` tells the service.
        """
        trials = Trials(self._flows, name, precision, version, threads=threads, measure=measure)
        return self._run(measure_profile(metric, points, trials))

    def publish_profile(self, profile: DeviceProfile, *, device: str) -> None:
        """Tell the service what this kind of device can run; then ``budget={"latency_ms": 4, "device": device}`` asks by it.

        Takes a token with the scope ``profile`` where the service asks for tokens.
        """
        self._run(send_profile(self._flows, profile, device))

    def _run(self, flow: Flow[T]) -> T:
        with closing(flow):
            step = advance(flow)
            while not isinstance(step, Done):
                try:
                    answer = self._carry_out(step)
                except NeuMetaClientError as error:
                    step = advance(flow, error=error)
                else:
                    step = advance(flow, answer)
        return step.value

    def _carry_out(self, step: Step) -> object:
        if isinstance(step, Request):
            return self._send(step)
        time.sleep(step.seconds)
        return None

    def _send(self, request: Request) -> object:
        answer = Answer(request)
        with (
            self._connection.errors(),
            self._opened().stream(request.method, request.path, content=request.content, headers=request.headers) as response,
        ):
            answer.begin(response.status_code, response.headers)
            for chunk in response.iter_bytes():
                answer.write(chunk)
        return answer.result()

    def _opened(self) -> httpx.Client:
        import httpx

        with self._opening:
            if self._is_closed:
                raise self._connection.closed()
            if self._http is None:
                self._http = self._connection.opened(httpx.Client, self._transport)
            return self._http
