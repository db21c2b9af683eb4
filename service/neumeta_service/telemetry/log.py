"""Logging: one line per record on standard error, with the id of the request that it belongs to."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from logging.config import dictConfig

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the request that the current task works for."""


def configure(level: str, form: str = "text") -> None:
    """Configure logging of the whole process, in the form ``text`` or ``json``; only the command does this."""
    # What no line shows is not collected (Python's Logging HOWTO, "Optimization"): the caller, thread and process.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "text": {"()": "neumeta_service.telemetry.log_format.TextFormatter"},
                "json": {"()": "neumeta_service.telemetry.log_format.JsonFormatter"},
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": form}},
            "root": {"level": level.upper(), "handlers": ["stderr"]},
        }
    )
