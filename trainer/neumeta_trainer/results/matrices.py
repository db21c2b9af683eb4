"""Records of analyses as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.record import MatrixRecord
from neumeta_trainer.results.selection import Scope
from neumeta_trainer.results.spread import Spread, markdown_table, seed_list


def matrix_tables(records: Iterable[MatrixRecord], analysis: str, scope: Scope, names: Mapping[str, str] | None = None) -> str:
    """The tables of an analysis, one for each subject; several seeds give mean ± sample standard deviation.

    With ``names`` those of these subjects, in this order and under these names. Raises ReportRefused when there are none, when a subject
    is not known, or when the seeds of one subject have other rows or columns.
    """
    everything = list(records)
    subjects: dict[str, list[MatrixRecord]] = {}
    for record in sorted(everything, key=lambda record: (record.subject, record.seed)):
        if record.analysis == analysis and scope.holds(record):
            subjects.setdefault(record.subject, []).append(record)
    if not subjects:
        known = sorted({f"{record.analysis} {Scope(record.recipe, record.tier, record.split)}" for record in everything})
        expected = "; ".join(known) or "none, for the folder holds no analyses"
        raise ReportRefused(f"there are no records of {analysis} for {scope}; expected one of: {expected}.")
    chosen = names or {subject: subject for subject in subjects}
    if unknown := [subject for subject in chosen if subject not in subjects]:
        raise ReportRefused(f"there is no {analysis} of {unknown[0]!r} for {scope}; expected one of: {'; '.join(subjects)}.")
    return "\n\n".join(_table(name, subjects[subject], scope) for subject, name in chosen.items())


def _table(name: str, records: Sequence[MatrixRecord], scope: Scope) -> str:
    first, seeds = records[0], [record.seed for record in records]
    if len({(record.rows, record.columns) for record in records}) > 1 or len(set(seeds)) < len(seeds):
        raise ReportRefused(f"{first.analysis} {first.subject} of {scope}: its records are twice of one seed, or have different rows or columns.")
    rows = [
        [label, *(_cell([record.values[row][column] for record in records]) for column in range(len(first.columns)))]
        for row, label in enumerate(first.rows)
    ]
    heading = f"`{name}`\n\n" if name else ""
    return f"{heading}{markdown_table(['', *first.columns], rows)}\n\n{_caption(records)}"


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return Spread.of(known).text(lambda value: f"{value:.4g}") if known else ""


def _caption(records: Sequence[MatrixRecord]) -> str:
    first, seeds = records[0], [record.seed for record in records]
    images = f"{first.samples:,} {first.split} images, " if first.samples else ""
    spread = "mean ± sample standard deviation over " if len(seeds) > 1 else ""
    pairs = [value for record in records for value in _between(record)]
    mean = f"Mean of all pairs of different networks: {statistics.fmean(pairs):.4g}." if pairs else ""
    facts = f"{images}{spread}{seed_list(seeds)}. Made with `{first.command}`."
    return " ".join(filter(None, (first.note, mean, facts[0].upper() + facts[1:])))


def _between(record: MatrixRecord) -> list[float]:
    """The values off the diagonal where rows and columns are the same networks."""
    if record.rows != record.columns:
        return []
    pairs = [(row, column) for row in range(len(record.rows)) for column in range(len(record.rows)) if row != column]
    return [value for row, column in pairs if (value := record.values[row][column]) is not None]
