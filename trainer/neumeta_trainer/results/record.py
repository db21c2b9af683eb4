"""Recorded results: one small JSON file per method, seed and tier; `neumeta report` makes tables and plots of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self, TypeVar

from neumeta_core.curve import Curve
from neumeta_core.files import write_whole
from neumeta_core.record import Record
from neumeta_core.validation import first_fault
from pydantic import Field, ValidationError, model_validator

from neumeta_trainer.errors import RecordRefused

ALONE = "alone.json"
"""File name, in a run's folder, of the record of networks trained alone."""
DISTILLED, EQUAL_MACS = "distilled", "equal MACs"
"""What follows ``alone`` in the method of networks that learned from a teacher, or that trained the longer the smaller they are."""
SLIMMABLE = "slimmable"
"""Method of networks that train at a few fixed widths; all others are held out of it, whatever the recipe says."""

_LONGEST = 200
"""Letters of a method in a file name, which has split, seed and, while it is written, a suffix too; of a variation in a folder's name."""
_FOREIGN = re.compile(r'[<>:"/\\|?*{}\x00-\x1f]')


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

    kind: Literal["run"] = "run"
    recipe: str
    tier: str
    """How much training; reports never mix tiers."""
    method: str
    """What was trained or measured, with the settings in which it departs from the recipe, or a label for them."""
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
        return Path(self.recipe, self.tier or "-", f"{file_name(self.method.replace(' ', '-'))}.{self.split}.{self.seed}.json")


def file_name(name: str) -> str:
    """The name, with a digest in place of its end where a file system would refuse it: for its length (255 bytes) or, Windows', for its signs."""
    plain = _FOREIGN.sub("_", name)
    if plain == name and len(name) <= _LONGEST:
        return name
    return f"{plain[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


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


class MatrixRecord(Record):
    """One analysis as a table of numbers: rows and columns are networks, channel groups or orders."""

    kind: Literal["matrix"]
    """Required, unlike a run's: it tells the two apart in one folder."""
    analysis: str
    """For example ``cka``."""
    subject: str = ""
    """What was analysed, where one analysis has several sets."""
    recipe: str
    tier: str
    seed: int
    split: str = ""
    """Of the images; empty for an analysis without any."""
    samples: int = 0
    rows: tuple[str, ...] = Field(min_length=1)
    columns: tuple[str, ...] = Field(min_length=1)
    values: tuple[tuple[float | None, ...], ...]
    """One tuple a row; None where the number is not defined."""
    note: str = ""
    """How a cell is read, as a sentence or two."""
    machine: str
    command: str
    """What makes this record again."""

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        if [len(row) for row in self.values] != [len(self.columns)] * len(self.rows):
            raise ValueError(f"values must have {len(self.rows)} rows of {len(self.columns)}")
        return self

    @property
    def path(self) -> Path:
        """Below the folder of records."""
        name = "-".join(filter(None, (self.analysis, self.subject))).replace(" ", "-")
        return Path(self.recipe, self.tier or "-", "analyses", f"{file_name(name)}.{self.split or '-'}.{self.seed}.json")


AnyRecord = TypeVar("AnyRecord", RunRecord, MatrixRecord)
_MODELS: dict[str, type[RunRecord] | type[MatrixRecord]] = {"run": RunRecord, "matrix": MatrixRecord}


def write_record(record: RunRecord | MatrixRecord, folder: Path) -> Path:
    """Write a record below ``folder`` in place of an earlier one of the same method, split and seed; returns its path."""
    path = folder / record.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, record.model_dump_json(indent=1, exclude_defaults=True) + "\n")
    return path


def read_records(folder: Path) -> list[RunRecord]:
    """All records of runs below ``folder``, ordered by path. Raises RecordRefused for a file that is no record of any kind."""
    return list(_read(folder, RunRecord))


def read_matrices(folder: Path) -> list[MatrixRecord]:
    """All records of analyses below ``folder``, ordered by path. Raises RecordRefused for a file that is no record of any kind."""
    return list(_read(folder, MatrixRecord))


def command_at(path: Path) -> str | None:
    """The command of the record of a run that is there, if one is."""
    try:
        return read_record(path).command
    except RecordRefused:
        return None


def read_record(path: Path) -> RunRecord:
    """The record of one run. Raises RecordRefused when the file is none or not there."""
    record = _parsed(path)
    if not isinstance(record, RunRecord):
        raise RecordRefused(f"{path} is no record of a run, but of an analysis.")
    return record


def _read(folder: Path, wanted: type[AnyRecord]) -> Iterator[AnyRecord]:
    for path in sorted(folder.rglob("*.json")):
        record = _parsed(path)
        if isinstance(record, wanted):
            yield record


def _parsed(path: Path) -> RunRecord | MatrixRecord:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordRefused(f"{path} cannot be read: {error.strerror}.") from None
    kind = _kind(content)
    if kind not in _MODELS:
        raise RecordRefused(f"{path} is a record of kind {kind!r}; expected one of {', '.join(_MODELS)}.")
    try:
        return _MODELS[kind].model_validate_json(content)
    except ValidationError as error:
        raise RecordRefused(f"{path} is no record of {'a run' if kind == 'run' else 'an analysis'}: {first_fault(error)}") from None


def _kind(content: bytes) -> str:
    try:
        raw = json.loads(content)
    except ValueError:
        return "run"  # whose reader says what is wrong with the file
    return str(raw.get("kind", "run")) if isinstance(raw, dict) else "run"
