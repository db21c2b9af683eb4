"""What handlers ask for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from neumeta_service import blob
from neumeta_service.engine import Engine
from neumeta_service.errors import NotAcceptable, UnsupportedMediaType
from neumeta_service.negotiation import preferred

JSON = "application/json"


async def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def _answer_type(request: Request) -> str:
    accept = ", ".join(request.headers.getlist("accept"))
    answer_type = preferred(accept, [blob.MEDIA_TYPE, JSON])
    if answer_type is None:
        raise NotAcceptable(f"Accept: {accept[:100]!r} allows neither {blob.MEDIA_TYPE} nor {JSON}.")
    return answer_type


EngineDep = Annotated[Engine, Depends(_engine)]
AnswerType = Annotated[str, Depends(_answer_type)]
"""Media type of the answer to materialize."""


class JsonRoute(APIRoute):
    """A route whose body has to be declared as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check the content type before the body is parsed."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            declared = request.headers.get("content-type", "")
            if declared.partition(";")[0].strip().lower() != JSON:
                raise UnsupportedMediaType(f"Content-Type: {declared[:100]!r} is not supported; send {JSON}.")
            return await handle(request)

        return checked
