"""Logging: one line per record on standard error, with the id of the request that it belongs to."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from logging.config import dictConfig

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the request that the current task works for."""


class RequestIdFilter(logging.Filter):
    """Adds ``request_id`` to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        record.request_id = request_id.get()
        return True


def configure(level: str) -> None:
    """Configure logging of the whole process; only the command does this."""
    # What no line shows is not collected (Python's Logging HOWTO, "Optimization"): the caller, thread and process.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": RequestIdFilter}},
            "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "filters": ["request_id"], "formatter": "line"}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
        }
    )
