"""Materialization of whole networks at full width, against the matrix rate of the machine and against the published procedure.

    python benchmarks/materialize.py [--runs N] [--networks NAME …] [--kinds KIND …] [--device auto|cpu|cuda] [--most G] [--json FILE]

INRs are untrained: values do not change the time. Multiply-adds are those of all matrix products of one forward pass, counted from
their shapes. The floor is these multiply-adds at the rate of the faster of two matrix products, measured once in the same run for each
arithmetic, with as many threads of the CPU as make the network: one for small networks of cheap kinds. A pass of
more than ``--most`` thousand million multiply-adds is timed on a part of the tensors (the column *timed* says how large a part) and
scaled by its multiply-adds; its memory is that of the part. Ratios leave out the ONNX file, which both sides have to write.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import published_procedure
import torch
from families import KINDS, NETWORKS, Family, find_family, manifold_of
from measure import Timing, devices, matrix_rates, timed
from memory import MEGABYTE, peak_of
from neumeta_core.device import multiplies_bf16
from neumeta_core.inr import MlpINR
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import is_single_threaded
from report import Report, Row, arguments
from work import coordinates, generated_values, multiply_adds, part_of

GIGA = 1e9


class Rate(NamedTuple):
    """Which of the machine's rates a floor is taken from."""

    arithmetic: str
    threads: int | None


@dataclass(frozen=True)
class Measurement:
    """One kind on one network, in one arithmetic, scaled to the whole network."""

    network: str
    kind: str
    arithmetic: str
    coordinates: int
    values: int
    macs: int
    share: float
    """Share of the multiply-adds that was timed."""
    timing: Timing
    peak: float | None
    threads: int | None
    """Of the CPU, that made it; None on CUDA."""

    @property
    def rate(self) -> Rate:
        return Rate(self.arithmetic, self.threads)


def main() -> None:
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--device", default="auto", help="auto (the CPU, and CUDA where there is one), cpu or cuda")
    parser.add_argument("--most", type=float, default=100, help="thousand millions of multiply-adds that a pass may take to be timed whole (100)")
    options = parser.parse_args()
    most = round(options.most * GIGA)
    report = Report()
    families, rows = zip(*(found(name) for name in options.networks), strict=True)
    report.add("Networks", list(rows))
    for device in devices(options.device):
        measured = [each for kind in options.kinds for family in families for each in measure(family, kind, device, most, options.runs)]
        published = {family.name: published_procedure.cost_of(family, most, options.runs, device) for family in families}
        needed = dict.fromkeys(each.rate for each in measured)
        rates = {rate: matrix_rates(device, dtype_of(rate.arithmetic), one_thread=rate.threads == 1) for rate in needed}
        report.add(f"Materialization on {device}", [against_floor(each, max(rates[each.rate].values())) for each in measured], *notes(rates))
        report.add(f"The published procedure on {device}", [procedure(name, cost) for name, cost in published.items()])
        report.add(f"Against the published procedure on {device}", [against_published(each, published[each.network]) for each in measured])
        report.add(f"Cost of a coordinate on {device}", list(growth(measured)))
    report.save(options.json)


def found(name: str) -> tuple[Family, Row]:
    """The analysis of a network, and what it took."""
    start = time.perf_counter()
    family = find_family(name)
    row: Row = {
        "network": name,
        "generated values": generated_values(family.architecture),
        "coordinates": coordinates(family.architecture),
        "channel groups": len(family.architecture.groups),
        "tensors": len(family.architecture.parameters),
        "s analysis": time.perf_counter() - start,
    }
    return family, row


def arithmetics(manifold: Manifold) -> Iterator[Manifold]:
    """The manifold in every arithmetic that the core offers; each names its own (``Manifold.arithmetic``)."""
    yield manifold
    if isinstance(manifold.inr, MlpINR) and multiplies_bf16(manifold.device):
        yield manifold.to(str(manifold.device), "bf16")


def dtype_of(arithmetic: str) -> torch.dtype:
    """The number format that an arithmetic names after its device kind."""
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[arithmetic.split("-")[1]]


def notes(rates: Mapping[Rate, Mapping[str, float]]) -> Iterator[str]:
    """Which matrix product the floors are taken from, and how many threads it had: as many as the rows."""
    for (arithmetic, threads), found in rates.items():
        fastest = max(found, key=lambda name: found[name])
        by = "" if threads is None else f", threads {threads}"
        yield f"Floor of {arithmetic}{by}: {fastest}, {found[fastest] / GIGA:,.0f} x 10^9 multiply-adds a second."


def threads_of(manifold: Manifold) -> int | None:
    """How many threads of the CPU make its members; None on CUDA."""
    if manifold.device.type != "cpu":
        return None
    return 1 if is_single_threaded(manifold.inr, manifold.header.sampling) else torch.get_num_threads()


def measure(family: Family, kind: str, device: str, most: int, runs: int) -> Iterator[Measurement]:
    macs = multiply_adds(family.architecture, KINDS[kind])
    part = part_of(family.architecture, most / macs)
    share = multiply_adds(part, KINDS[kind]) / macs
    for manifold in arithmetics(manifold_of(part, KINDS[kind], device)):
        full = manifold.configure(compression=0.0)
        peak = peak_of(lambda: manifold.materialize(full), device)  # noqa: B023
        timing = timed(lambda: manifold.materialize(full), runs, device)  # noqa: B023
        values, pairs = generated_values(family.architecture), coordinates(family.architecture)
        scaled, threads = timing.scaled(1 / share), threads_of(manifold)
        yield Measurement(family.name, kind, manifold.arithmetic, pairs, values, macs, share, scaled, peak, threads)


def against_floor(measured: Measurement, rate: float) -> Row:
    floor = measured.macs / rate
    return {
        "network": measured.network,
        "kind": measured.kind,
        "arithmetic": measured.arithmetic,
        "threads": measured.threads,
        "10^9 multiply-adds": measured.macs / GIGA,
        "timed": f"{measured.share:.1%}",
        "ms": 1e3 * measured.timing.median,
        "lowest": 1e3 * measured.timing.lowest,
        "highest": 1e3 * measured.timing.highest,
        "ms floor": 1e3 * floor,
        "times the floor": measured.timing.median / floor,
        "peak MB": None if measured.peak is None else measured.peak / MEGABYTE,
    }


def procedure(network: str, cost: published_procedure.Cost) -> Row:
    return {
        "network": network,
        "timed": f"{cost.share:.1%}",
        "s rows": cost.rows,
        "s one sample": cost.sample,
        f"s K = {published_procedure.SAMPLES}, as K times one": cost.seconds(),
    }


def against_published(measured: Measurement, cost: published_procedure.Cost) -> Row:
    return {
        "network": measured.network,
        "kind": measured.kind,
        "arithmetic": measured.arithmetic,
        "ms": 1e3 * measured.timing.median,
        f"times faster than K = {published_procedure.SAMPLES}": cost.seconds() / measured.timing.median,
        "times faster than K = 1": cost.seconds(1) / measured.timing.median,
    }


def growth(measured: list[Measurement]) -> Iterator[Row]:
    """How the cost of one unit of work changes with the size of the network, relative to the cheapest network of the same kind."""
    for each in measured:
        alike = [other for other in measured if (other.kind, other.arithmetic) == (each.kind, each.arithmetic)]
        yield {
            "kind": each.kind,
            "arithmetic": each.arithmetic,
            "network": each.network,
            "coordinates": each.coordinates,
            "values a coordinate": each.values / each.coordinates,
            "ns a coordinate": 1e9 * each.timing.median / each.coordinates,
            "times the lowest": _per(each, "coordinates") / min(_per(other, "coordinates") for other in alike),
            "ns a value": 1e9 * each.timing.median / each.values,
            "its times the lowest": _per(each, "values") / min(_per(other, "values") for other in alike),
        }


def _per(measured: Measurement, unit: str) -> float:
    amount: int = getattr(measured, unit)
    return measured.timing.median / amount


if __name__ == "__main__":
    main()
