"""What commands print: JSON for programs, tables for people."""

import json
from collections.abc import Collection, Sequence

import typer
from rich.console import Console
from rich.table import Table

from neumeta_client._protocol import one_line


def print_json(value: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def print_table(headings: list[str], rows: Sequence[tuple[str, ...]], *, numeric: Collection[int]) -> None:
    """Print rows under headings; the columns in ``numeric`` are aligned to the right."""
    table = Table()
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index in numeric else "left")
    for row in rows:
        table.add_row(*(one_line(cell) for cell in row))
    Console(markup=False, highlight=False).print(table)
