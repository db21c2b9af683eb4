"""Records as differences: one method against others, and held-out sizes against their trained neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

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
    differences = [[_differences(size, mine, found) for found in theirs.values()] for size in sizes]
    rows = [[f"{size:g}", *(_cell(found, ours) for found in row)] for size, row in zip(sizes, differences, strict=True)]
    header = ["compression", *(f"minus `{method}`" for method in theirs)]
    partly = _partly([found for row in differences for found in row], ours)
    return f"{markdown_table(header, rows)}\n\n`{name}` minus the others, in points, {_seeds(ours)}. Positive: `{name}` is better.{partly}"


def _differences(size: float, mine: Mapping[tuple[float, int], float], theirs: Mapping[tuple[float, int], float]) -> list[float]:
    return [mine[key] - theirs[key] for key in sorted(mine.keys() & theirs.keys()) if key[0] == size]


def neighbours_table(methods: Methods) -> str:
    """Every held-out size minus the mean of the trained sizes nearest above and below, by method."""
    gaps = {method: _neighbour_gaps(records) for method, records in methods.items()}
    sizes = sorted({size for found in gaps.values() for size in found})
    if not sizes:
        raise ReportRefused("no size of these methods was held out between trained ones.")
    everything = [record for records in methods.values() for record in records]
    rows = [[f"{size:g}", *(_cell(found.get(size, []), everything) for found in gaps.values())] for size in sizes]
    table = markdown_table(["compression held out", *(f"`{method}`" for method in methods)], rows)
    partly = _partly([found.get(size, []) for found in gaps.values() for size in sizes], everything)
    caption = f"Quality minus the mean of the two trained neighbours, in points, {_seeds(everything)}."
    return f"{table}\n\n{caption} Negative: the size that was never trained is worse.{partly}"


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


def _cell(values: Sequence[float], records: Sequence[RunRecord]) -> str:
    """Mean ± deviation, with the number of values where the caption, which has the seeds of ``records``, says another."""
    if not values:
        return ""
    text = _signed(Spread.of(values), records[0].metric)
    return text if len(values) == _count(records) else f"{text} ({len(values)})"


def _partly(cells: Iterable[Sequence[float]], records: Sequence[RunRecord]) -> str:
    missing = any(values and len(values) != _count(records) for values in cells)
    return " In parentheses: the number of seeds where some are missing." if missing else ""


def _count(records: Sequence[RunRecord]) -> int:
    return len({record.seed for record in records})


def _seeds(records: Iterable[RunRecord]) -> str:
    return seed_list(tuple(sorted({record.seed for record in records})))


def _signed(spread: Spread, metric: str) -> str:
    scale, digits = (100, 2) if metric in PERCENT else (1, 4)
    text = f"{scale * spread.mean:+.{digits}f}"
    return f"{text} ± {scale * spread.deviation:.{digits}f}" if spread.count > 1 else text
