"""What handlers ask for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import lru_cache, partial
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from neumeta_service.engine import Delivery, Engine, Wait
from neumeta_service.errors import NotAcceptable, UnsupportedMediaType
from neumeta_service.http import blob
from neumeta_service.http.negotiation import preferred
from neumeta_service.http.patience import Patience

JSON = "application/json"


async def _engine(request: Request) -> Engine:
    return engine_of(request)


EngineDep = Annotated[Engine, Depends(_engine)]


def engine_of(request: Request) -> Engine:
    """The engine of the app that serves this request, without the cost of a dependency."""
    engine: Engine = request.scope["app"].state.engine
    return engine


def waiting_for(request: Request) -> Wait:
    """How this request waits for what is not in memory: as long as its client does and the settings allow."""
    return partial(_wait, request)


async def _wait(request: Request, work: Coroutine[Any, Any, Delivery]) -> Delivery:
    patience: Patience = request.app.state.patience
    return await patience.wait(request, work)


@lru_cache(maxsize=64)
def _answer_type(accept: str) -> str:
    """Media type of the answer that an ``Accept`` chooses; raises NotAcceptable."""
    chosen = preferred(accept, [blob.MEDIA_TYPE, JSON])
    if chosen is None:
        raise NotAcceptable(f"Accept: {accept[:100]!r} allows neither {blob.MEDIA_TYPE} nor {JSON}.")
    return chosen


def check_declared(request: Request) -> None:
    """Raises UnsupportedMediaType unless a request declares its body as JSON."""
    declared = request.headers.get("content-type", "")
    if declared.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(f"Content-Type: {declared[:100]!r} is not supported; send {JSON}.")


def choose_answer(request: Request) -> None:
    """Put the media type of the answer, bytes or JSON, into ``request.state.answer_type``. Raises NotAcceptable."""
    request.state.answer_type = _answer_type(", ".join(request.headers.getlist("accept")))


class DeclaredRoute(APIRoute):
    """A route whose body has to be declared as JSON; no browser sends that to another site unasked."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check what the headers say before the body is parsed."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            self.check_headers(request)
            return await handle(request)

        return checked

    def check_headers(self, request: Request) -> None:
        """Raises UnsupportedMediaType."""
        check_declared(request)


class NegotiatedRoute(DeclaredRoute):
    """One whose answer is bytes or JSON: ``request.state.answer_type``."""

    def check_headers(self, request: Request) -> None:
        """Raises UnsupportedMediaType or NotAcceptable."""
        super().check_headers(request)
        choose_answer(request)
