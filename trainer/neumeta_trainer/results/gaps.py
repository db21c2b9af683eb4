"""Records as differences: one method against others, and held-out sizes against their trained neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.record import Measurement, RunRecord
from neumeta_trainer.results.selection import Methods, rounded
from neumeta_trainer.results.spread import PERCENT, Spread, markdown_table, seed_list


def gap_table(methods: Methods) -> str:
    """The first method minus each of the others by compression, over the seeds that both have; sizes that no other has are left out."""
    (name, ours), *others = methods.items()
    if not others:
        raise ReportRefused("it compares a first method with others; name at least two behind a colon.")
    mine = _qualities(ours)
    theirs = {method: _qualities(records) for method, records in others}
    sizes = sorted({size for size, _ in mine} & {size for found in theirs.values() for size, _ in found})
    rows = [[f"{size:g}", *(_difference(size, mine, found, ours[0].metric) for found in theirs.values())] for size in sizes]
    header = ["compression", *(f"minus `{method}`" for method in theirs)]
    return f"{markdown_table(header, rows)}\n\n`{name}` minus the others, in points, {_seeds(ours)}. Positive: `{name}` is better."


def _difference(size: float, mine: Mapping[tuple[float, int], float], theirs: Mapping[tuple[float, int], float], metric: str) -> str:
    shared = [key for key in mine.keys() & theirs.keys() if key[0] == size]
    return _signed(Spread.of([mine[key] - theirs[key] for key in sorted(shared)]), metric) if shared else ""


def neighbours_table(methods: Methods) -> str:
    """Every held-out size minus the mean of the trained sizes nearest above and below, by method."""
    gaps = {method: _neighbour_gaps(records) for method, records in methods.items()}
    sizes = sorted({size for found in gaps.values() for size in found})
    if not sizes:
        raise ReportRefused("no size of these methods was held out between trained ones.")
    metric = next(iter(methods.values()))[0].metric
    rows = [[f"{size:g}", *(_signed(Spread.of(found[size]), metric) if size in found else "" for found in gaps.values())] for size in sizes]
    table = markdown_table(["compression held out", *(f"`{method}`" for method in methods)], rows)
    seeds = _seeds([record for records in methods.values() for record in records])
    return f"{table}\n\nQuality minus the mean of the two trained neighbours, in points, {seeds}. Negative: the size that was never trained is worse."


def _neighbour_gaps(records: Iterable[RunRecord]) -> dict[float, list[float]]:
    found: dict[float, list[float]] = {}
    for record in records:
        points = sorted(((rounded(point), point) for point in _uniform(record)), key=lambda sized: sized[0])
        trained = [(size, point.quality) for size, point in points if point.widths == "trained"]
        for size, point in points:
            below = [quality for other, quality in trained if other < size]
            above = [quality for other, quality in trained if other > size]
            if point.widths == "held_out" and below and above:
                found.setdefault(size, []).append(point.quality - (below[-1] + above[0]) / 2)
    return found


def _qualities(records: Iterable[RunRecord]) -> dict[tuple[float, int], float]:
    """By compression and seed."""
    return {(rounded(point), record.seed): point.quality for record in records for point in _uniform(record)}


def _uniform(record: RunRecord) -> list[Measurement]:
    return [point for point in record.measurements if point.compression is not None]


def _seeds(records: Iterable[RunRecord]) -> str:
    return seed_list(tuple(sorted({record.seed for record in records})))


def _signed(spread: Spread, metric: str) -> str:
    scale, digits = (100, 2) if metric in PERCENT else (1, 4)
    text = f"{scale * spread.mean:+.{digits}f}"
    return f"{text} ± {scale * spread.deviation:.{digits}f}" if spread.count > 1 else text
