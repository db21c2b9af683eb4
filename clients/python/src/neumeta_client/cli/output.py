"""What commands print: JSON for programs, tables for people."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Optional

import typer
from rich.console import Console, RenderableType
from rich.progress import DownloadColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from neumeta_client._local.download import Progress
from neumeta_client._protocol import one_line

FILE_WIDTH = 1000
"""Cells of a line in a file or a pipe, which has no edge."""


def print_json(value: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


@contextmanager
def download_bar() -> Iterator[Optional[Progress]]:
    """What a pull calls with its progress: a bar on standard error, for people only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Bars(*Bars.get_default_columns()[:-1], DownloadColumn(), TransferSpeedColumn(), console=console, transient=True) as bars:
        task = bars.add_task("pulling", total=None, visible=False)
        yield lambda received, size: bars.update(task, completed=received, total=size, visible=True)


def print_table(headings: list[str], rows: Sequence[Sequence[RenderableType]], *, numeric: Collection[int], err: bool = False) -> None:
    """Print rows under headings; the columns in ``numeric`` are aligned to the right; ``err`` to standard error."""
    table = Table()
    for index, heading in enumerate(headings):
        # What is too wide goes on in the next line: two names that begin alike are not to look alike.
        table.add_column(heading, justify="right" if index in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(one_line(cell) if isinstance(cell, str) else cell for cell in row))
    console = Console(markup=False, highlight=False, stderr=err)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    console.print(table)
