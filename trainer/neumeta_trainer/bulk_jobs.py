"""Bulk jobs of a running service (docs/http-api.md, Jobs), as its client."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from neumeta_trainer.errors import ServiceFailed

_TIMEOUT_S = 60.0


class _View(BaseModel):
    """What is read of an answer; a newer service may say more."""

    model_config = ConfigDict(frozen=True)


class MemberProblem(_View):
    """Why a member could not be made."""

    code: str
    detail: str


class MemberView(_View):
    """One member of a job."""

    compression: float
    precision: str
    state: str
    digest: str | None
    problem: MemberProblem | None


class JobView(_View):
    """A job as the service last told of it."""

    id: str
    state: str
    counts: Mapping[str, int]
    members: tuple[MemberView, ...]

    @property
    def num_ended(self) -> int:
        """Members about which nothing will change."""
        return len(self.members) - self.counts.get("waiting", 0) - self.counts.get("running", 0)

    @property
    def is_finished(self) -> bool:
        """Nothing will change any more."""
        return self.state not in ("queued", "running")


class BulkJobs:
    """The jobs of the service at ``url``; ``token`` is sent as a bearer token (RFC 6750). Every method raises ServiceFailed."""

    def __init__(self, url: str, token: str | None = None) -> None:
        if token and not (token.isascii() and token.isprintable()):
            raise ServiceFailed("the token has characters that no header can have; expected letters, digits and signs of ASCII alone.")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_S)
        except (httpx.InvalidURL, ValueError) as error:
            raise ServiceFailed(f"{url!r} is no URL of a service: {error}.") from None
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def submit(self, model: str, compressions: Sequence[float], precisions: Sequence[str]) -> JobView:
        """Ask for every compression in every precision."""
        ladder = {"compressions": list(compressions), "precisions": list(precisions)}
        # A proxy may send a POST twice.
        return self._ask("POST", "/v1/jobs", json={"model": model, "ladder": ladder}, headers={"idempotency-key": secrets.token_hex(16)})

    def read(self, job: JobView) -> JobView:
        """How far a job is now."""
        return self._ask("GET", f"/v1/jobs/{job.id}")

    def cancel(self, job: JobView) -> JobView:
        """Leave out what has not begun."""
        return self._ask("DELETE", f"/v1/jobs/{job.id}")

    def _ask(self, method: str, path: str, **content: Any) -> JobView:
        try:
            response = self._client.request(method, path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceFailed(f"{self._url} cannot be asked: {error or type(error).__name__}.") from None
        if not response.is_success:
            raise ServiceFailed(f"{self._url} answers {response.status_code}: {_detail(response)}")
        try:
            return JobView.model_validate_json(response.content)
        except ValidationError:
            raise ServiceFailed(f"{self._url} answers with what is no job; is it a NeuMeta service?") from None


def _detail(response: httpx.Response) -> str:
    """What a problem document says, or the status' own phrase."""
    try:
        document = response.json()
    except ValueError:
        document = None
    detail = document.get("detail") if isinstance(document, dict) else None
    # A terminal obeys what cannot be printed.
    return "".join(filter(str.isprintable, str(detail or response.reason_phrase)))[:1000]
