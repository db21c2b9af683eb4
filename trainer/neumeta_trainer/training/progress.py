"""Progress of long work, for a terminal or for a log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

logger = logging.getLogger(__name__)

Report = Callable[[int, float], None]
"""Called with the number of finished steps and the last loss."""


class Progress(Protocol):
    """Who is told how a stage goes on."""

    @contextmanager
    def stage(self, name: str, steps: int, start: int) -> Iterator[Report]:
        """Follow one stage that begins at step ``start``."""
        ...


class LogProgress:
    """Ten lines a stage through ``logging``: for logs, tests and programs."""

    @contextmanager
    def stage(self, name: str, steps: int, start: int) -> Iterator[Report]:
        """Follow one stage that begins at step ``start``."""

        logger.info("%s: from step %d", name, start)
        tenth = 10 * start // max(1, steps)

        def report(step: int, loss: float) -> None:
            nonlocal tenth
            # Not every step is reported: the first one of a tenth, whichever that is.
            if 10 * step // steps > tenth:
                tenth = 10 * step // steps
                logger.info("%s: step %d of %d, loss %.4f", name, step, steps, loss)

        yield report


class BarProgress:
    """A bar with the loss and the time that is left, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, steps: int, start: int) -> Iterator[Report]:
        """Follow one stage that begins at step ``start``."""
        columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"))
        with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console) as bars:
            task = bars.add_task(name, total=steps, completed=start, loss="")
            yield lambda step, loss: bars.update(task, completed=step, loss=f"loss {loss:.4f}")
