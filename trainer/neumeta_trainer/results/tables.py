"""Records as Markdown tables: quality by compression, cost of training, configurations that are not uniform."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.record import Measurement, RunRecord
from neumeta_trainer.results.selection import Methods, by_compression, by_recipe, qualities
from neumeta_trainer.results.spread import Spread, markdown_table, quality_form, quality_title, seed_list

Key = tuple[int, int, int, int]
"""Of a configuration that is not uniform: seed, parameters, multiply-adds, and which of several with the same three."""


def curve_table(methods: Methods) -> str:
    """One row for each compression, one column for each method: mean ± sample standard deviation over seeds."""
    everything = [record for records in methods.values() for record in records]
    columns = {method: by_compression(records) for method, records in methods.items()}
    told, rows = by_compression(by_recipe(everything)), []
    for compression, measured in by_compression(everything).items():
        cells = [_quality_cell(columns[method].get(compression, []), records) for method, records in methods.items()]
        rows.append([f"{compression:g}{_mark(told.get(compression, []))}", *(_range(measured, field) for field in ("params", "macs")), *cells])
    header = ["compression", "parameters", "MACs", *map(_code, methods)]
    return f"{markdown_table(header, rows)}\n\n{_curve_caption(methods, everything)}"


def _quality_cell(measurements: Sequence[Measurement], records: Sequence[RunRecord]) -> str:
    if not measurements:
        return ""
    text = qualities(measurements).text(quality_form(records[0].metric))
    counted = text if len(measurements) == len(records) else f"{text} ({len(measurements)})"
    return counted if by_recipe(records) or not _mark(measurements) else f"{counted} ~"


def _mark(measurements: Iterable[Measurement]) -> str:
    kinds = {measurement.widths for measurement in measurements}
    return " ^" if "extrapolated" in kinds else " *" if "held_out" in kinds else ""


def _range(measurements: Iterable[Measurement], field: str) -> str:
    values = sorted({int(getattr(measurement, field)) for measurement in measurements})
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def _curve_caption(methods: Methods, everything: Sequence[RunRecord]) -> str:
    marks = {_mark(measured) for measured in by_compression(by_recipe(everything)).values()}
    between = any(not by_recipe(records) and _mark(found) for records in methods.values() for found in by_compression(records).values())
    sizes = {method: by_compression(records) for method, records in methods.items()}
    partly = any(len(found) < len(methods[method]) for method, by_size in sizes.items() for found in by_size.values())
    sentences = [
        f"{_what(everything)}{_seeds(methods)}.",
        "`*`: no training step of a manifold saw these widths." if " *" in marks else "",
        "`^`: outside of the range of widths that was trained." if " ^" in marks else "",
        "`~`: between the widths that this network was trained at." if between else "",
        "In parentheses: the number of seeds where some are missing." if partly else "",
    ]
    return " ".join(filter(None, sentences))


def _what(records: Sequence[RunRecord]) -> str:
    samples = " or ".join(f"{count:,}" for count in sorted({record.samples for record in records}))
    return f"{_sentence(quality_title(records[0].metric))}, of {samples} {records[0].split} images; "


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _seeds(methods: Methods) -> str:
    """How many seeds stand behind the columns, in words."""
    seeds = {method: [record.seed for record in records] for method, records in methods.items()}
    different = {tuple(found) for found in seeds.values()}
    spread = "mean ± sample standard deviation over " if any(len(found) > 1 for found in seeds.values()) else ""
    if len(different) == 1:
        return spread + seed_list(*different)
    return spread + "; ".join(f"{_code(method)}: {seed_list(tuple(found))}" for method, found in seeds.items())


def _code(text: str) -> str:
    return f"`{text}`"


_COST_CAPTION = (
    "MACs trained: forward passes of all training steps, without those of a teacher (a backward pass costs twice as much again). "
    "The file's bytes are put beside those of the full network in fp32; the share of INR is that of coordinate networks among the stored values. "
    "The command is that of the first seed."
)


def cost_table(methods: Methods) -> str:
    """What each method cost to train and to store, and what makes its record again."""
    rows = [[_code(method), *_cost_cells(records)] for method, records in methods.items()]
    file = ("file, bytes", "of full network", "share of INR")
    header = ["method", "seeds", "steps", "seconds", "MACs trained, 10^12", *file, "machine", "command"]
    return f"{markdown_table(header, rows)}\n\n{_COST_CAPTION}"


def _cost_cells(records: Sequence[RunRecord]) -> list[str]:
    return [
        str(len(records)),
        _steps(records),
        _mean((record.seconds for record in records), lambda value: f"{value:,.0f}"),
        _mean((record.trained_macs for record in records), lambda value: f"{value / 1e12:,.4g}"),
        _mean((record.file.get("bytes") for record in records), lambda value: f"{value:,.0f}"),
        _mean((record.file.get("bytes_over_full_network") for record in records), lambda value: f"{value:.2f}"),
        _mean((record.file.get("coordinate_network_share") for record in records), lambda value: f"{value:.1%}"),
        "; ".join(sorted({record.machine for record in records})),
        _code(records[0].command),
    ]


def _steps(records: Sequence[RunRecord]) -> str:
    return " or ".join(sorted({_steps_of(record.training) for record in records}))


def _steps_of(training: Mapping[str, int]) -> str:
    """By stage; networks that were trained one by one, and are named by their compression, are counted."""
    if not training or any(stage.strip("0123456789.-") for stage in training):
        return ", ".join(f"{stage} {steps:,}" for stage, steps in training.items())
    fewest, most = min(training.values()), max(training.values())
    return f"{len(training)} networks of {fewest:,}" + (f" to {most:,}" if most > fewest else "")


def _mean(values: Iterable[float | None], form: Callable[[float], str]) -> str:
    known = [float(value) for value in values if value is not None]
    if not known:
        return ""
    # File sizes and counted work do not depend on the seed: equal values have no spread to show.
    return form(known[0]) if len(set(known)) == 1 else Spread.of(known).text(form)


def unequal_table(methods: Methods) -> str:
    """Two methods at the same configurations with a width of its own for every group: means, mean and worst difference."""
    (first, ours), (second, theirs) = methods.items()
    mine, other = unequal_qualities(ours), unequal_qualities(theirs)
    if not (shared := sorted(mine.keys() & other.keys())):
        raise ReportRefused(f"{first} and {second} share no configuration that is not uniform.")
    points = {key: mine[key] - other[key] for key in shared}
    worst = min(shared, key=lambda key: points[key])
    form, metric = quality_form(ours[0].metric), ours[0].metric
    seeds = sorted({key[0] for key in shared})
    cells = [_over_seeds(mine, shared).text(form), _over_seeds(other, shared).text(form), _over_seeds(points, shared).text(form), form(points[worst])]
    header = ["configurations", _code(first), _code(second), "mean difference", "worst difference", "parameters there", "MACs there"]
    table = markdown_table(header, [[str(len(shared)), *cells, f"{worst[1]:,}", f"{worst[2]:,}"]])
    averaged = "Mean over configurations" + (" ± sample standard deviation over seeds of that mean" if len(seeds) > 1 else "")
    return (
        f"{table}\n\n{_sentence(quality_title(metric))}, of {ours[0].samples:,} {ours[0].split} images, {seed_list(tuple(seeds))}. {averaged}; "
        f"differences are {_code(first)} minus {_code(second)}, in points, and the worst is the lowest. Every group has a random width of its own."
    )


def unequal_qualities(records: Iterable[RunRecord]) -> dict[Key, float]:
    """Quality at every configuration that is not uniform."""
    found: dict[Key, float] = {}
    for record in records:
        seen: Counter[tuple[int, int]] = Counter()
        for measurement in record.measurements:
            if measurement.compression is None:
                size = measurement.params, measurement.macs
                found[(record.seed, *size, seen[size])] = measurement.quality
                seen[size] += 1
    return found


def _over_seeds(values: dict[Key, float], shared: Sequence[Key]) -> Spread:
    seeds: dict[int, list[float]] = {}
    for key in shared:
        seeds.setdefault(key[0], []).append(values[key])
    return Spread.of([Spread.of(found).mean for found in seeds.values()])
