"""The two requests that devices repeat, taken to their handlers at once.

FastAPI's way to a handler (its router, its dependencies, its body) takes longer than all the rest of an answer from memory. It describes
these routes all the same, and it gets every body that is no valid selection, so that it alone says what is wrong with those. Errors of the handlers
become the same problem documents here as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable

from neumeta_core.errors import NeuMetaError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neumeta_service.engine import Engine
from neumeta_service.http.deps import check_declared, choose_answer
from neumeta_service.http.middleware import replaying
from neumeta_service.http.problems import problem_of
from neumeta_service.http.schemas import MaterializeRequest
from neumeta_service.routes import artifacts, models

_MODEL = re.compile(f"{models.PREFIX}/([^/]+)")


class Direct:
    """Serves artifacts by digest and members of models; all else is the app's. Bodies come in one piece (``BodyLimit``)."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        folder, _, last = scope.get("path", "").rpartition("/")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif folder == artifacts.PREFIX and last and scope["method"] in ("GET", "HEAD"):
            scope["endpoint"] = artifacts.get_artifact
            request = Request(scope, receive)
            await _answer(artifacts.get_artifact(last, request, self._engine), scope, receive, send)
        elif last == "materialize" and scope["method"] == "POST" and (model := _MODEL.fullmatch(folder)):
            await self._materialize(model[1], scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _materialize(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        wanted = _wanted(message)
        if wanted is None:
            await self._app(scope, replaying(message, receive), send)
            return
        scope["endpoint"] = models.materialize
        request = Request(scope, receive)
        await _answer(_checked(name, wanted, request), scope, receive, send)


async def _checked(name: str, wanted: MaterializeRequest, request: Request) -> Response:
    check_declared(request)
    choose_answer(request)
    return await models.materialize(name, wanted, request)


async def _answer(work: Awaitable[Response], scope: Scope, receive: Receive, send: Send) -> None:
    try:
        response = await work
    except NeuMetaError as error:
        response = problem_of(error, scope)
        error.__traceback__ = None  # All who waited for one build share its error; each would add its frames, and keep its request with them.
    await response(scope, receive, send)


def _wanted(message: Message) -> MaterializeRequest | None:
    """The selection that a body states, if it is there in one piece and valid."""
    if message["type"] != "http.request" or message.get("more_body", False):
        return None
    try:
        return MaterializeRequest.model_validate(json.loads(message.get("body", b"")))
    except (ValueError, RecursionError):  # Of JSON, of its encoding, of a number's length, of the model.
        return None
