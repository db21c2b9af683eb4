"""Lines of the log, in both forms."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from neumeta_service.telemetry.log import request_id
from neumeta_service.telemetry.log_format import JsonFormatter, TextFormatter


@contextmanager
def logged_by(formatter: logging.Formatter) -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream, logger = io.StringIO(), logging.Logger("neumeta_service.test")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    token = request_id.set("r1")
    try:
        yield logger, stream
    finally:
        request_id.reset(token)


FORGED = "x\n2026-01-01 00:00:00,000 ERROR forged\r\x1b[31m\u2028ä"


def test_a_line_of_text() -> None:
    with logged_by(TextFormatter()) as (logger, stream):
        logger.warning("%d of %s", 1, "two")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING neumeta_service\.test \[r1\] 1 of two\n", stream.getvalue())


def test_times_follow_the_records() -> None:
    formatter = TextFormatter()
    records = [logging.makeLogRecord({"created": second, "msecs": 7.0}) for second in (0.007, 0.507, 1.007, 0.007)]
    stamps = [formatter.format(record).split()[1][-6:] for record in records]
    assert stamps == ["00,007", "00,007", "01,007", "00,007"]


def test_text_of_clients_forges_no_line_of_text() -> None:
    with logged_by(TextFormatter()) as (logger, stream):
        logger.info("path %s", FORGED)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r"path x\n2026-01-01 00:00:00,000 ERROR forged\r\x1b[31m\u2028ä")


def test_lines_of_an_exception_are_indented() -> None:
    with logged_by(TextFormatter()) as (logger, stream):
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("it failed")
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("it failed")
    assert others[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") for line in others)
    assert "\x1b" not in stream.getvalue()


def test_a_json_object_is_a_line() -> None:
    with logged_by(JsonFormatter()) as (logger, stream):
        logger.warning("path %s", FORGED)
        request_id.set("-")
        logger.info("outside")
    first, second = stream.getvalue().splitlines()
    document = json.loads(first)
    assert document.pop("time").endswith("Z")
    assert document == {"level": "warning", "logger": "neumeta_service.test", "message": f"path {FORGED}", "request_id": "r1"}
    assert json.loads(second)["request_id"] is None


def test_an_exception_is_one_field() -> None:
    with logged_by(JsonFormatter()) as (logger, stream):
        try:
            raise ValueError(FORGED)
        except ValueError:
            logger.exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"].startswith("Traceback (most recent call last):\n")
    assert json.loads(line)["message"] == "it failed"


@pytest.mark.parametrize(("created", "expected"), [(0.0, "1970-01-01T00:00:00.000Z"), (1_800_000_000.1239, "2027-01-15T08:00:00.123Z")])
def test_times_are_rfc_3339_in_utc(created: float, expected: str) -> None:
    assert json.loads(JsonFormatter().format(logging.makeLogRecord({"created": created})))["time"] == expected
