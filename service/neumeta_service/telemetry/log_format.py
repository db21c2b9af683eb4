"""Log records as lines of text, or as JSON objects of one line each; what a client sends can forge neither."""

from __future__ import annotations

import json
import logging
import time
from datetime import UTC, datetime

from neumeta_service.telemetry.log import request_id


class TextFormatter(logging.Formatter):
    """``time level logger [request id] message``; further lines of an exception are indented."""

    _second = -1
    _stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line = f"{self._time(record)} {record.levelname} {record.name} [{request_id.get()}] {_printable(record.getMessage())}"
        if not record.exc_info:
            return line
        return "\n  ".join([line, *map(_printable, self.formatException(record.exc_info).split("\n"))])

    def _time(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        # Formatting the time takes as long as all the rest.
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._stamp},{record.msecs:03.0f}"


class JsonFormatter(logging.Formatter):
    """``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``request_id`` (null outside of requests), ``exception`` with
    its traceback, and what the method ``fields`` of a message says, if it has one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        identity = request_id.get()
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": None if identity == "-" else identity,
        }
        if fields := getattr(record.msg, "fields", None):
            document |= fields()
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
