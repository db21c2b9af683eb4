"""Many different members of one manifold: fetched one after the other, and all at once.

    python benchmarks/together.py [--runs N] [--specs N] [--networks NAME …] [--kinds KIND …] [--device auto|cpu|cuda] [--json FILE]

From widths, which are drawn anew for every member, to weights in the memory of the host; no file is written. One after the other, each member
is there before the next one is begun; at once, all are begun before the first one is waited for. A CPU does nothing but one after the other,
so columns of the second way are empty there. *plain* is the evaluation that defines the weights, tensor after tensor, also one after the
other. INRs are random: values do not change the time. Ends with 1 when a member's bits differ between the two ways, or when its values are
further from the plain ones than a ten-thousandth of the largest value of their tensor.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from families import KINDS, NETWORKS, Family, find_family, manifold_of
from latency import random_widths
from measure import Timing, devices, timed
from neumeta_core.configuration import Configuration
from neumeta_core.inr import Sampling
from neumeta_core.manifold import Manifold
from neumeta_core.materialize import all_to_host, materialize, to_host
from report import Report, Row, arguments

PLAIN = Sampling()
TOLERANCE = 1e-4
"""Of the largest value of a tensor: sums in another order move the last bits, wrong values are off by far more."""
SPREAD = 0.05
"""Of what is added to an untrained INR: the anchored kind makes nothing but zeros before, which every wrong way makes as well."""
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Together:
    """Seconds for all members of one manifold; None for what a CPU does not do."""

    network: str
    kind: str
    arithmetic: str
    plain: Timing
    alone: Timing
    at_once: Timing | None
    same: bool | None
    """Whether both ways made the same bits."""
    right: bool
    """Whether every way made the values of the plain evaluation, within ``TOLERANCE``."""


def main() -> None:
    options = parsed()
    report = Report()
    families = [find_family(name) for name in options.networks]
    wrong = []
    for device in devices(options.device):
        measured = [measure(family, kind, device, options.specs, options.runs) for kind in options.kinds for family in families]
        report.add(f"{options.specs} different members on {device}", [row(each) for each in measured])
        wrong += [f"{each.network} {each.kind} on {device}" for each in measured if each.same is False or not each.right]
    report.save(options.json)
    if wrong:
        sys.exit(f"A member has other bits at once than alone, or values that are not the plain ones: {', '.join(wrong)}.")


def parsed() -> argparse.Namespace:
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--specs", type=int, default=50, help="different members (50)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["lenet", "resnet20", "resnet56"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["factorised", "anchored"])
    parser.add_argument("--device", default="auto", help="auto (the CPU, and CUDA where there is one), cpu or cuda")
    return parser.parse_args()


def measure(family: Family, kind: str, device: str, specs: int, runs: int) -> Together:
    manifold = random_manifold(family, kind, device)
    members = different(manifold, specs)
    plain = timed(lambda: [fetch_plain(manifold, member) for member in members], runs, device)
    alone = timed(lambda: one_by_one(manifold, members), runs, device)
    expected, made = [fetch_plain(manifold, member) for member in members], one_by_one(manifold, members)
    right = are_close(made, expected)
    if manifold.device.type == "cpu":
        return Together(family.name, kind, manifold.arithmetic, plain, alone, None, None, right)
    at_once = timed(lambda: together(manifold, members), runs, device)
    others = together(manifold, members)
    same = all(torch.equal(one[name], other[name]) for one, other in zip(made, others, strict=True) for name in one)
    return Together(family.name, kind, manifold.arithmetic, plain, alone, at_once, same, right and are_close(others, expected))


def random_manifold(family: Family, kind: str, device: str) -> Manifold:
    """A manifold no value of which is zero for a reason, the same in every run."""
    manifold = manifold_of(family.architecture, KINDS[kind])
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in manifold.inr.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=SPREAD)
    return manifold.to(device)


def different(manifold: Manifold, count: int) -> list[Configuration]:
    """Members of random widths, the same in every run."""
    return [manifold.configure(widths=widths) for widths in random_widths(manifold.architecture.groups, count)]


def fetch_plain(manifold: Manifold, member: Configuration) -> Weights:
    return {name: values.cpu() for name, values in materialize(manifold.inr, member, PLAIN).items()}


def one_by_one(manifold: Manifold, members: Sequence[Configuration]) -> list[Weights]:
    return [to_host(manifold.materialize(member)) for member in members]


def together(manifold: Manifold, members: Sequence[Configuration]) -> list[Weights]:
    return all_to_host(manifold.materialize(member) for member in members)


def are_close(made: Sequence[Weights], expected: Sequence[Weights]) -> bool:
    """Whether all members have the values that are expected, while all of them are there."""
    return all(
        one.keys() == other.keys() and all(_is_close(one[name], other[name]) for name in other) for one, other in zip(made, expected, strict=True)
    )


def _is_close(values: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(values, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))


def row(measured: Together) -> Row:
    plain, alone, at_once = measured.plain, measured.alone, measured.at_once
    return {
        "network": measured.network,
        "kind": measured.kind,
        "arithmetic": measured.arithmetic,
        "ms plain": 1e3 * plain.median,
        "plain, spread": plain.scaled(1e3).spread,
        "ms one by one": 1e3 * alone.median,
        "one by one, spread": alone.scaled(1e3).spread,
        "ms at once": 1e3 * at_once.median if at_once else None,
        "at once, spread": at_once.scaled(1e3).spread if at_once else None,
        "plain / one by one": plain.median / alone.median,
        "one by one / at once": alone.median / at_once.median if at_once else None,
        "same bits": None if measured.same is None else "yes" if measured.same else "no",
        "as plain": "yes" if measured.right else "no",
    }


if __name__ == "__main__":
    main()
