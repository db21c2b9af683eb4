"""Regions of a Markdown document that records fill.

A region starts with ``<!-- report: KIND RECIPE TIER SPLIT -->``, or with ``…: METHOD; METHOD -->`` for some of the methods in
this order (``METHOD as NAME`` for one with a long list of settings; of an analysis: subjects), and ends with ``<!-- end -->``.
A dash stands for an empty tier or split. Kinds: ``curve``, ``cost``, ``plot``, ``gap`` (the first method against the others),
``neighbours`` (of held-out sizes), ``unequal`` (two methods), and the analyses ``cka``, ``kl`` and ``variation``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from neumeta_core.files import write_whole

from neumeta_trainer.errors import ReportRefused
from neumeta_trainer.results.gaps import gap_table, neighbours_table
from neumeta_trainer.results.matrices import matrix_tables
from neumeta_trainer.results.plot import MethodsPlot
from neumeta_trainer.results.record import MatrixRecord, RunRecord, read_matrices, read_records
from neumeta_trainer.results.selection import Methods, Scope, select
from neumeta_trainer.results.tables import cost_table, curve_table, unequal_table

ANALYSES = ("cka", "kl", "variation")
_MARK = re.compile(r"<!--\s*(report\b|end\b)")
_START = re.compile(r"<!-- report: (?P<kind>\S+) (?P<recipe>\S+) (?P<tier>\S+) (?P<split>[^\s:]+)(?:: (?P<methods>.+))? -->")
_END = "<!-- end -->"


@dataclass(frozen=True)
class Region:
    """What stands between two marks."""

    mark: str
    kind: str
    scope: Scope
    methods: dict[str, str]
    """What each method is called in the region; empty for all methods, by their own names."""
    body: str

    def __str__(self) -> str:
        return self.mark.removeprefix("<!-- report: ").removesuffix(" -->")


@dataclass
class Filled:
    """A document as the records give it, and what of it was different before."""

    text: str
    changed: list[Region]
    plots: dict[Path, MethodsPlot]
    """File below the document's folder -> picture."""


@dataclass
class _Records:
    runs: list[RunRecord]
    matrices: list[MatrixRecord]
    plots: dict[Path, MethodsPlot] = field(default_factory=dict)


def fill(document: Path, folder: Path) -> Filled:
    """The document with its regions made anew from all records below ``folder``; nothing is written.

    A region whose picture is missing or shows other numbers counts as changed. Raises ReportRefused, which names the region,
    for one that is not known, not closed, or asks for what is not recorded.
    """
    records = _Records(read_records(folder), read_matrices(folder))
    parts, changed = [], []
    for part in _split(document):
        if isinstance(part, str):
            parts.append(part)
            continue
        before = dict(records.plots)
        try:
            body = _body(part, records, Path(document.stem))
        except ReportRefused as error:
            raise ReportRefused(f"{document}, region {part}: {error}") from None
        drawn = [document.parent / name for name in records.plots.keys() - before.keys()]
        if body != part.body or not all(records.plots[path.relative_to(document.parent)].is_drawn_in(path) for path in drawn):
            changed.append(part)
        parts += [f"{part.mark}\n", body, f"{_END}\n"]
    return Filled("".join(parts), changed, records.plots)


def write(document: Path, filled: Filled) -> None:
    """Write a document and its pictures."""
    for name, plot in filled.plots.items():
        plot.draw(document.parent / name)
    write_whole(document, filled.text)


def _split(document: Path) -> Iterator[str | Region]:
    """The document's lines outside of regions, and its regions."""
    if not document.is_file():
        raise ReportRefused(f"{document} is no file; --into names the Markdown document whose regions are filled.")
    lines = iter(document.read_text().splitlines(keepends=True))
    for line in lines:
        if not _MARK.match(line):
            yield line
            continue
        found = _START.fullmatch(line.strip())
        if found is None or found["kind"] not in _MAKERS:
            expected = f"expected `<!-- report: KIND RECIPE TIER SPLIT -->` with one of the kinds {', '.join(_MAKERS)}"
            raise ReportRefused(f"{document}: {line.strip()} starts no region; {expected}.")
        body = _until_end(lines, document, line.strip())
        tier, split = ("" if found[name] == "-" else found[name] for name in ("tier", "split"))
        listed = [method.strip() for method in (found["methods"] or "").split(";") if method.strip()]
        methods = _named(listed)
        if len(set(methods.values())) < len(listed):
            raise ReportRefused(f"{document}: {line.strip()} names a method twice or two methods the same; expected one name of its own for each.")
        yield Region(line.strip(), found["kind"], Scope(found["recipe"], tier, split), methods, body)


def _named(methods: list[str]) -> dict[str, str]:
    pairs = (method.partition(" as ") for method in methods)
    return {method.strip(): name.strip() or method.strip() for method, _, name in pairs}


def _until_end(lines: Iterator[str], document: Path, start: str) -> str:
    body: list[str] = []
    for line in lines:
        if line.strip() == _END:
            return "".join(body)
        if _MARK.match(line):
            break
        body.append(line)
    raise ReportRefused(f"{document}: the region {start} has no {_END} of its own.")


def _body(region: Region, records: _Records, pictures: Path) -> str:
    return f"\n{_MAKERS[region.kind](region, records, pictures)}\n\n"


def _selected(region: Region, records: _Records) -> Methods:
    chosen = select(records.runs, region.scope, list(region.methods))
    return {region.methods.get(method, method): found for method, found in chosen.items()}


def _curve(region: Region, records: _Records, _: Path) -> str:
    return curve_table(_selected(region, records))


def _cost(region: Region, records: _Records, _: Path) -> str:
    return cost_table(_selected(region, records))


def _gap(region: Region, records: _Records, _: Path) -> str:
    return gap_table(_selected(region, records))


def _neighbours(region: Region, records: _Records, _: Path) -> str:
    return neighbours_table(_selected(region, records))


def _unequal(region: Region, records: _Records, _: Path) -> str:
    if len(region.methods) != 2:
        raise ReportRefused("it compares two methods; name them behind a colon: `unequal RECIPE TIER SPLIT: METHOD; METHOD`.")
    return unequal_table(_selected(region, records))


def _plot(region: Region, records: _Records, pictures: Path) -> str:
    scope = region.scope
    plot = MethodsPlot(str(scope), _selected(region, records))
    path = pictures / ("-".join(filter(None, (scope.recipe, scope.tier, scope.split))) + ".png")
    if records.plots.setdefault(path, plot) != plot:
        raise ReportRefused(f"another region draws other methods into {path}.")
    return f"![{', '.join(plot.methods)}: quality by compression and by multiply-adds]({path.as_posix()})"


def _analysis(region: Region, records: _Records, _: Path) -> str:
    return matrix_tables(records.matrices, region.kind, region.scope, region.methods)


_MAKERS: dict[str, Callable[[Region, _Records, Path], str]] = {
    "curve": _curve,
    "cost": _cost,
    "plot": _plot,
    "gap": _gap,
    "neighbours": _neighbours,
    "unequal": _unequal,
    **dict.fromkeys(ANALYSES, _analysis),
}
"""Region kind -> what makes its text."""
