"""Which records belong together: one recipe, one tier, one split; never a mixture."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.record import SLIMMABLE, MatrixRecord, Measurement, RunRecord
from neumeta_trainer.results.spread import Spread

Methods = dict[str, list[RunRecord]]
"""Method -> its records, one for each seed."""


@dataclass(frozen=True)
class Scope:
    """What a table or picture is about."""

    recipe: str
    tier: str
    split: str

    def __str__(self) -> str:
        return " ".join((self.recipe, self.tier or "-", self.split or "-"))

    def holds(self, record: RunRecord | MatrixRecord) -> bool:
        """Whether a record belongs here."""
        return (record.recipe, record.tier, record.split) == (self.recipe, self.tier, self.split)


def select(records: Iterable[RunRecord], scope: Scope, methods: Sequence[str] = ()) -> Methods:
    """The records of a scope by method: all in alphabetical order, or these in this order.

    Raises ReportRefused when there are none, when a method is not known, when one seed was recorded twice, or when metrics or settings differ.
    """
    everything = list(records)
    found: Methods = {}
    for record in sorted(filter(scope.holds, everything), key=lambda record: (record.method, record.seed)):
        found.setdefault(record.method, []).append(record)
    if not found:
        known = sorted({str(Scope(record.recipe, record.tier, record.split)) for record in everything})
        raise ReportRefused(f"there are no records of {scope}; expected one of: {'; '.join(known) or 'none, for the folder holds no records'}.")
    if unknown := [method for method in methods if method not in found]:
        raise ReportRefused(f"there are no records of the method {unknown[0]!r} for {scope}; expected one of: {'; '.join(found)}.")
    chosen = {method: found[method] for method in methods or found}
    _check(chosen, scope)
    return chosen


def _check(methods: Methods, scope: Scope) -> None:
    if len(metrics := sorted({record.metric for records in methods.values() for record in records})) > 1:
        raise ReportRefused(f"the records of {scope} have different metrics ({', '.join(metrics)}), which no table mixes.")
    for method, records in methods.items():
        if len({_settings_of(record.command) for record in records}) > 1:
            raise ReportRefused(
                f"{method} was recorded with different settings for {scope}, which are no seeds of one run; give each a label of its own."
            )
        seeds = [record.seed for record in records]
        if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
            raise ReportRefused(f"{method}, seed {repeated[0]}, was recorded twice for {scope}.")
        for record in records:
            sizes = [rounded(measurement) for measurement in record.measurements if measurement.compression is not None]
            if double := [size for size in sizes if sizes.count(size) > 1]:
                raise ReportRefused(f"{method}, seed {record.seed}, has compression {double[0]:g} twice for {scope}.")


def _settings_of(command: str) -> tuple[str, ...]:
    """In which settings a command departs from its recipe, but for the seed."""
    words = shlex.split(command)
    settings = [word for before, word in zip(["", *words], words, strict=False) if before == "--set"]
    settings += [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    return tuple(sorted(setting for setting in settings if not setting.startswith("seed=")))


def by_recipe(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Those to which the recipe gives the widths that are trained: what they held out, a manifold did."""
    return [record for record in records if record.method.partition(" ")[0] != SLIMMABLE]


def rounded(measurement: Measurement) -> float:
    """The compression as a key: 1 - 0.9 and 0.1 are the same."""
    assert measurement.compression is not None
    return round(measurement.compression, 6) + 0.0


def by_compression(records: Iterable[RunRecord]) -> dict[float, list[Measurement]]:
    """Uniform measurements of several records by compression, the largest network first."""
    found: dict[float, list[Measurement]] = {}
    for record in records:
        for measurement in record.measurements:
            if measurement.compression is not None:
                found.setdefault(rounded(measurement), []).append(measurement)
    return dict(sorted(found.items()))


def qualities(measurements: Iterable[Measurement]) -> Spread:
    """Quality over seeds."""
    return Spread.of([measurement.quality for measurement in measurements])
