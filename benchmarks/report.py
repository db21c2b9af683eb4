"""The arguments that all benchmarks take, and the tables that they print."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from neumeta_trainer.machine import processor

Value = str | int | float | None
Row = dict[str, Value]
"""Column -> value; None is shown as a dash."""
SMALLEST_OF_FOUR_DIGITS = 999.5
"""Rounded to three digits this is 1e+03."""


def arguments(text: str | None, *, runs: int | None = None) -> argparse.ArgumentParser:
    """``text`` is the benchmark's docstring; ``runs`` its number of repetitions, if it repeats."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    if runs is not None:
        parser.add_argument("--runs", type=int, default=runs, help=f"repetitions of every measurement ({runs})")
    parser.add_argument("--json", type=Path, help="also write machine and figures to this file")
    return parser


def machine() -> Row:
    """What the figures of a run belong to."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpu": gpu, "torch": torch.__version__}


@dataclass
class Report:
    """The tables of a run: printed as they are added, kept for ``save``."""

    machine: Row = field(default_factory=machine)
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        print(", ".join(f"{name} {value}" for name, value in self.machine.items() if value is not None), flush=True)

    def add(self, title: str, rows: list[Row], *notes: str) -> None:
        """Print rows, which have the same columns, as a Markdown table, and notes under it."""
        self.tables[title] = rows
        columns = list(rows[0])
        cells = [columns, *([text(row[column]) for column in columns] for row in rows)]
        widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
        lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
        lines.insert(1, " | ".join("-" * width for width in widths))
        print("\n".join(["", title, "", *(f"| {line} |" for line in lines), "", *notes]), flush=True)

    def save(self, path: Path | None) -> None:
        """Machine and tables as JSON, if a file was asked for."""
        if path is not None:
            path.write_text(json.dumps({"machine": self.machine, "tables": self.tables}, indent=2) + "\n")


def text(value: Value) -> str:
    """A value as tables show it; numbers to three digits, and to whole ones where these are more."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= SMALLEST_OF_FOUR_DIGITS else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value
