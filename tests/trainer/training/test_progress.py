from __future__ import annotations

import logging

import pytest
from neumeta_trainer.training.progress import LogProgress


def lines(caplog: pytest.LogCaptureFixture, steps: int, reported: range, start: int = 0) -> list[str]:
    with caplog.at_level(logging.INFO), LogProgress().stage("fit", steps, start) as report:
        for step in reported:
            report(step, 0.5)
    return [message.split(",")[0] for message in caplog.messages[1:]]


def test_a_stage_is_ten_lines(caplog: pytest.LogCaptureFixture) -> None:
    found = lines(caplog, 200, range(1, 201))
    assert caplog.messages[0] == "fit: from step 0"
    assert found == [f"fit: step {step} of 200" for step in range(20, 201, 20)]


def test_a_tenth_that_ends_between_two_reports_is_a_line_at_the_second(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, 682, range(50, 683, 50))[:3] == ["fit: step 100 of 682", "fit: step 150 of 682", "fit: step 250 of 682"]


def test_a_stage_that_goes_on_begins_with_its_next_tenth(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, 100, range(56, 101), 55)[0] == "fit: step 60 of 100"
