"""Recorded results: one small JSON file per method, seed and tier; `neumeta report` makes tables and plots of them."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

import torch
from neumeta_core.architecture import Record
from neumeta_core.curve import Curve
from pydantic import Field, ValidationError

from neumeta_trainer.errors import RecordRefused
from neumeta_trainer.files import write_whole

ALONE = "alone.json"
"""File name, in a run's folder, of the record of networks trained alone."""


class Measurement(Record):
    """Quality of one network."""

    compression: float | None = None
    """The uniform compression, negative above full width; None for a configuration that is not uniform."""
    params: int
    macs: int
    quality: float
    widths: Literal["trained", "held_out", "extrapolated"] = "trained"
    """Whether training saw such widths, was kept from them, or ended before them."""


class RunRecord(Record):
    """Qualities of one method, by size."""

    recipe: str
    tier: str
    """How much training; reports never mix tiers."""
    method: str
    """What was trained or measured, with the settings in which it departs from the recipe."""
    seed: int
    metric: str = "accuracy"
    split: str
    samples: int = Field(gt=0)
    measurements: tuple[Measurement, ...] = Field(min_length=1)
    training: dict[str, int] = Field(default_factory=dict)
    """Gradient steps of every stage, by its name; empty where nothing was trained."""
    trained_macs: int | None = None
    """Multiply-adds of all forward passes of training together (a backward pass costs twice as much again)."""
    seconds: float | None = None
    """Wall time of training."""
    file: dict[str, float] = Field(default_factory=dict)
    """Of a manifold: bytes, its ratio to the full network in fp32, the share that is coordinate networks."""
    machine: str
    command: str
    """What makes this record again."""

    @property
    def path(self) -> Path:
        """Below the folder of records."""
        return Path(self.recipe, self.tier or "-", f"{self.method.replace(' ', '-')}.{self.split}.{self.seed}.json")


def measurements_of(curve: Curve) -> tuple[Measurement, ...]:
    """The points of a curve."""
    return tuple(
        Measurement(
            compression=point.compression,
            params=point.params,
            macs=point.macs,
            quality=point.quality,
            widths="held_out" if point.held_out else "trained",
        )
        for point in curve.points
    )


def write_record(record: RunRecord, folder: Path) -> Path:
    """Write a record below ``folder`` in place of an earlier one of the same method, split and seed; returns its path."""
    path = folder / record.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, record.model_dump_json(indent=1, exclude_defaults=True) + "\n")
    return path


def read_records(folder: Path) -> list[RunRecord]:
    """All records below ``folder``, ordered by path. Raises RecordRefused for a file that is none."""
    return [read_record(path) for path in sorted(folder.rglob("*.json"))]


def read_record(path: Path) -> RunRecord:
    """One record. Raises RecordRefused when the file is none or not there."""
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordRefused(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordRefused(f"{path} is no record of a run: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None


def machine() -> str:
    """This machine in words: processor, cores, GPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
