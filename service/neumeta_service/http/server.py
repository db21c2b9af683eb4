"""uvicorn with an orderly end: not ready at once, then a grace, then a limited wait for what is under way."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI

from neumeta_service.http.protocol import BoundedProtocol
from neumeta_service.settings import Settings

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Serves an app until SIGTERM or SIGINT.

    From then on ``/readyz`` says so, and requests are answered as ever for ``drain_s``, in which load balancers notice. Then no connection is
    accepted any more, and what is under way has ``shutdown_s`` to finish. A second signal ends the process at once.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=BoundedProtocol,
                ws="none",
                proxy_headers=settings.trusted_proxies is not None,
                forwarded_allow_ips=settings.trusted_proxies,
                timeout_keep_alive=5,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=settings.shutdown_s,
            )
        )
        self._app = app
        self._drain_s, self._shutdown_s = settings.drain_s, settings.shutdown_s
        self._drained_at_s: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """The signal handler."""
        if self._drained_at_s is not None:
            _end("a second signal")
        self._app.state.is_draining = True
        self._drained_at_s = monotonic() + self._drain_s
        logger.info("signal %d: draining for %g s", sig, self._drain_s)

    async def on_tick(self, counter: int) -> bool:
        """Several times a second: whether to stop accepting."""
        self.should_exit = self._drained_at_s is not None and monotonic() >= self._drained_at_s
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way and close the app, or end the process a second after the limit: a running build cannot be cancelled."""
        asyncio.get_running_loop().call_later(self._shutdown_s + 1, _end, f"work that took longer than {self._shutdown_s} s")
        await super().shutdown(sockets)


def _end(reason: str) -> None:
    logger.warning("ended by %s", reason)
    logging.shutdown()
    os._exit(0)
